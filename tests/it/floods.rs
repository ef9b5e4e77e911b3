//! HTTP/2 as attackers write it, frame by frame: the node answers others meanwhile, and its memory stays where it was.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use crate::guests::{ECHO, guest};
use crate::harness::{Node, node};
use plexspaces_node::wasm::Kind;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// What a client says first.
pub const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame on the wire.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The head of a request in HPACK, nothing of it compressed but the method and the scheme.
pub fn request(method: u8, path: &str) -> Vec<u8> {
    let text = |index: u8, text: &str| [&[index, text.len() as u8], text.as_bytes()].concat();
    [vec![method, 0x86], text(4, path), text(1, "localhost")].concat()
}

const GET: u8 = 0x82;
pub const POST: u8 = 0x83;

/// A header of this many bytes that goes into no table.
fn header_of(bytes: usize) -> Vec<u8> {
    // A length of 127 and more: all ones, then what is left, seven bits at a time.
    let (mut length, mut left) = (vec![127], bytes - 127);
    while left >= 128 {
        length.push(left as u8 | 128);
        left >>= 7;
    }
    length.push(left as u8);
    [&[0, 1, b'x'], length.as_slice(), &vec![b'v'; bytes]].concat()
}

/// Opens a connection, sends what `frames` makes of each number until there is no more or the node hangs up, and reads
/// all the while. Answers with what the node sent.
fn flood(node: &Node, frames: impl FnMut(u32) -> Option<Vec<u8>>) -> Vec<u8> {
    flood_at(node.http, frames)
}

/// The same at either port.
pub fn flood_at(port: SocketAddr, frames: impl FnMut(u32) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut stream = TcpStream::connect(port).unwrap();
    let mut reading = stream.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let mut read = Vec::new();
        let _ = reading.read_to_end(&mut read);
        read
    });
    let opening = [OPENING, &frame(SETTINGS, 0, 0, b"")];
    let pieces = std::iter::once(opening.concat()).chain((0..).map_while(frames));
    for piece in pieces {
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    reader.join().unwrap()
}

/// Whether the node said goodbye: it found the connection at fault.
fn said_goodbye(mut read: &[u8]) -> bool {
    while let [a, b, c, kind, ..] = read {
        if *kind == GOAWAY {
            return true;
        }
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        read = read.get(9 + length..).unwrap_or_default();
    }
    false
}

/// Runs an attack five times at once against a node that others use, and sees that neither they nor its memory notice.
fn withstands(attack: impl Fn(&Node) + Sync) {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let before = node.rss_bytes();
    thread::scope(|scope| {
        let attacks: Vec<_> = (0..5).map(|_| scope.spawn(|| attack(&node))).collect();
        let mut answered = 0;
        while answered < 20 || attacks.iter().any(|it| !it.is_finished()) {
            assert_eq!(node.ask("echo", b"1").body_payload(), "1");
            answered += 1;
        }
    });
    let grown = node.rss_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "RSS grew by {grown} bytes");
    assert_eq!(node.get("/health").status, 200);
}

#[test]
fn requests_that_are_reset_at_once_end_the_connection() {
    let get = request(GET, "/api/v1/applications");
    withstands(|node| {
        let read = flood(node, |at| {
            let stream = 2 * at + 1;
            let asked = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get);
            let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            (at < 20_000).then(|| [asked, reset].concat())
        });
        assert!(said_goodbye(&read));
    });
}

#[test]
fn headers_that_never_end_end_the_connection() {
    let (get, more) = (request(GET, "/health"), header_of(200));
    withstands(|node| {
        let read = flood(node, |at| match at {
            0 => Some(frame(HEADERS, END_STREAM, 1, &get)),
            1..100_000 => Some(frame(CONTINUATION, 0, 1, &more)),
            _ => None,
        });
        assert!(said_goodbye(&read));
    });
}

#[test]
fn empty_continuations_without_end_end_the_connection() {
    let get = request(GET, "/health");
    withstands(|node| {
        let read = flood(node, |at| match at {
            0 => Some(frame(HEADERS, END_STREAM, 1, &get)),
            1..1_000 => Some(frame(CONTINUATION, 0, 1, b"").repeat(100)),
            _ => None,
        });
        assert!(said_goodbye(&read));
    });
}

#[test]
fn sixteen_megabytes_of_headers_are_not_kept() {
    let get = request(GET, "/health");
    let part = header_of(16_000);
    withstands(|node| {
        flood(node, |at| match at {
            0 => Some(frame(HEADERS, END_STREAM, 1, &get)),
            1..1_000 => Some(frame(CONTINUATION, 0, 1, &part)),
            1_000 => Some(frame(CONTINUATION, END_HEADERS, 1, b"")),
            _ => None,
        });
    });
}

#[test]
fn settings_and_pings_without_end_cost_nothing() {
    let setting = [0, 3, 0, 0, 0, 100];
    let both = [
        frame(SETTINGS, 0, 0, &setting),
        frame(PING, 0, 0, b"whatever"),
    ]
    .concat();
    let both = both.repeat(20);
    withstands(|node| {
        flood(node, |at| (at < 2_000).then(|| both.clone()));
    });
}

#[test]
fn pings_whose_answers_nobody_reads_stop_being_read() {
    let pings = frame(PING, 0, 0, b"whatever").repeat(1_000);
    withstands(|node| {
        let mut stream = TcpStream::connect(node.http).unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, b"")).unwrap();
        stream.set_nonblocking(true).unwrap();
        // Some megabytes fit into the sockets on the way; past them there is no more to be sent.
        for _ in 0..2_000 {
            if stream.write(&pings).is_err() {
                break;
            }
        }
    });
}

#[test]
fn bodies_of_empty_frames_cost_nothing() {
    let post = request(POST, "/api/v1/actors/default/echo");
    let empty = frame(DATA, 0, 1, b"").repeat(100);
    withstands(|node| {
        flood(node, |at| match at {
            0 => Some(frame(HEADERS, END_HEADERS, 1, &post)),
            1..1_000 => Some(empty.clone()),
            _ => None,
        });
    });
}

#[test]
fn streams_past_the_limit_are_refused_and_those_below_are_served() {
    let node = node();
    let get = request(GET, "/health");
    // All in one write, so that they are there at once.
    let asked = (0..500).flat_map(|at| frame(HEADERS, END_STREAM | END_HEADERS, 2 * at + 1, &get));
    let opening = [OPENING, &frame(SETTINGS, 0, 0, b"")];
    let mut stream = TcpStream::connect(node.http).unwrap();
    let asked = asked.collect::<Vec<u8>>();
    stream
        .write_all(&[&opening.concat(), &asked[..]].concat())
        .unwrap();
    let (mut served, mut refused) = (0, 0);
    while served + refused < 500 {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).unwrap();
        served += usize::from(kind == DATA && flags & END_STREAM != 0);
        refused += usize::from(kind == RST_STREAM);
        assert_ne!(
            kind, GOAWAY,
            "after {served} answers and {refused} refusals"
        );
    }
    assert!(served >= 64, "{served} answers and {refused} refusals");
    assert_eq!(node.get("/health").status, 200);
}
