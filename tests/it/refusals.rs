//! Every refusal of the gateway in one table, `docs/refusals.md`, made from what a running node answers.
//!
//! When a text changes, `UPDATE=1 cargo test --test it refusals` writes the table anew; read it as a user would.

use std::fmt::Write;
use std::fs;

use crate::forms::component;
use crate::guests::{ECHO, RASCAL, component_with, guest};
use crate::harness::{Answer, Node};
use plexspaces_node::wasm::Kind;

const HEAD: &str = "# Refusals

What a node answers when it says no: a status, a code, and a text that says what is wrong and what to do. Every error
has the shape `{\"success\":false,\"error\":TEXT,\"code\":CODE}`. Made from a running node by `tests/it/refusals.rs`.

| request | status | code | text |
| --- | --- | --- | --- |
";

/// Two memories of 37.5 MiB.
const TWO_LARGE: &str = "(core module $large (memory 600))
    (core instance (instantiate $large)) (core instance (instantiate $large))";

const NAME_PART: &[u8] = b"--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\na\r\n";

#[test]
fn the_table_of_refusals_is_what_the_node_answers() {
    let node = Node::unforgiving();
    let mut table = HEAD.to_owned();
    for (request, answer) in deploys(&node).into_iter().chain(calls(&node)) {
        let json = answer.json();
        let (code, text) = (
            json["code"].as_str().unwrap(),
            json["error"].as_str().unwrap(),
        );
        assert_eq!(
            json["success"], false,
            "{request} is not refused: {answer:?}"
        );
        assert!(
            !text.contains('\n') && text.len() < 400,
            "{request}: {text:?}"
        );
        let text = text.replace('|', "\\|");
        writeln!(table, "| {request} | {} | {code} | {text} |", answer.status).unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/refusals.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, &table).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == table,
        "docs/refusals.md is not what the node answers; the node's is:\n{table}"
    );
}

fn deploys(node: &Node) -> Vec<(&'static str, Answer)> {
    let echo = guest(Kind::Core, ECHO);
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let post = |query: &str, content_type: &str, body: &[u8]| {
        let path = format!("/api/v1/applications/deploy{query}");
        node.request("POST", &path, &[("content-type", content_type)], body)
    };
    let form = || node.form("echo", &echo);
    node.form("running", &echo).send().is_deployed();
    let handler = r#"(func (export "handle_request") (param i32 i32 i32 i32 i32 i32))"#;
    let module = |inside: &str| {
        wat(&format!(
            r#"(module {inside} (memory (export "memory") 1) {handler})"#
        ))
    };
    vec![
        ("deploy without a form", post("", "text/plain", b"hello")),
        (
            "deploy of a form that breaks off",
            post("", "multipart/form-data; boundary=x", b"--x\r\n"),
        ),
        (
            "deploy with a boundary of 71 characters",
            post(
                "",
                &format!("multipart/form-data; boundary={}", "b".repeat(71)),
                b"",
            ),
        ),
        (
            "deploy of a compressed form",
            node.request(
                "POST",
                "/api/v1/applications/deploy",
                &[("content-encoding", "gzip")],
                b"",
            ),
        ),
        (
            "deploy with an odd query",
            post("?dry=1", "multipart/form-data; boundary=x", b""),
        ),
        (
            "deploy of nothing",
            post("", "multipart/form-data; boundary=x", b"--x--\r\n"),
        ),
        ("deploy without a version", form().without("version").send()),
        (
            "deploy with a field twice",
            post(
                "",
                "multipart/form-data; boundary=x",
                &[NAME_PART, NAME_PART, b"--x--\r\n"].concat(),
            ),
        ),
        (
            "deploy with an unknown field",
            form().field("wasm-file", "x").send(),
        ),
        (
            "deploy under a name like a path",
            form().field("name", "../echo").send(),
        ),
        (
            "deploy with a version of no characters",
            form().field("version", "").send(),
        ),
        (
            "deploy with a long text field",
            form().field("version", &"1".repeat(5_000)).send(),
        ),
        (
            "deploy with another sha256",
            form().field("sha256", "00").send(),
        ),
        (
            "deploy with an unknown key in config",
            form().config("[limits]\nmax_memory = 1").send(),
        ),
        (
            "deploy with a value out of range in config",
            form().config("[limits]\nmax_mailbox = 0").send(),
        ),
        (
            "deploy with a capability that no guest gets",
            form().config("[capabilities]\nallow_network = true").send(),
        ),
        (
            "deploy with another name in config",
            form().config("name = 'other'").send(),
        ),
        (
            "deploy with an impossible tree",
            form()
                .config("[[supervisor.children]]\nid = 'a'\n[[supervisor.children]]\nid = 'a'")
                .send(),
        ),
        (
            "deploy that depends on what does not run",
            form().config("dependencies = ['none']").send(),
        ),
        (
            "upgrade to what does not start",
            node.deploy(
                "running",
                &module("(func $start (unreachable)) (start $start)"),
            ),
        ),
        (
            "rollback of what has no version before",
            node.wish("running", "rollback"),
        ),
        (
            "deploy with the id of another application",
            form().field("application_id", "running-app").send(),
        ),
        ("deploy of what is no module", node.deploy("odd", b"hello")),
        (
            "deploy of a module's path",
            node.deploy("odd", b"actors/odd.wasm"),
        ),
        (
            "deploy with a config's path",
            node.form("odd", &echo).config("odd.toml").send(),
        ),
        (
            "deploy with a list for a table in config",
            node.form("odd", &echo)
                .config("version = \"1.0.0\"\nlimits = [1, 2]")
                .send(),
        ),
        (
            "deploy of a damaged module",
            node.deploy("odd", b"\0asm\x01\0\0\0\xff\xff"),
        ),
        (
            "deploy of a module without exports",
            node.deploy("odd", &wat("(module)")),
        ),
        (
            "deploy of a module without a handler",
            node.deploy("odd", &wat(r#"(module (func (export "run")))"#)),
        ),
        (
            "deploy of a module without memory",
            node.deploy("odd", &wat(&format!("(module {handler})"))),
        ),
        (
            "deploy of a module that lacks imports",
            node.deploy(
                "odd",
                &module(r#"(import "env" "abort" (func)) (import "env" "log" (func))"#),
            ),
        ),
        (
            "deploy of a core module whose handler has another type",
            node.deploy(
                "odd",
                &wat(r#"(module (memory (export "memory") 1)
                       (func (export "handle_request") (param i32 i32)))"#),
            ),
        ),
        (
            "deploy of a component whose handler has another type",
            node.deploy(
                "odd",
                &component(
                    r#"(param "count" u32)"#,
                    "(option u32)",
                    "(param i32) (result i32)",
                    "(local.get 0)",
                ),
            ),
        ),
        (
            "deploy of a module that traps at its start",
            node.deploy("odd", &module("(func $start (unreachable)) (start $start)")),
        ),
        (
            "deploy of a module whose init refuses",
            node.deploy(
                "odd",
                &module(r#"(func (export "init") (param i32 i32) (result i32) (i32.const 1))"#),
            ),
        ),
        (
            "deploy of a module that starts too large",
            node.deploy("odd", &wat("(module (memory 2000))")),
        ),
        (
            "deploy of a component whose memories are too large together",
            node.deploy("odd", &component_with(TWO_LARGE, ECHO)),
        ),
    ]
}

fn calls(node: &Node) -> Vec<(&'static str, Answer)> {
    let get = |path: &str, headers: &[(&str, &str)]| node.request("GET", path, headers, b"");
    let limits = "[limits]\nmax_execution_time = '20ms'";
    node.form("rascal", &guest(Kind::Core, RASCAL))
        .config(limits)
        .send()
        .is_deployed();
    let slow = [("x-timeout-ms", "1")];
    let mut calls = vec![
        ("a path that is not there", get("/nowhere", &[])),
        (
            "a method that is not served",
            node.request("PATCH", "/api/v1/applications", &[], b""),
        ),
        (
            "a host that is not ours",
            get("/health", &[("host", "evil.example")]),
        ),
        (
            "a page of another origin",
            get("/health", &[("origin", "http://evil.example")]),
        ),
        (
            "a caller from elsewhere",
            get("/api/v1/applications", &[("x-forwarded-for", "192.0.2.7")]),
        ),
        (
            "an application that is not there",
            get("/api/v1/applications/none", &[]),
        ),
        (
            "a page of a list that is no number",
            get("/api/v1/dashboard/actors?limit=all", &[]),
        ),
        (
            "a workflow that is not there",
            get("/api/v1/workflows/running/none", &[]),
        ),
        (
            "workflows of a status that is none",
            get("/api/v1/workflows?status=odd", &[]),
        ),
        (
            "a signal without a name",
            node.request("POST", "/api/v1/workflows/running/none/signal", &[], b""),
        ),
        (
            "a blob that is not there",
            get("/api/v1/blobs/maps/none", &[]),
        ),
        (
            "a bucket that is none",
            node.request("PUT", "/api/v1/blobs/a%2Fb/key", &[], b""),
        ),
        ("a part of a blob past its end", {
            node.request("PUT", "/api/v1/blobs/maps/empty", &[], b"");
            get("/api/v1/blobs/maps/empty", &[("range", "bytes=7-")])
        }),
        (
            "a blob that is not what its sha256 says",
            node.request("PUT", "/api/v1/blobs/maps/key?sha256=00", &[], b""),
        ),
        ("undeploy by the id", node.undeploy("running-app")),
        ("an actor that is not there", node.ask("none", b"")),
        (
            "an actor of a tenant that has none such",
            node.request("POST", "/api/v1/actors/other/default/running", &[], b""),
        ),
        (
            "an actor's id that is not there",
            node.request("POST", "/api/v1/actors/by-id/none", &[], b""),
        ),
        (
            "a message over 1 MiB",
            node.ask("running", &vec![b'x'; 1_048_577]),
        ),
        (
            "a message type of no characters",
            node.ask_with("running", &[("x-message-type", "")], b""),
        ),
        (
            "a deadline out of range",
            node.ask_with("running", &[("x-timeout-ms", "0")], b""),
        ),
        (
            "an actor that answers too late",
            node.ask_with("rascal", &slow, b"spin"),
        ),
        (
            "an actor that computes too long",
            node.ask("rascal", b"spin"),
        ),
        ("an actor that traps", node.ask("rascal", b"trap")),
    ];
    calls.extend(tuples(node));
    assert_eq!(node.wish("running", "stop").status, 200);
    calls.push((
        "an actor whose application is stopped",
        node.ask("running", b""),
    ));
    calls.push((
        "start of an application that is not there",
        node.wish("none", "start"),
    ));
    calls.push((
        "a log with an odd query",
        get("/api/v1/applications/running/logs?tail=all", &[]),
    ));
    // What has used up its restarts has failed for good.
    while node.ask("rascal", b"trap").status == 502 {}
    calls.push((
        "an actor whose application has failed",
        node.ask("rascal", b""),
    ));
    calls
}

fn tuples(node: &Node) -> Vec<(&'static str, Answer)> {
    let post = |verb: &str, body: &str| {
        let path = format!("/api/v1/tuplespace/{verb}");
        node.request("POST", &path, &[], body.as_bytes())
    };
    vec![
        ("a tuple that is no array", post("tuples", r#"{"tuple":1}"#)),
        ("a tuple alone", post("tuples", r#"["order",1]"#)),
        ("a body that breaks off", post("tuples", r#"{"tuple":["#)),
        ("a body without a tuple", post("tuples", "{}")),
        (
            "a body with an unknown key",
            post("tuples", r#"{"tupel":[1]}"#),
        ),
        (
            "a tuple whose time is no number",
            post("tuples", r#"{"tuple":[1],"ttl_ms":"1h"}"#),
        ),
        ("a tuple in a tuple", post("tuples", r#"{"tuple":[[1]]}"#)),
        (
            "a field of a pattern in a tuple",
            post("tuples", r#"{"tuple":[{"any":true}]}"#),
        ),
        (
            "a field that is none",
            post("take", r#"{"pattern":[{"kind":1}]}"#),
        ),
        (
            "a type of a field that is none",
            post("take", r#"{"pattern":[{"type":"number"}]}"#),
        ),
        (
            "a tuple that lives for no time",
            post("tuples", r#"{"tuple":[],"ttl_ms":0}"#),
        ),
        (
            "a predicate that is none",
            post("take", r#"{"pattern":[{"predicate":"10"}]}"#),
        ),
        (
            "a wait for tuples that is too long",
            post("take", r#"{"pattern":[],"timeout_ms":600001}"#),
        ),
        (
            "a list of tuples without a pattern",
            node.get("/api/v1/tuplespace/tuples"),
        ),
    ]
}
