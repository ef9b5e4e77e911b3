//! What the dashboard is made of: health with its degraded states, the paged lists, and the page itself.

use serde_json::Value;

use crate::cli::to;
use crate::guests::{ECHO, RASCAL, guest};
use crate::harness::{Node, node, send};
use plexspaces_node::wasm::Kind;

fn fail(node: &Node, name: &str) {
    node.deploy(name, &guest(Kind::Core, RASCAL)).is_deployed();
    for _ in 0..4 {
        node.ask(name, b"trap");
    }
    while node.get(&format!("/api/v1/applications/{name}")).json()["status"]
        != "APPLICATION_STATUS_FAILED"
    {}
}

#[test]
fn a_failed_application_degrades_the_nodes_health() {
    let node = Node::unforgiving();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let health = node.get("/health").json();
    assert_eq!(
        (&health["status"], &health["degraded"]),
        (&"healthy".into(), &Value::Array(vec![]))
    );
    fail(&node, "rascal");
    let health = node.get("/health");
    assert_eq!(
        (health.status, &health.json()["status"]),
        (200, &"degraded".into())
    );
    let degraded = health.json()["degraded"].clone();
    assert_eq!(degraded.as_array().unwrap().len(), 1);
    assert_eq!(degraded[0]["component"], "application/rascal");
    let reason = degraded[0]["reason"].as_str().unwrap();
    // Strangers may read it, so it leads to the guest's words and does not hold them.
    assert!(reason.contains("GET /api/v1/applications/rascal") && !reason.contains("unreachable"));
    assert_eq!(node.get("/health/ready").status, 200);
    node.undeploy("rascal");
    assert_eq!(node.get("/health").json()["status"], "healthy");
}

#[test]
fn probes_answer_on_both_ports_to_everyone() {
    let node = node();
    for address in [node.grpc, node.http] {
        for probe in ["live", "ready", "startup"] {
            let url = format!("http://{address}/health/{probe}");
            let answer = send(&url, "GET", &[("forwarded", "for=192.0.2.7")], b"");
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (200, r#"{"status":"healthy"}"#),
                "{url}"
            );
            let head = send(&url, "HEAD", &[], b"");
            assert_eq!((head.status, head.body.as_str()), (200, ""));
        }
        let url = format!("http://{address}/health/happy");
        send(&url, "GET", &[], b"").is_refused(404, "NOT_FOUND", &[]);
    }
}

#[test]
fn lists_come_in_pages() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    for name in ["c", "a", "b"] {
        node.deploy(name, &echo).is_deployed();
    }
    let check = |path: &str, key: &str, names: &[&str], page: Value| {
        let json = node.get(path).json();
        let list = path.split('?').next().unwrap().rsplit('/').next().unwrap();
        let found: Vec<&str> = json[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item[key].as_str().unwrap())
            .collect();
        assert_eq!((found.as_slice(), &json["page"]), (names, &page), "{path}");
    };
    let page = |offset: u64, limit: u64, has_next: bool| serde_json::json!({"total_size": 3, "offset": offset, "limit": limit, "has_next": has_next});
    let whole = node.get("/api/v1/applications").json();
    assert_eq!(whole["applications"].as_array().unwrap().len(), 3);
    assert_eq!(whole["page"], Value::Null);
    for (list, key) in [
        ("dashboard/applications", "name"),
        ("dashboard/actors", "application"),
        ("applications", "name"),
    ] {
        let list = format!("/api/v1/{list}");
        check(
            &format!("{list}?offset=0"),
            key,
            &["a", "b", "c"],
            page(0, 50, false),
        );
        check(
            &format!("{list}?limit=2"),
            key,
            &["a", "b"],
            page(0, 2, true),
        );
        check(
            &format!("{list}?offset=2&limit=2"),
            key,
            &["c"],
            page(2, 2, false),
        );
        check(&format!("{list}?offset=9"), key, &[], page(9, 50, false));
        check(
            &format!("{list}?limit=5000"),
            key,
            &["a", "b", "c"],
            page(0, 1000, false),
        );
        for bad in ["limit=all", "offset=-1", "offset=", "limit=1e9"] {
            let refused = node.get(&format!("{list}?{bad}"));
            refused.is_refused(
                400,
                "INVALID_ARGUMENT",
                &["whole number", "?offset=0&limit=50"],
            );
        }
    }
    let nodes = node.get("/api/v1/dashboard/nodes").json();
    let only = &nodes["nodes"][0];
    assert_eq!(
        (&only["node_id"], &only["status"]),
        (&"test-node".into(), &"healthy".into())
    );
    assert_eq!(
        (&only["actor_count"], &nodes["page"]["total_size"]),
        (&3.into(), &1.into())
    );
}

#[test]
fn an_actors_troubles_are_listed() {
    let node = Node::unforgiving();
    fail(&node, "rascal");
    let actor = &node.get("/api/v1/dashboard/actors").json()["actors"][0];
    assert_eq!(actor["actor_id"], "rascal@test-node");
    assert_eq!(
        (&actor["state"], &actor["restarts"], &actor["mailbox_depth"]),
        (&"failed".into(), &3.into(), &0.into())
    );
    assert!(
        actor["last_error"]
            .as_str()
            .unwrap()
            .contains("unreachable")
    );
}

#[test]
fn an_actor_that_is_long_busy_with_one_message_is_shown_so_until_it_ends() {
    const SPINNER: &str = "/api/v1/actors/by-id/rascal%2Fspinner";
    let node = node();
    let rascal = node.form("rascal", &guest(Kind::Core, RASCAL));
    let tree = "[[supervisor.children]]\nid = 'spinner'\nshutdown_timeout = '1s'";
    let config = format!("{tree}\n[limits]\nmax_execution_time = '50s'");
    rascal.config(&config).send().is_deployed();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    node.ask("echo", b"once");
    let later = [("prefer", "respond-async")];
    let told = |text: &[u8]| node.request("POST", SPINNER, &later, text).status;
    assert_eq!(told(b"spin"), 202);
    let shown = |name: &str| {
        let detail = node.get(&format!("/api/v1/applications/{name}")).json();
        let (actor, worker) = (&detail["actors"][0], &detail["tree"]["children"][0]);
        assert_eq!(
            worker["busy_seconds"].is_f64(),
            actor["busy_seconds"].is_f64()
        );
        let state = actor["state"].as_str().unwrap().to_owned();
        (
            state,
            actor["busy_seconds"].as_f64(),
            actor["memory_bytes"].as_u64().unwrap(),
        )
    };
    let (state, seconds, memory_bytes) = loop {
        if let shown @ (_, Some(_), _) = shown("rascal") {
            break shown;
        }
    };
    assert_eq!(state, "running");
    assert!(seconds > Some(1.0) && memory_bytes > 0, "{seconds:?}");
    let listed = node.get("/api/v1/dashboard/actors").json();
    let busy: Vec<_> = listed["actors"].as_array().unwrap().iter().collect();
    assert_eq!(
        busy[0]["busy_seconds"],
        Value::Null,
        "echo has nothing to do"
    );
    let said = to(&node, &["status", "rascal"]);
    assert!(said.done().contains("busy "), "{said:?}");

    // It is stopped in the middle of it, with another message behind that.
    assert_eq!(told(b"unread"), 202);
    assert_eq!(node.request("DELETE", SPINNER, &[], b"").status, 200);
    let last = node.get("/api/v1/applications/rascal").body;
    assert_eq!(shown("rascal"), ("stopped".into(), None, 0), "{last}");
    assert!(!to(&node, &["status", "rascal"]).done().contains("busy "));
    let log = node.get("/api/v1/applications/rascal/logs").body;
    assert!(log.contains("ended with 1 messages unread"), "{log}");

    // Its next life has nothing in hand.
    assert_eq!(node.wish("rascal", "start").status, 200);
    let asked = node.request("POST", SPINNER, &[], b"echo");
    assert_eq!(asked.body_payload(), "echo");
    assert_eq!(shown("rascal").1, None);
}

#[test]
fn system_info_tells_of_the_machine() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let info = node.get("/api/v1/dashboard/system-info").json();
    assert_eq!(
        (&info["os"], &info["arch"]),
        (&std::env::consts::OS.into(), &std::env::consts::ARCH.into())
    );
    for figure in [
        "cpu_count",
        "memory_total_bytes",
        "memory_available_bytes",
        "resident_bytes",
        "data_dir_free_bytes",
    ] {
        assert!(info[figure].as_u64().unwrap() > 0, "{figure} in {info}");
    }
    let small = &info["engine"][0];
    assert_eq!(
        (&small["class"], &small["memories"]),
        (&"small".into(), &1.into())
    );
    assert!(small["rung"].as_str().unwrap().contains("small slots"));
}

#[test]
fn the_page_writes_text_and_never_markup() {
    let node = node();
    let page = node.get("/").body;
    let (script, style) = (
        node.get("/assets/dashboard.js").body,
        node.get("/assets/dashboard.css").body,
    );
    for banned in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        ".style",
        "://",
    ] {
        assert!(!script.contains(banned), "the script holds {banned}");
    }
    assert!(!style.contains("url(") && !style.contains("@import"));
    assert!(!page.contains("<style") && page.matches("<script").count() == 1);
    // Each place that the script fills is there.
    let calls = ["(place(\"", " place(\"", "write(\""];
    let filled = calls.iter().flat_map(|call| script.split(call).skip(1));
    for id in filled.map(|rest| rest.split('"').next().unwrap()) {
        let place = format!("id=\"{id}\"");
        assert!(page.contains(&place), "no {place} on the page");
    }
}
