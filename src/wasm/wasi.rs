//! The little of the world that a guest gets: clocks, random bytes, its environment, and a log for its words.
//!
//! All of WASI 0.2 links, so that any toolchain's output starts. Files and sockets are denied at use: there is no
//! preopened directory, no address passes, no name resolves.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, async_trait};

use super::host::logging::GuestLog;
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

/// Whether an import such as `wasi:cli/environment@0.2.3` is provided.
pub fn provides(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else {
        return false;
    };
    version.starts_with("0.2.")
        && (INTERFACES.contains(&interface) || CREATE_SOCKET.contains(&interface))
}

/// The world of one guest, with its environment from the spec and nothing from the node's own.
pub fn world(env: &[(String, String)], log: &GuestLog) -> WasiCtx {
    let output = |stream| GuestOutput {
        stream,
        line: Arc::default(),
        log: log.clone(),
    };
    WasiCtxBuilder::new()
        .envs(env)
        .stdout(output(Stream::Out))
        .stderr(output(Stream::Err))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// One standard stream, cut into lines for the log.
#[derive(Clone)]
struct GuestOutput {
    stream: Stream,
    line: Arc<Mutex<Vec<u8>>>,
    log: GuestLog,
}

impl GuestOutput {
    fn take_in(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap();
        for &byte in bytes {
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' || line.len() >= limits::GUEST_LINE_BYTES_MAX {
                self.log_line(&line);
                line.clear();
            }
        }
    }

    fn log_line(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        match self.stream {
            Stream::Out => self.log.line(log::Level::Info, &text),
            Stream::Err => self.log.stderr_line(&text),
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
        self.take_in(&bytes);
        Ok(())
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
        self.take_in(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
