//! Blobs over HTTP: streamed in and out, whole or in part, found again after a crash, and never a path of a client's choosing.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::full_disk::Disk;
use crate::harness::{Answer, Node, node};
use crate::tokens::create;

const ONE: &str = "/api/v1/blobs/maps/north/one.bin";

fn put(node: &Node, path: &str, bytes: &[u8]) -> Answer {
    node.request("PUT", path, &[], bytes)
}

#[track_caller]
fn stored(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["blob"].clone()
}

/// What the node answers to these bytes, until it closes.
fn raw(node: &Node, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(node.http).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// The files under which blobs lie.
fn files(node: &Node) -> Vec<PathBuf> {
    let entries = fs::read_dir(node.data_dir().join("blobs")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn keys(page: &Value) -> Vec<&str> {
    let blobs = page["blobs"].as_array().unwrap();
    blobs.iter().map(|it| it["key"].as_str().unwrap()).collect()
}

/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[test]
fn a_blob_is_put_fetched_described_and_removed() {
    let node = node();
    let headers = [("content-type", "text/plain; charset=utf-8")];
    let blob = stored(&node.request("PUT", ONE, &headers, b"hello"));
    assert_eq!(
        (&blob["bucket"], &blob["key"]),
        (&json!("maps"), &json!("north/one.bin"))
    );
    assert_eq!((&blob["size"], &blob["etag"]), (&json!(5), &json!(HELLO)));
    assert_eq!(blob["tenant"], "default");
    let fetched = node.get(ONE);
    assert_eq!((fetched.status, fetched.body.as_str()), (200, "hello"));
    let quoted = format!("\"{HELLO}\"");
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "5"),
        ("etag", &quoted),
        ("accept-ranges", "bytes"),
        ("x-blob-id", blob["blob_id"].as_str().unwrap()),
        ("content-disposition", "attachment"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(fetched.header(name), Some(value), "{name}");
    }
    assert!(fetched.header("last-modified").unwrap().ends_with(" GMT"));
    let head = node.request("HEAD", ONE, &[], b"");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(
        (head.header("content-length"), head.header("etag")),
        (Some("5"), Some(&*quoted))
    );
    let known = node.request("GET", ONE, &[("if-none-match", &quoted)], b"");
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    assert_eq!(node.request("DELETE", ONE, &[], b"").status, 200);
    for method in ["GET", "DELETE"] {
        node.request(method, ONE, &[], b"")
            .is_refused(404, "NOT_FOUND", &["no such blob"]);
    }
    node.waits_for("the file to go", || files(&node).is_empty());
}

#[test]
fn a_part_is_fetched_and_one_past_the_end_is_told_the_size() {
    let node = node();
    put(&node, ONE, b"0123456789");
    let part = |range: &str| node.request("GET", ONE, &[("range", range)], b"");
    let check = |range: &str, expected: &str, content_range: &str| {
        let answer = part(range);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (206, expected),
            "{range}"
        );
        assert_eq!(answer.header("content-range"), Some(content_range));
        assert_eq!(
            answer.header("content-length"),
            Some(&*expected.len().to_string())
        );
    };
    check("bytes=2-4", "234", "bytes 2-4/10");
    check("bytes=7-", "789", "bytes 7-9/10");
    check("bytes=-1", "9", "bytes 9-9/10");
    let beyond = part("bytes=10-");
    beyond.is_refused(416, "OUT_OF_RANGE", &["10 bytes"]);
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));
    let several = part("bytes=0-1,3-4");
    assert_eq!((several.status, several.body.as_str()), (200, "0123456789"));
    let stale = [
        ("range", "bytes=0-1"),
        ("if-range", "\"of another version\""),
    ];
    assert_eq!(node.request("GET", ONE, &stale, b"").status, 200);
    put(&node, ONE, b"");
    let empty = node.get(ONE);
    assert_eq!(
        (empty.status, empty.header("content-length")),
        (200, Some("0"))
    );
    part("bytes=0-").is_refused(416, "OUT_OF_RANGE", &["0 bytes"]);
}

#[test]
fn a_bucket_is_listed_in_pages_and_each_place_by_itself() {
    let node = node();
    for key in ["b", "a/2", "a/1", "a%2F3"] {
        put(&node, &format!("/api/v1/blobs/maps/{key}"), b"x");
    }
    put(
        &node,
        "/api/v1/blobs/maps/away?tenant=acme&namespace=shop",
        b"y",
    );
    let list = |query: &str| node.get(&format!("/api/v1/blobs/maps?{query}")).json();
    assert_eq!(keys(&list("")), ["a/1", "a/2", "a/3", "b"]);
    let page = list("prefix=a/&offset=1&limit=1");
    assert_eq!(keys(&page), ["a/2"]);
    let expected = json!({"total_size": 3, "offset": 1, "limit": 1, "has_next": true});
    assert_eq!(page["page"], expected);
    assert_eq!(keys(&list("tenant=acme&namespace=shop")), ["away"]);
    assert_eq!(node.get("/api/v1/blobs/maps/away").status, 404);
    assert_eq!(
        node.get("/api/v1/blobs/maps/away?tenant=acme&namespace=shop")
            .body,
        "y"
    );
    assert_eq!(keys(&node.get("/api/v1/blobs/empty").json()), [""; 0]);
}

#[test]
fn what_replaces_a_blob_takes_its_place_at_once_and_the_old_file_goes() {
    let node = node();
    let first = stored(&put(&node, ONE, b"first"));
    let second = stored(&put(&node, ONE, b"second"));
    assert_ne!(first["blob_id"], second["blob_id"]);
    assert_eq!(node.get(ONE).body, "second");
    node.waits_for("the first file to go", || files(&node).len() == 1);
    let checked = format!("{ONE}?sha256={HELLO}");
    put(&node, &checked, b"third").is_refused(422, "INVALID_ARGUMENT", &["sha256 does not match"]);
    assert_eq!(node.get(ONE).body, "second", "as it was");
    assert_eq!(put(&node, &checked, b"hello").status, 200);
}

#[test]
fn no_name_of_a_client_becomes_a_path() {
    let node = node();
    let long = "k".repeat(1_025);
    for path in [
        "/api/v1/blobs/..%2F..%2Fetc/x",
        "/api/v1/blobs/%2e%2e/x",
        "/api/v1/blobs/a%00b/x",
        "/api/v1/blobs/maps/a%00b",
        "/api/v1/blobs/maps/a%0Ab",
        &format!("/api/v1/blobs/maps/{long}"),
        "/api/v1/blobs/maps/x?tenant=..%2F..",
        "/api/v1/blobs/maps/x?namespace=a%20b",
    ] {
        put(&node, path, b"x").is_refused(400, "INVALID_ARGUMENT", &[]);
    }
    let before: Vec<_> = fs::read_dir(node.data_dir())
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    let odd = "/api/v1/blobs/maps/..%2F..%2Fnode.redb";
    assert_eq!(
        put(&node, odd, b"odd").status,
        200,
        "it is a key, and no more than that"
    );
    assert_eq!(node.get(odd).body, "odd");
    let after: Vec<_> = fs::read_dir(node.data_dir())
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    assert_eq!(after.len(), before.len());
    let [file] = &files(&node)[..] else {
        panic!("one file")
    };
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(
        name.len() == 32 && name.bytes().all(|it| it.is_ascii_hexdigit()),
        "{name}"
    );
}

#[test]
fn blobs_outlive_a_crash_and_what_has_no_record_is_swept_away() {
    let node = node();
    let large: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let blob = stored(&put(&node, ONE, &large));
    put(&node, "/api/v1/blobs/maps/lost", b"lost");
    let kept = blob["blob_id"].as_str().unwrap().to_owned();
    let dir = node.kill();
    let blobs = dir.path().join("blobs");
    fs::write(blobs.join("0123456789abcdef0123456789abcdef"), "half").unwrap();
    for entry in fs::read_dir(&blobs).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with(&kept) && fs::read(&path).unwrap() == b"lost" {
            fs::remove_file(path).unwrap();
        }
    }
    let node = Node::again(dir);
    let left = files(&node);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].ends_with(&kept), "{left:?}");
    let answer = raw(
        &node,
        &format!("GET {ONE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    );
    assert!(answer.ends_with(&large), "{} bytes", answer.len());
    node.log_says("the files of 1 blobs are gone");
    assert_eq!(node.get("/api/v1/blobs/maps/lost").status, 404);
    assert_eq!(
        keys(&node.get("/api/v1/blobs/maps").json()),
        ["north/one.bin"]
    );
}

#[test]
fn a_large_blob_passes_in_pieces_and_takes_no_memory_of_its_size() {
    let node = node();
    put(&node, ONE, &[1; 1_000_000]);
    node.get(ONE);
    let before = node.peak_bytes();
    let bytes = vec![7; 64 << 20];
    let blob = stored(&put(&node, ONE, &bytes));
    assert_eq!(blob["size"], 64 << 20);
    let answer = node.get(ONE);
    assert_eq!(answer.body.len(), 64 << 20);
    let grown = node.peak_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more than before");
}

#[test]
fn a_blob_that_is_too_large_is_refused_before_its_body() {
    let node = node();
    let head = format!(
        "PUT {ONE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 268435457\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    );
    let answer = String::from_utf8_lossy(&raw(&node, &head)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.contains("Payload too large: a blob has at most 256 MiB"),
        "{answer}"
    );
    assert!(files(&node).is_empty());
}

#[test]
fn to_read_blobs_takes_one_scope_and_to_change_them_another() {
    let node = node();
    let bearer = |scope| format!("Bearer {}", create(node.data_dir(), scope).1);
    let (reads, invokes, deploys) = (bearer("read"), bearer("invoke"), bearer("deploy"));
    let send = |bearer: &str, method: &str, path: &str| {
        let headers = [("x-forwarded-for", "192.0.2.7"), ("authorization", bearer)];
        node.request(method, path, &headers, b"x")
    };
    for bearer in [&reads, &invokes] {
        for method in ["PUT", "DELETE"] {
            send(bearer, method, ONE).is_refused(403, "PERMISSION_DENIED", &["deploy"]);
        }
    }
    assert_eq!(send(&deploys, "PUT", ONE).status, 200);
    node.log_says("PUT /api/v1/blobs/maps/north/one.bin");
    for path in [ONE, "/api/v1/blobs/maps"] {
        assert_eq!(send(&reads, "GET", path).status, 200);
        send("", "GET", path).is_refused(401, "UNAUTHENTICATED", &["token"]);
    }
    assert_eq!(send(&deploys, "DELETE", ONE).status, 200);
}

#[test]
fn blobs_leave_the_disk_room_for_the_node_itself() {
    let Some((dir, disk)) = Disk::mounted(48) else {
        return;
    };
    let node = Node::start(dir, &[]);
    assert_eq!(put(&node, ONE, &vec![1; 4 << 20]).status, 200);
    let head = "PUT /api/v1/blobs/maps/more HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13000000\r\n\
                Expect: 100-continue\r\nConnection: close\r\n\r\n";
    let more = String::from_utf8_lossy(&raw(&node, head)).into_owned();
    assert!(more.starts_with("HTTP/1.1 507 "), "{more}");
    assert!(more.contains("must keep 32 MiB free"), "{more}");
    disk.fill();
    put(&node, "/api/v1/blobs/maps/more", b"x").is_refused(507, "RESOURCE_EXHAUSTED", &["room"]);
    assert_eq!(node.get(ONE).body.len(), 4 << 20);
    assert_eq!(files(&node).len(), 1);
    disk.make_room();
    assert_eq!(put(&node, "/api/v1/blobs/maps/more", b"x").status, 200);
}

#[test]
fn other_methods_and_compressed_bodies_are_refused() {
    let node = node();
    for (method, path) in [
        ("POST", ONE),
        ("PUT", "/api/v1/blobs/maps"),
        ("DELETE", "/api/v1/blobs/maps"),
    ] {
        node.request(method, path, &[], b"x")
            .is_refused(405, "UNIMPLEMENTED", &["use"]);
    }
    let headers = [("content-encoding", "gzip")];
    node.request("PUT", ONE, &headers, b"x").is_refused(
        415,
        "INVALID_ARGUMENT",
        &["Content-Encoding"],
    );
}
