//! Deploy, list, look, undeploy; and every refusal leaves nothing behind.

use crate::cli::to;
use crate::guests::{COUNTER, ECHO, RASCAL, for_both_kinds, guest};
use crate::harness::{Node, node};
use plexspaces_node::wasm::Kind;

for_both_kinds! {
    fn zero_one_zero(node, kind) {
        assert_eq!(node.total_applications(), 0);
        let deployed = node.deploy("echo", &guest(kind, ECHO));
        deployed.is_deployed();
        assert_eq!(deployed.json()["application_id"], "echo-app");

        assert_eq!(node.total_applications(), 1);
        let listed = &node.get("/api/v1/applications").json()["applications"][0];
        assert_eq!((&listed["name"], &listed["version"]), (&"echo".into(), &"1.0.0".into()));
        assert_eq!(listed["kind"], serde_json::to_value(kind).unwrap());
        assert_eq!(listed["metrics"]["actor_count"], 1);
        assert_eq!(node.ask("echo", br#"{"a": 1}"#).payload()["a"], 1);

        let undeployed = node.undeploy("echo");
        assert_eq!(undeployed.body, r#"{"success":true,"application_id":"echo-app"}"#);
        assert_eq!(node.total_applications(), 0);
        node.ask("echo", b"x").is_refused(404, "NOT_FOUND", &["echo"]);
        assert!(!node.files().iter().any(|file| file.extension().is_some_and(|it| it == "wasm")));
    }

    fn the_same_again_changes_nothing_and_anything_else_is_an_upgrade(node, kind) {
        node.deploy("counter", &guest(kind, COUNTER)).is_deployed();
        assert_eq!(node.ask("counter", b"").body_payload(), "1");
        node.deploy("counter", &guest(kind, COUNTER)).is_deployed();
        assert_eq!(node.ask("counter", b"").body_payload(), "2", "the actor was restarted");
        let other_spec = node.form("counter", &guest(kind, COUNTER)).config("description = 'x'").send();
        other_spec.is_deployed();
        assert_eq!(node.ask("counter", b"").body_payload(), "1", "a guest without a snapshot begins anew");
        node.deploy("counter", &guest(kind, ECHO)).is_deployed();
        assert_eq!(node.ask("counter", b"other").body_payload(), "other");
        assert_eq!(node.total_applications(), 1);
    }

    fn a_module_that_fails_to_start_leaves_nothing(node, kind) {
        let body = format!("{ECHO} (func $start (unreachable)) (start $start)");
        let refused = node.deploy("broken", &guest(kind, &body));
        refused.is_refused(422, "INVALID_ARGUMENT", &["does not start", "unreachable"]);
        leaves_nothing(&node);
        let line = node.log_says("of application broken trapped while starting: ");
        assert!(line.ends_with(", in start"), "there is no application's log to look at: {line}");
    }
}

fn leaves_nothing(node: &Node) {
    assert_eq!(node.total_applications(), 0);
    node.uploads_end();
    assert_eq!(node.files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_unknown_name_is_404_and_an_id_is_told_its_name() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    node.undeploy("echo-app").is_refused(
        404,
        "NOT_FOUND",
        &["application_id of echo", "use the name echo"],
    );
    node.undeploy("other")
        .is_refused(404, "NOT_FOUND", &["other"]);
    node.get("/api/v1/applications/other")
        .is_refused(404, "NOT_FOUND", &["other"]);
    assert_eq!(
        node.get("/api/v1/applications/echo").json()["actors"][0]["actor_id"],
        "echo@test-node"
    );
}

#[test]
fn a_deploy_with_missing_or_wrong_fields_names_them() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    let form = || node.form("echo", &echo);
    let refused = |answer: crate::harness::Answer, words: &[&str]| {
        answer.is_refused(400, "INVALID_ARGUMENT", words)
    };
    refused(
        form().without("version").without("wasm_file").send(),
        &["missing required fields: version, wasm_file"],
    );
    refused(
        form().field("name", "../etc").send(),
        &["name", "../etc", "letters"],
    );
    refused(
        form().field("version", "").send(),
        &["version", "printable"],
    );
    refused(
        form().field("nmae", "echo").send(),
        &["unknown field", "nmae", "wasm_file"],
    );
    let answer = node.request(
        "POST",
        "/api/v1/applications/deploy",
        &[("content-type", "text/plain")],
        b"hello",
    );
    answer.is_refused(
        415,
        "INVALID_ARGUMENT",
        &["Failed to parse multipart/form-data"],
    );
    leaves_nothing(&node);
}

#[test]
fn an_application_id_belongs_to_one_name() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    node.deploy("echo", &echo).is_deployed();
    let second = node
        .form("second", &echo)
        .field("application_id", "echo-app")
        .send();
    second.is_refused(
        409,
        "ALREADY_EXISTS",
        &["echo-app", "belongs to application echo"],
    );
    assert_eq!(
        node.ask("echo", b"1").status,
        200,
        "the module of the first went with the second"
    );
}

#[test]
fn a_module_this_node_cannot_run_is_refused_with_the_reason() {
    let node = node();
    let check = |wasm: &[u8], words: &[&str]| {
        node.deploy("odd", wasm)
            .is_refused(422, "INVALID_ARGUMENT", words);
        leaves_nothing(&node);
    };
    let wat = |text: &str| wat::parse_str(text).unwrap();
    check(b"hello, I am no module", &["not WebAssembly"]);
    check(b"", &["not WebAssembly"]);
    check(
        b"\0asm\x01\0\0\0 and then nonsense",
        &["not a valid module"],
    );
    check(
        &wat("(module)"),
        &[
            "exports no message handler",
            "handle-request",
            "no functions at all",
        ],
    );
    check(&wat("(component)"), &["exports no message handler"]);
    check(
        &wat(r#"(module (func (export "compute")))"#),
        &["exports no message handler", "found compute"],
    );
    check(
        &wat(
            r#"(module (memory (export "memory") 1) (func (export "handle_request") (param i64)))"#,
        ),
        &["handle_request", "i64", "6 i32"],
    );
    check(
        &wat(
            r#"(module (import "plexspaces" "fly" (func)) (import "env" "abort" (func (param i32)))
               (memory (export "memory") 1)
               (func (export "handle_request") (param i32 i32 i32 i32 i32 i32)))"#,
        ),
        &["plexspaces.fly", "env.abort"],
    );
    check(
        &wat(
            r#"(component (import "plexspaces:actor/messaging@0.1.0" (instance (export "fly" (func))))
               (import "wasi:http/types@0.2.0" (instance (export "get" (func)))))"#,
        ),
        &[
            "plexspaces:actor/messaging@0.1.0#fly",
            "wasi:http/types@0.2.0#get",
        ],
    );
}

#[test]
fn a_config_that_is_wrong_is_refused_with_its_line() {
    let node = node();
    let config = |text| {
        node.form("echo", &guest(Kind::Core, ECHO))
            .config(text)
            .send()
    };
    config("[limits]\nmax_memory = 1").is_refused(
        422,
        "INVALID_ARGUMENT",
        &["line 2", "max_memory", "max_memory_bytes"],
    );
    config("[supervisor]\nstrategy = 'all'").is_refused(
        422,
        "INVALID_ARGUMENT",
        &["line 2", "strategy", "one_for_all"],
    );
    leaves_nothing(&node);
}

#[test]
fn a_guest_that_keeps_breaking_fails_its_application() {
    let node = Node::unforgiving();
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    for _ in 0..3 {
        node.ask("rascal", b"t")
            .is_refused(502, "ABORTED", &["unreachable"]);
        assert_eq!(node.ask("rascal", b"e").body_payload(), "e");
    }
    let status = node.get("/api/v1/applications/rascal").json();
    assert_eq!(
        (&status["status"], &status["actors"][0]["restarts"]),
        (&"APPLICATION_STATUS_RUNNING".into(), &3.into())
    );
    node.ask("rascal", b"t")
        .is_refused(502, "ABORTED", &["unreachable"]);
    node.log_says("rascal@test-node has failed");
    let status = node.get("/api/v1/applications/rascal").json();
    assert_eq!(status["status"], "APPLICATION_STATUS_FAILED");
    assert!(
        status["actors"][0]["last_error"]
            .as_str()
            .unwrap()
            .contains("unreachable")
    );
    node.ask("rascal", b"e").is_refused(
        503,
        "UNAVAILABLE",
        &["application rascal has failed", "unreachable"],
    );
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_refused(409, "ALREADY_EXISTS", &["failed", "unreachable"]);
    assert_eq!(node.undeploy("rascal").status, 200);
}

#[test]
fn one_application_shows_its_spec_and_no_secrets() {
    let node = node();
    let config = "namespace = 'shop'\n[env]\nMODE = 'fast'\nAPI_key = 'hidden'\n\
                  [limits]\nmax_execution_time = '90s'\n[capabilities]\nallow_env = true";
    let form = node.form("echo", &guest(Kind::Core, ECHO)).config(config);
    form.send().is_deployed();
    let shown = node.get("/api/v1/applications/echo");
    assert_eq!(
        shown.body,
        node.get("/api/v1/applications/echo/status").body
    );
    assert!(!shown.body.contains("hidden"), "{}", shown.body);
    let shown = shown.json();
    assert_eq!(shown["kind"], "core");
    assert_eq!(shown["metrics"]["actor_count"], 1);
    let spec = &shown["spec"];
    for (key, value) in [
        ("/description", "WASM application: echo"),
        ("/type", "active"),
        ("/tenant", "default"),
        ("/namespace", "shop"),
        ("/env/MODE", "fast"),
        ("/env/API_key", "[redacted]"),
        ("/limits/max_execution_time", "1m 30s"),
    ] {
        assert_eq!(spec.pointer(key).unwrap(), value, "{key}");
    }
    assert_eq!(spec["limits"]["max_mailbox"], 1000);
    assert_eq!(spec["capabilities"]["allow_env"], true);
    assert_eq!(spec["capabilities"]["allow_logging"], false);
    let actor = &shown["actors"][0];
    assert_eq!(actor["actor_id"], "echo@test-node");
    assert_eq!(
        (&actor["state"], &actor["restarts"]),
        (&"running".into(), &0.into())
    );
}

#[test]
fn the_actors_of_an_application_come_in_pages() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let check = |query: &str, shown: usize, page: serde_json::Value| {
        for path in ["echo", "echo/status"] {
            let answer = node.get(&format!("/api/v1/applications/{path}{query}"));
            let json = answer.json();
            assert_eq!(json["actors"].as_array().unwrap().len(), shown, "{query}");
            assert_eq!(json["page"], page, "{query}");
            assert_eq!(json["metrics"]["actor_count"], 1, "{query}");
        }
    };
    let page = |offset, limit| serde_json::json!({"total_size": 1, "offset": offset, "limit": limit, "has_next": false});
    check("", 1, page(0, 50));
    check("?limit=1", 1, page(0, 1));
    check("?offset=1&limit=7", 0, page(1, 7));
    node.get("/api/v1/applications/echo?limit=all").is_refused(
        400,
        "INVALID_ARGUMENT",
        &["limit", "all", "?offset="],
    );
}

#[test]
fn two_applications_of_one_module_share_it_and_part_ways() {
    let node = node();
    let counter = guest(Kind::Core, COUNTER);
    node.deploy("one", &counter).is_deployed();
    node.deploy("two", &counter).is_deployed();
    assert_eq!(node.ask("one", b"").body_payload(), "1");
    assert_eq!(node.undeploy("one").status, 200);
    assert_eq!(
        node.ask("two", b"").body_payload(),
        "1",
        "two has a state of its own"
    );
    node.deploy("one", &counter).is_deployed();
    assert_eq!(node.ask("one", b"").body_payload(), "1");
}

#[test]
fn a_digest_sent_along_must_match() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    let wrong = node
        .form("echo", &echo)
        .field("sha256", &"0".repeat(64))
        .send();
    wrong.is_refused(
        422,
        "INVALID_ARGUMENT",
        &["sha256 does not match", "send it again"],
    );
    leaves_nothing(&node);
    node.deploy("echo", &echo).is_deployed();
    let digest = node.get("/api/v1/applications/echo").json()["module_hash"]
        .as_str()
        .unwrap()
        .to_uppercase();
    node.form("echo", &echo)
        .field("sha256", &digest)
        .send()
        .is_deployed();
}

#[test]
fn a_dry_run_refuses_what_a_deploy_would_and_starts_nothing() {
    let node = node();
    let rehearse = |wasm: &[u8]| {
        let (content_type, body) = node.form("echo", wasm).encode();
        let headers = [("content-type", content_type.as_str())];
        node.request(
            "POST",
            "/api/v1/applications/deploy?dry_run=true",
            &headers,
            &body,
        )
    };
    rehearse(b"no module").is_refused(422, "INVALID_ARGUMENT", &["not WebAssembly"]);
    let rehearsed = rehearse(&guest(Kind::Core, ECHO));
    assert_eq!(
        (rehearsed.status, &rehearsed.json()["status"]),
        (200, &"APPLICATION_STATUS_UNSPECIFIED".into())
    );
    assert_eq!(node.total_applications(), 0);
    node.request("POST", "/api/v1/applications/deploy?dry=1", &[], b"")
        .is_refused(400, "INVALID_ARGUMENT", &["dry_run"]);
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    assert_eq!(
        node.log_count("compiled in"),
        1,
        "what was compiled for the rehearsal serves the deploy"
    );
    let mut other = guest(Kind::Core, ECHO);
    other.extend([0, 1, 0]);
    let rehearsed = rehearse(&other).json();
    assert_eq!(rehearsed["status"], "APPLICATION_STATUS_UNSPECIFIED");
    let hash = node.get("/api/v1/applications/echo").json()["module_hash"].clone();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    assert_eq!(
        node.get("/api/v1/applications/echo").json()["module_hash"],
        hash,
        "a rehearsed upgrade is none"
    );
}

#[test]
fn a_module_that_does_not_fit_the_pool_is_refused_with_the_cause() {
    let node = node();
    let memories = "(memory 1)".repeat(5);
    let wasm = wat::parse_str(format!(
        r#"(module (memory (export "memory") 1) {memories}
           (func (export "handle_request") (param i32 i32 i32 i32 i32 i32)))"#
    ));
    node.deploy("many", &wasm.unwrap())
        .is_refused(422, "INVALID_ARGUMENT", &["memories"]);
    leaves_nothing(&node);
}

#[test]
fn no_name_in_a_module_can_forge_a_log_line() {
    let node = node();
    let wasm = wat::parse_str(
        r#"(module (memory (export "memory") 1)
           (func $"act\n2030-01-01T00:00:00.000Z INFO  node: forged" (export "handle_request")
               (param i32 i32 i32 i32 i32 i32) (unreachable)))"#,
    );
    node.deploy("forger", &wasm.unwrap()).is_deployed();
    node.ask("forger", b"")
        .is_refused(502, "ABORTED", &["unreachable"]);
    node.log_says("forger@test-node of application forger trapped");
    let said = to(&node, &["application", "logs", "forger"]);
    let logged = said.done();
    assert!(logged.contains("forged"), "{logged}");
    for line in logged.lines().map(str::to_owned).chain(node.log_lines("")) {
        assert!(
            !line.starts_with("2030"),
            "a line of the log is forged: {line}"
        );
    }
}
