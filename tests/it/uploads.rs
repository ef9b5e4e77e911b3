//! Uploads: exact limits, hostile forms, clients that leave; memory stays flat and the disk stays clean.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::guests::{ECHO, guest};
use crate::harness::{Node, node};
use plexspaces_node::limits::WASM_FILE_BYTES_MAX;
use plexspaces_node::wasm::Kind;

/// An echo module of exactly this size: what it lacks is a custom section of zeros.
pub fn echo_of(bytes: u64) -> Vec<u8> {
    let mut wasm = guest(Kind::Core, ECHO);
    // Section id, its size as a LEB128 of five bytes, a name of length zero, then the padding.
    let padding = bytes as usize - wasm.len() - 7;
    let size = (padding + 1) as u32;
    wasm.push(0);
    wasm.extend((0..5).map(|i| (size >> (7 * i)) as u8 & 0x7f | if i < 4 { 0x80 } else { 0 }));
    wasm.push(0);
    wasm.resize(bytes as usize, 0);
    wasm
}

/// Sends raw bytes, and reads what comes back until the node closes or is done.
pub fn raw(node: &Node, head: &str, body: impl FnOnce(&mut TcpStream)) -> String {
    let mut stream = TcpStream::connect(node.http).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    body(&mut stream);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    // A client that is refused may see a reset after the answer; what it has read by then counts.
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..read]);
        if answer.ends_with(b"}") {
            break;
        }
    }
    String::from_utf8(answer).unwrap()
}

pub fn post(content_type: &str, framing: &str) -> String {
    format!(
        "POST /api/v1/applications/deploy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: {content_type}\r\n{framing}\r\n\r\n"
    )
}

pub const FORM: &str = "multipart/form-data; boundary=x";

#[test]
fn a_module_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let node = node();
    let mut wasm = echo_of(WASM_FILE_BYTES_MAX);
    let before = node.rss_bytes();
    node.deploy("large", &wasm).is_deployed();
    assert_eq!(node.ask("large", b"1").body_payload(), "1");
    let grown = node.rss_bytes().saturating_sub(before);
    assert!(
        grown < 16 << 20,
        "RSS grew by {grown} bytes over an upload of 100 MiB"
    );
    wasm.push(0);
    let refused = node.deploy("larger", &wasm);
    refused.is_refused(
        413,
        "RESOURCE_EXHAUSTED",
        &["Payload too large", "104857600", "wasm-tools strip"],
    );
    node.uploads_end();
    assert_eq!(node.total_applications(), 1);
}

#[test]
fn a_body_that_announces_too_much_is_refused_before_it_is_sent() {
    let node = node();
    let answer = raw(
        &node,
        &post(FORM, "Expect: 100-continue\r\nContent-Length: 200000000"),
        |_| {},
    );
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(
        !answer.contains("100 Continue") && answer.contains("Payload too large"),
        "{answer}"
    );
}

#[test]
fn part_headers_and_preambles_without_an_end_are_cut_short() {
    let node = node();
    for start in ["--x\r\nContent-Disposition: form-data; name=\"", ""] {
        let answer = raw(&node, &post(FORM, "Content-Length: 40000000"), |stream| {
            let _ = stream.write_all(start.as_bytes());
            let piece = [b'a'; 16 * 1024];
            // It stops listening long before this has all been sent.
            for _ in 0..2_000 {
                if stream.write_all(&piece).is_err() {
                    break;
                }
            }
        });
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer:?}");
        assert!(answer.contains("no end within 64 KiB"), "{answer:?}");
    }
    assert_eq!(node.get("/health").status, 200);
}

#[test]
fn an_upload_that_is_cut_at_any_place_leaves_nothing() {
    let node = node();
    let (content_type, body) = node.form("cut", &guest(Kind::Core, ECHO)).encode();
    let head = post(&content_type, &format!("Content-Length: {}", body.len()));
    let cut_at = |end: usize, times: usize| {
        let mut stream = TcpStream::connect(node.http).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[..end]).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
        // Each leaves its line once it is over; only then does an empty folder tell something.
        let deadline = Instant::now() + Duration::from_secs(20);
        while node.log_count("/applications/deploy\" result=") < times {
            assert!(Instant::now() < deadline, "the upload cut at {end} goes on");
            std::thread::yield_now();
        }
    };
    let ends = 0..body.len() - 1;
    ends.zip(1..).for_each(|(end, times)| cut_at(end, times));
    assert_eq!(node.log_count("result=ok"), 0);
    // A whole one after them shows that nothing of them is in its way.
    node.uploads_end();
    assert_eq!(node.total_applications(), 0);
    assert_eq!(node.files(), Vec::<std::path::PathBuf>::new());
    node.deploy("cut", &echo_of(300_000)).is_deployed();
}

#[test]
fn two_uploads_at_a_time_and_the_next_is_told_to_come_back() {
    let node = node();
    let open = || {
        let mut stream = TcpStream::connect(node.http).unwrap();
        stream
            .write_all(post(FORM, "Expect: 100-continue\r\nContent-Length: 1000").as_bytes())
            .unwrap();
        // The node asks for the body once it has taken the upload in.
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    };
    let first = open();
    let _second = open();
    let refused = node.deploy("third", &guest(Kind::Core, ECHO));
    refused.is_refused(503, "UNAVAILABLE", &["2 uploads", "again"]);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(node.get("/health").status, 200);
    drop(first);
    // Its place is free as soon as the node has noticed.
    while node.deploy("third", &guest(Kind::Core, ECHO)).status == 503 {}
    assert_eq!(node.ask("third", b"1").body_payload(), "1");
}
