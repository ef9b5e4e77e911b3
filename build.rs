//! Makes the types and services of `proto/`, and the descriptors that reflection hands out. No protoc is needed.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

/// Every file with a service; those that they import come along.
const FILES: [&str; 5] = [
    "plexspaces/v1/application/application.proto",
    "plexspaces/v1/wasm/wasm.proto",
    "plexspaces/v1/actors/actor_runtime.proto",
    "plexspaces/v1/tuplespace/tuplespace.proto",
    "plexspaces/v1/system/system.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_files(FILES)?;
    // Without comments: clients need none, and they double its size.
    let descriptors = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors)?;
    compiler.include_source_info(true);
    tonic_prost_build::configure()
        // Modules and payloads are not copied out of the request they came in.
        .bytes(".")
        .btree_map(".")
        // Clients bring a channel of their own.
        .build_transport(false)
        // A call that is not served yet says so in `grpc/methods.rs`.
        .generate_default_stubs(true)
        .include_file("plexspaces.rs")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
