//! Tokens: who may call from elsewhere, the commands that make and revoke them, the audit trail, the dashboard's form.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use plexspaces_node::wasm::Kind;
use serde_json::Value;
use tempfile::TempDir;

use crate::guests::{ECHO, guest};
use crate::harness::{Answer, Node, command, node};

const APPLICATIONS: &str = "/api/v1/applications";
const DEPLOY: &str = "/api/v1/applications/deploy";
const SUMMARY: &str = "/api/v1/dashboard/summary";

/// Runs `plexspaces token`.
fn token(data_dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plexspaces"))
        .arg("token")
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub fn token_json(data_dir: &Path, arguments: &[&str]) -> Value {
    let output = token(data_dir, &[arguments, &["--output", "json"]].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The id and the text of a new token.
pub fn create(data_dir: &Path, scope: &str) -> (String, String) {
    let created = token_json(data_dir, &["create", "--scope", scope]);
    let text = |key: &str| created[key].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

fn says(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap()
}

/// Somebody on another machine, as a proxy on this one would pass their calls on.
struct Stranger<'a> {
    node: &'a Node,
    authorization: String,
}

impl Stranger<'_> {
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut headers = headers.to_vec();
        headers.push(("x-forwarded-for", "192.0.2.7"));
        if !self.authorization.is_empty() {
            headers.push(("authorization", &self.authorization));
        }
        self.node.request(method, path, &headers, body)
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    fn deploy(&self, name: &str) -> Answer {
        let wasm = guest(Kind::Core, ECHO);
        let (content_type, body) = self.node.form(name, &wasm).encode();
        self.send("POST", DEPLOY, &[("content-type", &content_type)], &body)
    }

    fn ask(&self, name: &str) -> Answer {
        let path = format!("/api/v1/actors/{name}/{name}");
        self.send("POST", &path, &[], b"hello")
    }

    fn undeploy(&self, name: &str) -> Answer {
        self.send("DELETE", &format!("{APPLICATIONS}/{name}"), &[], b"")
    }
}

fn stranger<'a>(node: &'a Node, authorization: &str) -> Stranger<'a> {
    let authorization = authorization.to_owned();
    Stranger {
        node,
        authorization,
    }
}

fn bearer<'a>(node: &'a Node, token: &str) -> Stranger<'a> {
    stranger(node, &format!("Bearer {token}"))
}

#[test]
fn a_stranger_is_told_how_to_get_a_token() {
    let node = node();
    let nobody = stranger(&node, "");
    let refused = nobody.deploy("echo");
    let words = ["plexspaces token create --scope deploy", "Authorization"];
    refused.is_refused(401, "UNAUTHENTICATED", &words);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    nobody
        .get(APPLICATIONS)
        .is_refused(401, "UNAUTHENTICATED", &["--scope read"]);
    let never_made = format!("plx_{}", "A".repeat(43));
    for wrong in [never_made.as_str(), "plx_", "hunter2"] {
        let refused = bearer(&node, wrong).get(APPLICATIONS);
        refused.is_refused(401, "UNAUTHENTICATED", &["no such token"]);
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
}

#[test]
fn a_token_permits_its_scope_and_those_before_it() {
    let node = node();
    let [reader, invoker, deployer] =
        ["read", "invoke", "deploy"].map(|scope| bearer(&node, &create(node.data_dir(), scope).1));
    let needs = |answer: Answer, has: &str, needs: &str| {
        let words = [format!("permits {has}"), format!("needs {needs}")];
        answer.is_refused(403, "PERMISSION_DENIED", &words.each_ref().map(|it| &**it));
    };
    needs(reader.deploy("echo"), "read", "deploy");
    needs(invoker.deploy("echo"), "invoke", "deploy");
    deployer.deploy("echo").is_deployed();
    needs(reader.ask("echo"), "read", "invoke");
    for may_invoke in [&invoker, &deployer] {
        assert_eq!(may_invoke.ask("echo").status, 200);
    }
    for may_read in [&reader, &invoker, &deployer] {
        for path in [APPLICATIONS, "/api/v1/applications/echo", SUMMARY] {
            assert_eq!(may_read.get(path).status, 200, "{path}");
        }
        let unknown = may_read.get("/nowhere");
        unknown.is_refused(404, "NOT_FOUND", &["no such path"]);
    }
    needs(reader.undeploy("echo"), "read", "deploy");
    needs(invoker.undeploy("echo"), "invoke", "deploy");
    assert_eq!(deployer.undeploy("echo").status, 200);
}

#[test]
fn a_running_node_knows_of_a_revoked_token_at_once() {
    let node = node();
    let (id, text) = create(node.data_dir(), "read");
    let (_, other) = create(node.data_dir(), "read");
    let (holder, other) = (bearer(&node, &text), bearer(&node, &other));
    assert_eq!(
        (holder.get(SUMMARY).status, other.get(SUMMARY).status),
        (200, 200)
    );
    let revoked = token(node.data_dir(), &["revoke", &id]);
    assert_eq!(revoked.status.code(), Some(0), "{revoked:?}");
    holder
        .get(SUMMARY)
        .is_refused(401, "UNAUTHENTICATED", &["revoked"]);
    assert_eq!(other.get(SUMMARY).status, 200);
    // A new node on the same data knows the same tokens.
    let again = Node::start(node.kill(), &[]);
    assert_eq!(bearer(&again, &text).get(SUMMARY).status, 401);
}

#[test]
fn a_damaged_file_lets_nobody_in_and_keeps_the_machine_itself() {
    let node = node();
    let (_, text) = create(node.data_dir(), "deploy");
    fs::write(node.data_dir().join("tokens.json"), "{").unwrap();
    let holder = bearer(&node, &text);
    for _ in 0..2 {
        holder.get(SUMMARY).is_refused(500, "INTERNAL", &["log"]);
    }
    assert_eq!(node.get(SUMMARY).status, 200);
    node.log_says("tokens.json is not as plexspaces wrote it");
    assert_eq!(node.log_count("tokens.json is not as"), 1);
    let said = says(&token(node.data_dir(), &["list"]));
    assert!(said.contains("tokens.json is not as"), "{said}");
    let health = node.get("/health").json();
    let degraded = &health["degraded"][0];
    assert_eq!(
        (&health["status"], &degraded["component"]),
        (&"degraded".into(), &"tokens".into())
    );
    let reason = degraded["reason"].as_str().unwrap();
    assert!(
        reason.contains("tokens.json") && reason.contains("create new tokens"),
        "{reason}"
    );
    fs::remove_file(node.data_dir().join("tokens.json")).unwrap();
    assert_eq!(node.get("/health").json()["status"], "healthy");
}

#[test]
fn a_token_can_be_required_of_the_machine_itself() {
    let node = Node::start(TempDir::new().unwrap(), &["--require-token"]);
    for open in ["/health", "/", "/assets/dashboard.js"] {
        assert_eq!(node.get(open).status, 200, "{open}");
    }
    node.get(SUMMARY)
        .is_refused(401, "UNAUTHENTICATED", &["plexspaces token create"]);
    let (_, text) = create(node.data_dir(), "read");
    let authorization = format!("Bearer {text}");
    let local = node.request("GET", SUMMARY, &[("authorization", &authorization)], b"");
    assert_eq!(local.status, 200, "{local:?}");
}

#[test]
fn remote_calls_can_be_left_open_with_a_warning() {
    let node = Node::start(TempDir::new().unwrap(), &["--insecure-allow-remote"]);
    node.log_says("WARN  node: --insecure-allow-remote");
    let nobody = stranger(&node, "");
    nobody.deploy("echo").is_deployed();
    assert_eq!(nobody.ask("echo").status, 200);
    node.log_says("who=stranger");
    // Web pages of other origins stay out.
    let foreign = [("origin", "http://evil.example")];
    let refused = nobody.send("GET", SUMMARY, &foreign, b"");
    refused.is_refused(403, "PERMISSION_DENIED", &["origins"]);
}

#[test]
fn the_environment_can_require_a_token_too() {
    let start = |variables: &[(&str, &str)], flags: &[&str]| {
        // A directory that cannot be: a node that gets past its configuration ends all the same.
        let mut command = command(Path::new("/dev/null/x"), "127.0.0.1:0");
        command.args(flags).envs(variables.iter().copied());
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        says(&output)
    };
    let said = start(&[("PLEXSPACES_REQUIRE_TOKEN", "maybe")], &[]);
    assert!(
        said.contains("PLEXSPACES_REQUIRE_TOKEN") && said.contains("true nor false"),
        "{said}"
    );
    let both = ["--require-token", "--insecure-allow-remote"];
    let said = start(&[], &both);
    assert!(both.iter().all(|flag| said.contains(flag)), "{said}");
    let both = [
        ("PLEXSPACES_REQUIRE_TOKEN", "true"),
        ("PLEXSPACES_INSECURE_ALLOW_REMOTE", "1"),
    ];
    let said = start(&both, &[]);
    assert!(both.iter().all(|(name, _)| said.contains(name)), "{said}");
    // A flag decides over both variables.
    assert!(start(&both, &["--require-token"]).contains("data directory"));
}

#[test]
fn a_token_is_shown_once_and_kept_as_a_hash() {
    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("state");
    let listed = token(&data_dir, &["list"]);
    assert_eq!(listed.status.code(), Some(1), "{listed:?}");
    let said = says(&listed);
    assert!(
        said.contains("no node has run") && said.contains("--data-dir"),
        "{said}"
    );
    assert!(!data_dir.exists());

    let created = token(&data_dir, &["create", "--name", "my laptop"]);
    let text = String::from_utf8(created.stdout.clone()).unwrap();
    let text = text.trim_end();
    assert!(text.starts_with("plx_") && text.len() == 47, "{text:?}");
    let help = String::from_utf8(created.stderr).unwrap();
    assert!(
        help.contains("curl -H \"Authorization: Bearer") && !help.contains(text),
        "{help}"
    );
    // Which port the node will have nobody knows here.
    assert!(
        help.contains("http://HOST:PORT/") && !help.contains("8001"),
        "{help}"
    );

    let file = data_dir.join("tokens.json");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&data_dir)), (0o600, 0o700));
    assert!(!fs::read_to_string(&file).unwrap().contains(&text[4..]));
    assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1);

    let listed = &token_json(&data_dir, &["list"])["tokens"][0];
    assert_eq!(
        (&listed["name"], &listed["scope"]),
        (&"my laptop".into(), &"read".into())
    );
    let table = says(&token(&data_dir, &["list"]));
    let id = listed["id"].as_str().unwrap();
    assert!(
        table.starts_with("ID") && table.contains(id) && !table.contains(text),
        "{table}"
    );
}

#[test]
fn token_commands_say_what_is_wrong() {
    let dir = TempDir::new().unwrap();
    let check = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = token(dir.path(), arguments);
        let said = says(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
    };
    check(
        &["create", "--scope", "root"],
        2,
        &["read, invoke or deploy"],
    );
    check(
        &["create", "--name", ""],
        2,
        &["--name: token name", "1 to 64"],
    );
    check(&["list", "--output", "xml"], 2, &["text or json"]);
    // Nothing that was refused so far has made anything there.
    check(
        &["revoke", "12345678"],
        1,
        &["no node has run", "--data-dir"],
    );
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    for foreign in [&["list"][..], &["create"], &["revoke", "12345678"]] {
        check(
            foreign,
            1,
            &["holds other things than a node's data", "--data-dir"],
        );
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    fs::remove_file(dir.path().join("letter.txt")).unwrap();
    let (id, secret) = create(dir.path(), "read");
    let by_id = format!("plexspaces token revoke {id}");
    check(&["revoke", &secret], 2, &["the token itself", &by_id]);
    assert_eq!(token_json(dir.path(), &["list"])["tokens"][0]["id"], id);
    check(&["revoke", "12345678"], 1, &["12345678", "token list"]);
    for (command, example) in [
        ("create", "--scope invoke"),
        ("list", "--output json"),
        ("revoke", "revoke 5f3c09aa"),
    ] {
        let mut help = Command::new(env!("CARGO_BIN_EXE_plexspaces"));
        let output = help.args(["token", command, "--help"]).output().unwrap();
        let said = says(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        for word in ["--data-dir", "--output", example] {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
    }
}

#[test]
fn changes_leave_an_audit_line() {
    let node = node();
    let (id, text) = create(node.data_dir(), "deploy");
    bearer(&node, &text).deploy("echo").is_deployed();
    let digest = node.get("/api/v1/applications/echo").json()["module_hash"].clone();
    let subject = format!(
        "application=echo version=\"1.0.0\" sha256={}",
        digest.as_str().unwrap()
    );
    let line = node.log_says("call=\"POST /api/v1/applications/deploy\"");
    let who = format!("INFO  audit: who=token:{id} from=127.0.0.1:");
    assert!(line.contains(&who), "{line}");
    assert!(line.ends_with(&format!("{subject} result=ok")), "{line}");

    assert_eq!(node.undeploy("echo").status, 200);
    let line = node.log_says("call=\"DELETE /api/v1/applications/echo\"");
    assert!(line.contains("who=local from=127.0.0.1:"), "{line}");
    assert!(line.ends_with(&format!("{subject} result=ok")), "{line}");

    node.undeploy("nobody");
    let line = node.log_says("call=\"DELETE /api/v1/applications/nobody\"");
    assert!(line.ends_with("result=404 NOT_FOUND"), "{line}");
    node.deploy("broken", b"no module at all");
    let line = node.log_says("application=broken");
    assert!(line.ends_with("result=422 INVALID_ARGUMENT"), "{line}");
    assert!(node.log_count(&text[4..]) == 0, "a token is in the log");
}

#[test]
fn a_deploy_whose_client_leaves_is_in_the_trail() {
    let node = node();
    let mut stream = TcpStream::connect(node.http).unwrap();
    let head = "Host: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9999\r\n\r\n";
    let half = format!("POST {DEPLOY} HTTP/1.1\r\n{head}--b\r\nContent-Disp");
    stream.write_all(half.as_bytes()).unwrap();
    drop(stream);
    let line = node.log_says("WARN  audit: who=local");
    assert!(line.contains(DEPLOY) && line.contains(" result="), "{line}");
    assert_eq!(node.log_count("audit:"), 1);
}

#[test]
fn a_quiet_log_keeps_its_audit_lines() {
    let quiet = ("PLEXSPACES_LOG", "warn,plexspaces_node::node=info");
    let node = Node::start_with(TempDir::new().unwrap(), &[], &[quiet]);
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let line = node.log_says("INFO  audit:");
    assert!(line.ends_with("result=ok"), "{line}");
}

#[test]
fn a_flood_of_refused_calls_does_not_fill_the_log() {
    let node = node();
    let nobody = stranger(&node, "");
    for _ in 0..200 {
        assert_eq!(nobody.get("/api/v1/secret").status, 401);
    }
    let line = node.log_says("call=\"GET /api/v1/secret\"");
    assert!(
        line.contains("WARN  audit: who=stranger from=127.0.0.1:"),
        "{line}"
    );
    assert!(line.ends_with("result=401 UNAUTHENTICATED"), "{line}");
    // The next line that is written owns up to what is missing before it.
    node.undeploy("nobody");
    let confession = node.log_says("more calls were turned away");
    assert!(confession.contains("WARN  audit:"), "{confession}");
    assert!(node.log_count("/api/v1/secret") < 200);
}

#[test]
fn the_dashboard_asks_for_a_token() {
    let node = node();
    let page = node.get("/").body;
    assert!(page.contains("<form id=\"sign-in\" hidden>") && page.contains("type=\"password\""));
    let script = node.get("/assets/dashboard.js").body;
    for words in ["401", "sessionStorage", "Bearer"] {
        assert!(script.contains(words), "{words}");
    }
    assert!(!script.contains("localStorage") && !script.contains("cookie"));
}
