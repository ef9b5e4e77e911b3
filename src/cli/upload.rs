//! A deploy's form as a body that is read from the disk piece by piece as the connection takes it.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};

use super::module::{Module, hexadecimal};
use crate::limits;

/// What goes before the file and after it, and the file.
pub struct Form {
    boundary: String,
    head: Bytes,
    file: File,
    left: u64,
    hasher: Sha256,
    stage: Stage,
    pub progress: Progress,
    /// What is waited for before the first byte.
    wanted: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    File,
    Done,
}

/// How far a body has come: on a terminal as a bar, and for whoever watches that it goes on.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    sent: Arc<AtomicU64>,
    whole: u64,
}

impl Form {
    /// The form's text fields, then the module, then its SHA-256 as it was read.
    pub fn new(fields: &[(&str, &str)], module: Module, bar: ProgressBar) -> io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let boundary = hexadecimal(&random);
        let mut head = String::new();
        for (name, value) in fields {
            head.push_str(&part(&boundary, &format!("name=\"{name}\"")));
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str(&part(
            &boundary,
            "name=\"wasm_file\"; filename=\"module.wasm\"",
        ));
        Ok(Self {
            boundary,
            head: head.into(),
            file: module.file,
            left: module.bytes,
            hasher: Sha256::new(),
            stage: Stage::Head,
            progress: Progress {
                bar,
                sent: Arc::default(),
                whole: module.bytes,
            },
            wanted: None,
        })
    }

    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Nothing of it is sent until this resolves.
    pub fn hold_back(&mut self, until: impl Future<Output = ()> + Send + 'static) {
        self.wanted = Some(Box::pin(until));
    }

    /// Every byte of it, from now on.
    pub fn length(&self) -> u64 {
        self.head.len() as u64 + self.left + self.tail(&"0".repeat(64)).len() as u64
    }

    fn tail(&self, sha256: &str) -> String {
        let part = part(&self.boundary, "name=\"sha256\"");
        format!("\r\n{part}{sha256}\r\n--{}--\r\n", self.boundary)
    }

    /// The next piece; `None` after the last.
    fn piece(&mut self) -> Option<io::Result<Bytes>> {
        match self.stage {
            Stage::Head => {
                self.stage = Stage::File;
                Some(Ok(self.head.clone()))
            }
            Stage::File if self.left > 0 => Some(self.piece_of_file()),
            Stage::File => {
                self.stage = Stage::Done;
                let sha256 = hexadecimal(&self.hasher.finalize_reset());
                self.progress.bar.set_message("compiling on the node");
                Some(Ok(self.tail(&sha256).into()))
            }
            Stage::Done => None,
        }
    }

    fn piece_of_file(&mut self) -> io::Result<Bytes> {
        let length = self.left.min(limits::CHUNK_BYTES_MAX as u64) as usize;
        let mut piece = BytesMut::zeroed(length);
        let read = self.file.read(&mut piece)?;
        if read == 0 {
            return Err(io::Error::other(
                "the file became shorter while it was sent",
            ));
        }
        piece.truncate(read);
        self.left -= read as u64;
        self.hasher.update(&piece);
        self.progress.advance(read as u64);
        Ok(piece.freeze())
    }
}

fn part(boundary: &str, name: &str) -> String {
    format!("--{boundary}\r\nContent-Disposition: form-data; {name}\r\n\r\n")
}

impl Progress {
    fn advance(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.bar.inc(bytes);
    }

    /// Whether all of the module is on its way.
    pub fn ended(&self) -> bool {
        self.sent() == self.whole
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Body for Form {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(wanted) = &mut self.wanted {
            ready!(wanted.as_mut().poll(context));
            self.wanted = None;
        }
        // Blocks for as long as the disk takes: nothing else runs beside an upload.
        Poll::Ready(self.piece().map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.stage == Stage::Done
    }

    fn size_hint(&self) -> SizeHint {
        match self.stage {
            Stage::Head => SizeHint::with_exact(self.length()),
            _ => SizeHint::default(),
        }
    }
}
