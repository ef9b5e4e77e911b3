//! The child process that compiles: short-lived, limited, and free to die without taking the node along.
//!
//! The node starts its own binary again with [`ARGUMENT`]; the child limits itself, scans the module, compiles it
//! on an engine with the class's tunables, writes the code to a file and answers with one line of JSON.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use wasmtime::Engine;

use super::engine::Class;
use super::scan::{Encoding, scan};
use crate::{limits, machine};

/// The first argument that turns this binary into a compile child.
pub const ARGUMENT: &str = "--compile-child";

/// What the child found and made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub encoding: Encoding,
    pub class: Class,
}

#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The module is at fault; the text says how.
    #[error("{0}")]
    Refused(String),
    #[error(
        "compiling this module may take {} MiB of memory and only {} MiB are available; \
         stop something else on this machine, or make the module smaller", .needed >> 20, .available >> 20
    )]
    NoMemory { needed: u64, available: u64 },
    /// The disk is full; the module may be fine.
    #[error("the compiled code cannot be written: {0}; make room and send it again")]
    NoSpace(String),
    #[error("cannot run the compiler: {0}")]
    Spawn(io::Error),
}

/// Why the child has made nothing, as it tells the node.
#[derive(Debug, Serialize, Deserialize)]
enum Complaint {
    Refused(String),
    NoSpace(String),
}

impl From<Complaint> for CompileError {
    fn from(complaint: Complaint) -> Self {
        match complaint {
            Complaint::Refused(text) => Self::Refused(text),
            Complaint::NoSpace(text) => Self::NoSpace(text),
        }
    }
}

impl From<String> for Complaint {
    fn from(text: String) -> Self {
        Self::Refused(text)
    }
}

/// Compiles the module at `wasm` into `code`. Dropping the future kills the child.
pub async fn compile(
    wasm: &Path,
    wasm_bytes: u64,
    memory_limit: u64,
    code: &Path,
) -> Result<Report, CompileError> {
    let needed =
        limits::COMPILE_MEMORY_BYTES_MIN.max(limits::COMPILE_MEMORY_PER_MODULE_BYTE * wasm_bytes);
    // All the world where the kernel does not say.
    let available = machine::memory_available_bytes().unwrap_or(u64::MAX);
    let share = limits::COMPILE_CHILD_PER_MODULE_BYTE * wasm_bytes;
    let child_bytes_max = share.max(limits::COMPILE_CHILD_BYTES_MIN).min(available);
    if available < needed {
        return Err(CompileError::NoMemory { needed, available });
    }
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .args([wasm, code])
        .args([memory_limit.to_string(), child_bytes_max.to_string()])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(CompileError::Spawn)?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let stdout = child
        .stdout
        .take()
        .expect("stdout is piped")
        .take(limits::COMPILE_REPORT_BYTES_MAX as u64);
    let stderr = child
        .stderr
        .take()
        .expect("stderr is piped")
        .take(limits::COMPILE_REPORT_BYTES_MAX as u64);
    let finished = async {
        let (mut stdout, mut stderr) = (stdout, stderr);
        let read = tokio::try_join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
        read.and(child.wait().await)
    };
    let status = match tokio::time::timeout(limits::COMPILE_TIME_MAX, finished).await {
        Ok(status) => status.map_err(CompileError::Spawn)?,
        Err(_) => {
            return Err(died(format!(
                "took longer than {:?}",
                limits::COMPILE_TIME_MAX
            )));
        }
    };
    match serde_json::from_slice::<Result<Report, Complaint>>(&out) {
        Ok(answer) => answer.map_err(CompileError::from),
        Err(_) => {
            let words = String::from_utf8_lossy(&err);
            log::error!(
                "the compiler ended without an answer ({status}): {}",
                words.trim()
            );
            Err(died(format!("ended without an answer ({status})")))
        }
    }
}

fn died(how: String) -> CompileError {
    CompileError::Refused(format!(
        "the compiler {how}; the module is too complex for this machine, make it smaller"
    ))
}

/// The child's whole life. Its arguments come from [`compile`]; its answer goes to standard output.
pub fn child(arguments: &[String]) -> ExitCode {
    let [wasm, code, memory_limit, available] = arguments else {
        eprintln!("{ARGUMENT} is for the node's own use");
        return ExitCode::from(2);
    };
    let (Ok(memory_limit), Ok(available)) = (memory_limit.parse(), available.parse()) else {
        eprintln!("{ARGUMENT} is for the node's own use");
        return ExitCode::from(2);
    };
    let answer = limit_self(available)
        .map_err(Complaint::from)
        .and_then(|()| compile_here(Path::new(wasm), &PathBuf::from(code), memory_limit));
    match serde_json::to_writer(io::stdout(), &answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn compile_here(wasm: &Path, code: &Path, memory_limit: u64) -> Result<Report, Complaint> {
    let bytes = fs::read(wasm).map_err(|error| format!("cannot be read: {error}"))?;
    let found = scan(&bytes)?;
    if found.memory_bytes_min > memory_limit {
        return Err(format!(
            "it starts with {} MiB of memory and its limit is {} MiB; raise max_memory_bytes",
            found.memory_bytes_min >> 20,
            memory_limit >> 20
        )
        .into());
    }
    let class = Class::of(found.memory_bytes_min, memory_limit);
    let engine = Engine::new(&class.tunables())
        .map_err(|error| format!("the compiler does not start: {error:#}"))?;
    let compiled = match found.encoding {
        Encoding::Core => engine.precompile_module(&bytes),
        Encoding::Component => engine.precompile_component(&bytes),
    };
    let compiled = compiled.map_err(|error| format!("it does not compile: {error:#}"))?;
    fs::write(code, compiled).map_err(unwritten)?;
    Ok(Report {
        encoding: found.encoding,
        class,
    })
}

fn unwritten(error: io::Error) -> Complaint {
    if is_no_space(&error) {
        return Complaint::NoSpace(error.to_string());
    }
    Complaint::Refused(format!("its compiled code cannot be written: {error}"))
}

/// Whether a write failed because of how much there is already.
pub fn is_no_space(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// A compiler that runs wild ends itself, not the machine.
fn limit_self(memory_bytes: u64) -> Result<(), String> {
    let hard = |limit| Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    let grace = Duration::from_secs(5).as_secs();
    let limited = setrlimit(Resource::Data, hard(memory_bytes)).and_then(|()| {
        setrlimit(Resource::Core, hard(0))?;
        setrlimit(
            Resource::Cpu,
            Rlimit {
                current: Some(limits::COMPILE_CPU_SECONDS_MAX),
                maximum: Some(limits::COMPILE_CPU_SECONDS_MAX + grace),
            },
        )
    });
    // A node that is killed takes its compiler with it.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // Whatever else the machine does comes first, and where memory runs out the compiler goes first.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let _ = rustix::process::nice(10);
    limited.map_err(|error| format!("the compiler cannot limit itself: {error}"))
}
