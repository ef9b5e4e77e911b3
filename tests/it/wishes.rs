//! What operators wish: actors and applications are stopped and started, and who does not answer says what brings it back.

use plexspaces_node::wasm::Kind;

use crate::guests::{ECHO, RASCAL, guest};
use crate::harness::{Node, node};
use crate::restore::keeper;

#[test]
fn one_actor_is_stopped_by_its_id_and_started_with_its_application() {
    let node = node();
    node.deploy("keeper", &keeper()).is_deployed();
    node.ask("keeper", b"5");
    let stop = |id: &str| node.request("DELETE", &format!("/api/v1/actors/by-id/{id}"), &[], b"");
    let stopped = stop("keeper").json();
    assert_eq!(stopped["actor_id"], "keeper@test-node");
    let words = [
        "actor keeper@test-node is stopped",
        "/applications/keeper:start starts it",
    ];
    stop("keeper%40test-node").is_refused(404, "NOT_FOUND", &words);
    stop("nobody").is_refused(404, "NOT_FOUND", &["nobody"]);
    node.ask_by_id("keeper", b"")
        .is_refused(404, "NOT_FOUND", &words);
    node.ask_by_id("keeper@elsewhere", b"")
        .is_refused(404, "NOT_FOUND", &["keeper@elsewhere"]);
    node.ask("keeper", b"")
        .is_refused(503, "UNAVAILABLE", &words);
    let detail = node.get("/api/v1/applications/keeper/status").json();
    assert_eq!(
        (&detail["status"], &detail["actors"][0]["state"]),
        (&"APPLICATION_STATUS_RUNNING".into(), &"stopped".into())
    );
    assert_eq!(node.wish("keeper", "start").status, 200);
    assert_eq!(node.ask("keeper", b"").body_payload(), "6");
}

#[test]
fn a_temporary_actor_that_was_stopped_does_not_come_back_with_a_start() {
    let node = node();
    let config = "[[supervisor.children]]\nid = 'once'\nrestart = 'temporary'\n\
                  [[supervisor.children]]\nid = 'always'";
    node.form("app", &guest(Kind::Core, ECHO))
        .config(config)
        .send()
        .is_deployed();
    for actor in ["once", "always"] {
        let path = format!("/api/v1/actors/by-id/app%2F{actor}");
        assert_eq!(node.request("DELETE", &path, &[], b"").status, 200);
    }
    assert_eq!(node.wish("app", "start").status, 200);
    assert_eq!(node.ask_by_id("app/always", b"a").body_payload(), "a");
    let words = [
        "actor app/once@test-node is temporary, or its supervisor is, and has ended",
        "app:stop and then",
        "app:start bring it back",
    ];
    node.ask_by_id("app/once", b"a")
        .is_refused(404, "NOT_FOUND", &words);
    assert_eq!(node.wish("app", "stop").status, 200);
    assert_eq!(node.wish("app", "start").status, 200);
    assert_eq!(node.ask_by_id("app/once", b"a").body_payload(), "a");
}

#[test]
fn an_actor_that_is_killed_as_it_is_stopped_is_told_from_one_that_stops_in_order() {
    let node = node();
    let tree = "[[supervisor.children]]\nid = 'spinner'\nshutdown_timeout = '0s'";
    let config = format!("{tree}\n[limits]\nmax_execution_time = '1h'");
    node.form("rascal", &guest(Kind::Core, RASCAL))
        .config(&config)
        .send()
        .is_deployed();
    let path = "/api/v1/actors/by-id/rascal%2Fspinner";
    let later = [("prefer", "respond-async")];
    assert_eq!(node.request("POST", path, &later, b"spin").status, 202);
    node.waits_for("it to be busy", || {
        let shown = node.get("/api/v1/applications/rascal").json();
        shown["actors"][0]["busy_seconds"].is_f64()
    });
    assert_eq!(node.request("DELETE", path, &[], b"").status, 200);
    let log = node.get("/api/v1/applications/rascal/logs").body;
    let words = "did not stop within 0s: killed";
    assert!(log.contains(words) && log.contains("is stopped"), "{log}");
}

#[test]
fn an_actor_that_was_stopped_is_no_failed_one_whatever_broke_it_before() {
    let node = node();
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    node.ask("rascal", b"trap")
        .is_refused(502, "ABORTED", &["unreachable"]);
    assert_eq!(node.ask("rascal", b"again").body_payload(), "again");
    let stopped = node.request("DELETE", "/api/v1/actors/by-id/rascal", &[], b"");
    assert_eq!(stopped.status, 200);
    let detail = node.get("/api/v1/applications/rascal").json();
    let actor = &detail["actors"][0];
    assert_eq!(actor["state"], "stopped");
    assert!(
        actor["last_error"]
            .as_str()
            .unwrap()
            .contains("unreachable")
    );
}

#[test]
fn what_cannot_be_started_or_stopped_says_so() {
    let node = node();
    for verb in ["start", "stop"] {
        node.wish("nobody", verb)
            .is_refused(404, "NOT_FOUND", &["nobody"]);
        node.wish("..", verb).is_refused(404, "NOT_FOUND", &[]);
    }
    node.deploy("keeper", &keeper()).is_deployed();
    node.ask("keeper", b"x");
    assert_eq!(node.wish("keeper", "stop").status, 200);
    let words = ["does not start", "init failed"];
    node.wish("keeper", "start")
        .is_refused(422, "INVALID_ARGUMENT", &words);
    assert_eq!(node.status_of("keeper"), "STOPPED");
    assert_eq!(node.undeploy("keeper").status, 200);
}

/// It goes with its supervisor, which is deleted when it ends.
#[test]
fn an_actor_under_a_temporary_supervisor_that_gave_up_says_how_it_comes_back() {
    let node = node();
    let config = "[[supervisor.children]]\nid = 'pool'\nrestart = 'temporary'\n\
                  [supervisor.children.supervisor]\nmax_restarts = 0\n\
                  [[supervisor.children.supervisor.children]]\nid = 'worker'";
    let form = node.form("app", &guest(Kind::Core, RASCAL));
    form.config(config).send().is_deployed();
    node.ask_by_id("app/worker", b"trap");
    let words = ["app:stop and then", "app:start bring it back"];
    node.waits_for("it has ended", || {
        node.ask_by_id("app/worker", b"").status == 404
    });
    let silent = node.ask_by_id("app/worker", b"");
    silent.is_refused(404, "NOT_FOUND", &words);
    assert_eq!(node.wish("app", "stop").status, 200);
    assert_eq!(node.wish("app", "start").status, 200);
    assert_ne!(node.ask_by_id("app/worker", b"").status, 404);
}

#[test]
fn an_operator_need_not_wait_for_a_failed_application() {
    let node = Node::unforgiving();
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    for _ in 0..4 {
        node.ask("rascal", b"t");
    }
    node.log_says("application rascal: started again in 3600s");
    assert_eq!(node.wish("rascal", "start").status, 200);
    assert_eq!(node.ask("rascal", b"e").body_payload(), "e");
    assert_eq!(node.wish("rascal", "stop").status, 200);
    assert_eq!(node.status_of("rascal"), "STOPPED");
}
