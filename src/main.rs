//! From the arguments to a command, and from the command to an exit code.

use std::process::ExitCode;

use plexspaces_node::{cli, wasm::compile};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|text| text.to_string_lossy().into_owned())
        .collect();
    if let [first, rest @ ..] = arguments.as_slice()
        && first == compile::ARGUMENT
    {
        return compile::child(rest);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    ExitCode::from(cli::run(&arguments))
}
