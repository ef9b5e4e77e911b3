//! The little of the world that a guest gets: clocks, random bytes, its environment, and a log for its words.
//!
//! All of WASI 0.2 links for components and all of preview 1 for core modules, so that any toolchain's output starts.
//! Files and sockets are denied at use: there is no preopened directory, no address passes, no name resolves.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::Linker;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{WasiCtxBuilder, async_trait};

use super::host::Guest;
use super::host::logging::GuestLog;
use super::sight::Sight;
use crate::limits;

/// What a guest may write before it must wait for nothing at all: there is no back-pressure, only the log's bound.
const WRITE_BYTES_MAX: usize = 64 * limits::KIB;

/// Interfaces of WASI 0.2 that every guest can import, of any 0.2 version.
#[rustfmt::skip]
const INTERFACES: [&str; 25] = [
    "wasi:cli/environment", "wasi:cli/exit", "wasi:cli/stdin", "wasi:cli/stdout", "wasi:cli/stderr",
    "wasi:cli/terminal-input", "wasi:cli/terminal-output", "wasi:cli/terminal-stdin", "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr", "wasi:clocks/monotonic-clock", "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens", "wasi:filesystem/types", "wasi:io/error", "wasi:io/poll", "wasi:io/streams",
    "wasi:random/insecure", "wasi:random/insecure-seed", "wasi:random/random", "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup", "wasi:sockets/network", "wasi:sockets/tcp", "wasi:sockets/udp",
];
const CREATE_SOCKET: [&str; 2] = [
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp-create-socket",
];

/// The import module of preview 1.
pub const CORE_MODULE: &str = "wasi_snapshot_preview1";

/// Its functions, all of which every core module can import.
#[rustfmt::skip]
pub const CORE_FUNCTIONS: &[&str] = &[
    "args_get", "args_sizes_get", "clock_res_get", "clock_time_get", "environ_get", "environ_sizes_get", "fd_advise",
    "fd_allocate", "fd_close", "fd_datasync", "fd_fdstat_get", "fd_fdstat_set_flags", "fd_fdstat_set_rights",
    "fd_filestat_get", "fd_filestat_set_size", "fd_filestat_set_times", "fd_pread", "fd_prestat_dir_name",
    "fd_prestat_get", "fd_pwrite", "fd_read", "fd_readdir", "fd_renumber", "fd_seek", "fd_sync", "fd_tell",
    "fd_write", "path_create_directory", "path_filestat_get", "path_filestat_set_times", "path_link", "path_open",
    "path_readlink", "path_remove_directory", "path_rename", "path_symlink", "path_unlink_file", "poll_oneoff",
    "proc_exit", "proc_raise", "random_get", "sched_yield", "sock_accept", "sock_recv", "sock_send", "sock_shutdown",
];

/// Links preview 1.
pub fn add_to_core_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p1::add_to_linker_async(linker, Guest::wasi)
}

/// Whether an import such as `wasi:cli/environment@0.2.3` is provided.
pub fn provides(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else {
        return false;
    };
    version.starts_with("0.2.")
        && (INTERFACES.contains(&interface) || CREATE_SOCKET.contains(&interface))
}

/// What one guest sees of the world outside, in either version of WASI.
pub struct World {
    pub wasi: WasiP1Ctx,
    output: GuestOutput,
    errors: GuestOutput,
}

impl World {
    /// For an actor: both streams go to the log, and there is no input.
    pub fn of_actor(sight: &Sight<'_>, log: &GuestLog) -> Self {
        let output = GuestOutput::new(Sink::Log, log);
        Self::new(&mut sight.builder(), output, log)
    }

    /// For one run of a command: `input` comes in, and at most `reply_bytes_max` go out.
    pub fn of_command(
        sight: &Sight<'_>,
        log: &GuestLog,
        input: Bytes,
        reply_bytes_max: usize,
    ) -> Self {
        let output = GuestOutput::new(Sink::Reply { reply_bytes_max }, log);
        let mut builder = sight.builder();
        builder
            .arg(sight.actor.actor_type())
            .stdin(MemoryInputPipe::new(input));
        Self::new(&mut builder, output, log)
    }

    fn new(builder: &mut WasiCtxBuilder, output: GuestOutput, log: &GuestLog) -> Self {
        let errors = GuestOutput::new(Sink::Errors, log);
        let wasi = builder
            .max_random_size(limits::GUEST_RANDOM_BYTES_MAX)
            .stdout(output.clone())
            .stderr(errors.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build_p1();
        Self {
            wasi,
            output,
            errors,
        }
    }

    /// Logs the lines that the guest has begun and not ended.
    pub fn flush(&self) {
        self.output.flush_line();
        self.errors.flush_line();
    }

    /// What a command has written so far.
    pub fn take_reply(&self) -> Bytes {
        std::mem::take(&mut *self.output.written.lock().unwrap()).into()
    }
}

#[derive(Clone, Copy)]
enum Sink {
    /// Lines at level info.
    Log,
    /// Lines at level warn, whose last ones are kept.
    Errors,
    /// All of it, for whoever asked.
    Reply { reply_bytes_max: usize },
}

/// One standard stream: cut into lines for the log, or kept whole.
#[derive(Clone)]
struct GuestOutput {
    sink: Sink,
    written: Arc<Mutex<Vec<u8>>>,
    log: GuestLog,
}

/// A command wrote more than a reply may hold.
#[derive(Debug, thiserror::Error)]
#[error("its standard output is longer than {0} bytes, the most that a reply may have")]
pub struct ReplyTooLong(usize);

impl GuestOutput {
    fn new(sink: Sink, log: &GuestLog) -> Self {
        Self {
            sink,
            written: Arc::default(),
            log: log.clone(),
        }
    }

    fn take_in(&self, bytes: &[u8]) -> Result<(), ReplyTooLong> {
        let mut written = self.written.lock().unwrap();
        if let Sink::Reply { reply_bytes_max } = self.sink {
            if written.len() + bytes.len() > reply_bytes_max {
                return Err(ReplyTooLong(reply_bytes_max));
            }
            written.extend_from_slice(bytes);
            return Ok(());
        }
        for &byte in bytes {
            if byte != b'\n' {
                written.push(byte);
            }
            if byte == b'\n' || written.len() >= limits::GUEST_LINE_BYTES_MAX {
                self.log_line(&written);
                written.clear();
            }
        }
        Ok(())
    }

    fn flush_line(&self) {
        let mut written = self.written.lock().unwrap();
        if !written.is_empty() && !matches!(self.sink, Sink::Reply { .. }) {
            self.log_line(&written);
            written.clear();
        }
    }

    fn log_line(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        match self.sink {
            Sink::Errors => self.log.stderr_line(&text),
            Sink::Log | Sink::Reply { .. } => self.log.line(log::Level::Info, &text),
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    /// Written at once: wasmtime's own adapter would hand the bytes to a task, and the last words before a trap
    /// would come too late.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_BYTES_MAX {
            return Err(StreamError::trap(
                "a write to a standard stream is larger than its permit",
            ));
        }
        let taken = self.take_in(&bytes);
        taken.map_err(|error| StreamError::Trap(wasmtime::Error::new(error)))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let taken = self.take_in(bytes).map_err(std::io::Error::other);
        Poll::Ready(taken.map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
