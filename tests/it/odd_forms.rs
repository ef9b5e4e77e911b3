//! Forms as no browser writes them: refused or read, never stored half, and no name in them is a path.

use std::io::Write;
use std::net::Shutdown;

use crate::guests::{ECHO, guest};
use crate::harness::{Answer, Node, node};
use crate::uploads::{FORM, post, raw};
use plexspaces_node::wasm::Kind;

const DEPLOY: &str = "/api/v1/applications/deploy";

/// A whole deploy of an echo with this boundary and these ends of lines.
fn form_with(boundary: &str, line_end: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in [
        ("application_id", "echo-app"),
        ("name", "echo"),
        ("version", "1"),
    ] {
        let part =
            format!("--{boundary}\nContent-Disposition: form-data; name=\"{name}\"\n\n{value}\n");
        body.extend_from_slice(part.replace('\n', line_end).as_bytes());
    }
    let head = format!("--{boundary}\nContent-Disposition: form-data; name=\"wasm_file\"\n\n");
    body.extend_from_slice(head.replace('\n', line_end).as_bytes());
    body.extend_from_slice(&guest(Kind::Core, ECHO));
    body.extend_from_slice(
        format!("\n--{boundary}--\n")
            .replace('\n', line_end)
            .as_bytes(),
    );
    body
}

fn deploy(node: &Node, content_type: &str, body: &[u8]) -> Answer {
    node.request("POST", DEPLOY, &[("content-type", content_type)], body)
}

#[test]
fn a_boundary_has_one_to_seventy_characters() {
    let node = node();
    for length in [1, 70] {
        let boundary = "b".repeat(length);
        let content_type = format!("multipart/form-data; boundary={boundary}");
        deploy(&node, &content_type, &form_with(&boundary, "\r\n")).is_deployed();
        assert_eq!(node.undeploy("echo").status, 200);
    }
    for boundary in ["b".repeat(71), "b".repeat(20_000)] {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let refused = deploy(&node, &content_type, &form_with(&boundary, "\r\n"));
        refused.is_refused(415, "INVALID_ARGUMENT", &["1 to 70 characters"]);
    }
    let none = deploy(
        &node,
        "multipart/form-data; boundary=",
        &form_with("", "\r\n"),
    );
    none.is_refused(415, "INVALID_ARGUMENT", &["1 to 70 characters"]);
    assert_eq!(node.total_applications(), 0);
}

#[test]
fn lines_that_end_in_a_line_feed_alone_make_no_form() {
    let node = node();
    let refused = deploy(&node, FORM, &form_with("x", "\n"));
    refused.is_refused(
        400,
        "INVALID_ARGUMENT",
        &["Failed to parse multipart/form-data"],
    );
    assert_eq!(node.total_applications(), 0);
}

#[test]
fn a_form_may_come_in_chunks_of_any_size() {
    let node = node();
    let body = form_with("x", "\r\n");
    for size in [1, 7, 64, 100_000] {
        let answer = raw(&node, &post(FORM, "Transfer-Encoding: chunked"), |stream| {
            for chunk in body.chunks(size) {
                let head = format!("{:x}\r\n", chunk.len());
                let chunk = [head.as_bytes(), chunk, b"\r\n"].concat();
                stream.write_all(&chunk).unwrap();
            }
            stream.write_all(b"0\r\n\r\n").unwrap();
        });
        assert!(
            answer.contains("APPLICATION_STATUS_RUNNING"),
            "{size}: {answer}"
        );
        assert_eq!(node.undeploy("echo").status, 200);
    }
}

#[test]
fn a_length_that_is_not_the_bodys_deploys_nothing() {
    let node = node();
    let body = form_with("x", "\r\n");
    // More comes than was announced: what was announced is no whole form, the rest is no request.
    let short = raw(
        &node,
        &post(FORM, &format!("Content-Length: {}", body.len() - 20)),
        |stream| {
            stream.write_all(&body).unwrap();
        },
    );
    assert!(short.starts_with("HTTP/1.1 400"), "{short}");
    // Less comes than was announced, and then nothing.
    let long = raw(
        &node,
        &post(FORM, &format!("Content-Length: {}", body.len() + 20)),
        |stream| {
            stream.write_all(&body[..body.len() - 2]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        },
    );
    assert!(
        long.is_empty() || long.starts_with("HTTP/1.1 400"),
        "{long}"
    );
    for odd in ["-1", "1e3", "99999999999999999999", "5, 6"] {
        let answer = raw(
            &node,
            &post(FORM, &format!("Content-Length: {odd}")),
            |stream| {
                let _ = stream.shutdown(Shutdown::Write);
            },
        );
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{odd}: {answer}"
        );
    }
    node.uploads_end();
    assert_eq!(node.files(), Vec::<std::path::PathBuf>::new());
    assert_eq!(node.total_applications(), 0);
}

#[test]
fn a_compressed_form_is_refused_with_words() {
    let node = node();
    for encoding in ["gzip", "br", "identity, gzip"] {
        let headers = [("content-type", FORM), ("content-encoding", encoding)];
        let refused = node.request("POST", DEPLOY, &headers, &form_with("x", "\r\n"));
        refused.is_refused(
            415,
            "INVALID_ARGUMENT",
            &["Content-Encoding", encoding, "as it is"],
        );
    }
    node.log_says("result=415 INVALID_ARGUMENT");
    let plain = [("content-type", FORM), ("content-encoding", "identity")];
    node.request("POST", DEPLOY, &plain, &form_with("x", "\r\n"))
        .is_deployed();
    let ask = node.ask_with("echo", &[("content-encoding", "deflate")], b"1");
    ask.is_refused(415, "INVALID_ARGUMENT", &["deflate"]);
    assert_eq!(node.ask("echo", b"1").body_payload(), "1");
}

#[test]
fn a_large_config_is_refused_in_few_words() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    let refused = |toml: &str| {
        let answer = node.form("echo", &echo).config(toml).send();
        answer.is_refused(422, "INVALID_ARGUMENT", &["the config is refused"]);
        assert!(answer.body.len() < 1_500, "{} bytes", answer.body.len());
    };
    refused(&format!("{} = 1", "k".repeat(1_000_000)));
    refused(&format!("name = '{}'", "n".repeat(1_000_000)));
    refused(&format!("tenant = '{}'", "t".repeat(1_000_000)));
    refused(&format!(
        "[limits]\nmax_execution_time = '{}'",
        "9".repeat(1_000_000)
    ));
    refused(&format!("type = '{}'", "t".repeat(1_000_000)));
    refused(&format!("dependencies = [{}]", "'a',".repeat(250_000)));
    refused(&"[".repeat(1_000_000));
    refused(&format!("x = {}", "[".repeat(1_000_000)));
    node.form("echo", &echo)
        .config(&format!("description = '{}'", "d".repeat(1_000_000)))
        .send()
        .is_deployed();
}

#[test]
fn odd_forms_are_refused_or_read_but_never_stored() {
    let node = node();
    let send = |content_type: &str, body: &[u8]| {
        node.request(
            "POST",
            "/api/v1/applications/deploy",
            &[("content-type", content_type)],
            body,
        )
    };
    let refused = |answer: crate::harness::Answer, words: &[&str]| {
        answer.is_refused(400, "INVALID_ARGUMENT", words)
    };
    let part = "--x\r\nContent-Disposition: form-data; name=\"version\"\r\n\r\n1\r\n";
    refused(
        send(FORM, format!("{part}{part}--x--\r\n").as_bytes()),
        &["version is given twice"],
    );
    refused(
        send(FORM, b"--x--\r\n"),
        &["missing required fields: application_id, name, version, wasm_file"],
    );
    refused(send(FORM, b""), &["Failed to parse multipart/form-data"]);
    refused(
        send(
            FORM,
            b"--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nnever ends",
        ),
        &["Failed to parse"],
    );
    refused(
        send(FORM, &b"--x\r\n\r\n\r\n".repeat(10_000)),
        &["unknown field \"\""],
    );
    refused(
        send(
            FORM,
            b"--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n\xff\xfe\r\n--x--\r\n",
        ),
        &["UTF-8"],
    );
    let long = format!(
        "--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n{}\r\n--x--\r\n",
        "n".repeat(5_000)
    );
    send(FORM, long.as_bytes()).is_refused(
        413,
        "RESOURCE_EXHAUSTED",
        &["Payload too large", "name"],
    );
    send("multipart/form-data", b"").is_refused(415, "INVALID_ARGUMENT", &["boundary"]);
    node.uploads_end();
    assert_eq!(node.files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn file_names_are_never_paths() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    for file_name in [
        "../../../etc/passwd",
        "%2e%2e/x",
        "\u{202e}gnp.exe",
        &"n".repeat(300),
    ] {
        let (content_type, body) = node.form("echo", &echo).encode();
        let at = body
            .windows(11)
            .position(|it| it == b"module.wasm")
            .unwrap();
        let body = [&body[..at], file_name.as_bytes(), &body[at + 11..]].concat();
        let headers = [("content-type", content_type.as_str())];
        node.request("POST", "/api/v1/applications/deploy", &headers, &body)
            .is_deployed();
        assert_eq!(node.undeploy("echo").status, 200);
    }
    let (content_type, body) = node.form("echo", &echo).encode();
    let at = body.windows(6).position(|it| it == b"module").unwrap();
    let body = [&body[..at], b"nul\0", &body[at..]].concat();
    deploy(&node, &content_type, &body).is_refused(400, "INVALID_ARGUMENT", &["Failed to parse"]);
}
