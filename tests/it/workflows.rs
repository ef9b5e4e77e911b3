//! Workflows: what a run did is not done again, whatever ends its actor, its application or the node.

use std::env;
use std::thread;
use std::time::Duration;

use plexspaces_node::wasm::Kind;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::backup::{backup, restore, succeeds};
use crate::cli::to;
use crate::conformance::conformance;
use crate::crash::Dice;
use crate::guests::{ECHO, guest};
use crate::harness::{Answer, Node, node};
use crate::tokens;

/// One worker to be asked, and one that does activities and is the type of the runs.
const TREE: &str = "
    [supervisor]
    strategy = 'one_for_one'
    [[supervisor.children]]
    id = 'caller'
    [[supervisor.children]]
    id = 'doer'
";

fn deploy(node: &Node, wasm: &[u8]) {
    node.form("guest", wasm).config(TREE).send().is_deployed();
}

/// Asks the worker that does no activities.
fn ask(node: &Node, message_type: &str, payload: &str) -> Answer {
    let path = format!("/api/v1/actors/guest/caller?type={message_type}");
    let headers = [("x-timeout-ms", "120000")];
    node.request("POST", &path, &headers, payload.as_bytes())
}

/// Starts the run `ID INPUT`.
fn begin(node: &Node, text: &str) {
    assert_eq!(ask(node, "begin", text).status, 200, "{text}");
}

fn look(node: &Node, id: &str) -> Value {
    node.get(&format!("/api/v1/workflows/guest/{id}")).json()
}

fn signal(node: &Node, id: &str, name: &str, payload: &str) {
    let path = format!("/api/v1/workflows/guest/{id}/signal?name={name}");
    let answer = node.request("POST", &path, &[], payload.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn ends(node: &Node, id: &str) -> Value {
    node.waits_for("the run to end", || look(node, id)["status"] != "RUNNING");
    look(node, id)
}

/// The addresses of the actors that carry out runs.
fn actors_of_runs(node: &Node) -> Vec<String> {
    let actors = node.get("/api/v1/dashboard/actors?limit=1000").json();
    let actors = actors["actors"].as_array().unwrap().iter();
    let ids = actors.map(|actor| actor["actor_id"].as_str().unwrap().to_owned());
    ids.filter(|id| id.contains(".run.")).collect()
}

#[test]
fn every_function_of_the_workflows_keeps_its_word() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    deploy(&node, &wasm);
    let report = ask(&node, "workflow", "").payload();
    assert_eq!(report["failures"], json!([]), "{report:#}");
    let checks = report["checks"].as_u64().unwrap();
    assert!(checks >= 45, "only {checks} checks");
    node.waits_for("the actors of those that ended to be gone", || {
        // `w-slow` waits for its signal.
        actors_of_runs(&node).len() <= 1
    });
}

/// Ten steps, and the node is killed in each: before the effect of its activity, or after it.
#[test]
fn a_run_of_ten_steps_survives_a_kill_in_each() {
    let Some(wasm) = conformance() else { return };
    let mut node = node();
    deploy(&node, &wasm);
    let verbs: Vec<&str> = (0..10).map(|it| ["before", "after"][it % 2]).collect();
    begin(&node, &format!("run course {} effect", verbs.join(" ")));
    for step in 0..verbs.len() {
        let at_gate = |node: &Node| {
            node.waits_for("the activity to wait", || {
                node.get("/api/v1/tuplespace/stats").json()["waiting"] == 1
            });
        };
        at_gate(&node);
        node = Node::again(node.kill());
        at_gate(&node);
        let tuple = json!({"tuple": [format!("run-{step}"), 1]}).to_string();
        node.request("POST", "/api/v1/tuplespace/tuples", &[], tuple.as_bytes());
    }
    let run = ends(&node, "run");
    // Asked twice, and the second time told so; where the effect came before the kill it came twice.
    let expected: Vec<String> = (0..10)
        .map(|step| format!("run-{step}={}?", 1 + step % 2))
        .chain(["run-10=1".to_owned()])
        .collect();
    assert_eq!(run["result"], expected.join(","), "{run:#}");
    let repeated: Vec<String> = (0..10).map(|step| format!("doer run-{step}")).collect();
    assert_eq!(run["possibly_repeated"], json!(repeated));
    assert_eq!(run["status"], "COMPLETED");
    assert_eq!(
        ask(&node, "result", "run").body_payload(),
        expected.join(",")
    );
}

/// `PLEXSPACES_TEST_KILLS` says how often, `PLEXSPACES_TEST_SEED` where the dice begin.
#[test]
fn no_effect_comes_twice_unmarked_whenever_the_node_is_killed() {
    let Some(wasm) = conformance() else { return };
    let number = |name: &str, or: u64| env::var(name).map_or(or, |text| text.parse().unwrap());
    let kills = number("PLEXSPACES_TEST_KILLS", 10);
    let mut dice = Dice(number("PLEXSPACES_TEST_SEED", 20_261_125));
    let mut node = node();
    deploy(&node, &wasm);
    let (mut killed, mut marked) = (0, 0);
    for round in 0.. {
        let id = format!("w{round}");
        begin(&node, &format!("{id} course {}", ["effect"; 20].join(" ")));
        while killed < kills && look(&node, &id)["status"] == "RUNNING" {
            thread::sleep(Duration::from_micros(dice.below(30_000)));
            node = Node::again(node.kill());
            killed += 1;
        }
        let run = ends(&node, &id);
        assert_eq!(run["status"], "COMPLETED", "{run:#}");
        let told = run["result"].as_str().unwrap().split(',');
        let mut effects = 0;
        for (step, told) in told.enumerate() {
            let name = format!("{id}-{step}=");
            let count = told
                .strip_prefix(&name)
                .unwrap_or_else(|| panic!("{told}: {run:#}"));
            let doubtful = count.ends_with('?');
            marked += u64::from(doubtful);
            assert!(
                doubtful || count == "1",
                "{told} of round {round} is not marked"
            );
            effects += 1;
        }
        assert_eq!(effects, 20);
        if killed == kills {
            break;
        }
    }
    println!("{killed} kills, {marked} effects marked as possibly repeated");
}

#[test]
fn signals_come_in_their_order_over_kills_stops_and_upgrades() {
    let Some(wasm) = conformance() else { return };
    let mut node = node();
    deploy(&node, &wasm);
    begin(&node, "w wait");
    signal(&node, "w", "note", "a");
    node = Node::again(node.kill());
    signal(&node, "w", "note", "b");
    assert_eq!(node.wish("guest", "stop").status, 200);
    // It is there while its application is not.
    signal(&node, "w", "note", "c");
    assert_eq!(look(&node, "w")["status"], "RUNNING");
    assert_eq!(node.wish("guest", "start").status, 200);
    node = Node::again(node.stop());
    let upgrade = node.form("guest", &wasm).field("version", "2.0.0");
    upgrade.config(TREE).send().is_deployed();
    signal(&node, "w", "note", "d");
    let path = "/api/v1/applications/guest:rollback";
    assert_eq!(node.request("POST", path, &[], b"").status, 200);
    let events = || ask(&node, "query", "w").body_payload();
    node.waits_for("the signals", || {
        events() == "note a\nnote b\nnote c\nnote d"
    });
    signal(&node, "w", "approve", "");
    let run = ends(&node, "w");
    assert_eq!(run["result"], "note a\nnote b\nnote c\nnote d\napprove ");
}

#[test]
fn a_run_that_sleeps_for_long_holds_no_actor_and_keeps_its_time() {
    let Some(wasm) = conformance() else { return };
    let mut node = node();
    deploy(&node, &wasm);
    begin(&node, "month sleep 2592000000");
    begin(&node, "moment sleep 1500");
    begin(&node, "more sleep 2592000000");
    let asleep = |node: &Node| {
        node.waits_for("the run to sleep", || {
            look(node, "month")["doing"] == "asleep" && actors_of_runs(node).is_empty()
        });
        look(node, "month")["sleeps_until"].clone()
    };
    node.waits_for("its step", || look(&node, "moment")["steps"] == 1);
    let until = asleep(&node);
    node = Node::again(node.kill());
    let moment = ends(&node, "moment");
    assert_eq!(
        (&moment["result"], &moment["steps"]),
        (&json!("slept"), &json!(1))
    );
    assert_eq!(asleep(&node), until, "only the rest is waited");
    let cancel = "/api/v1/workflows/guest/month/cancel?reason=enough";
    assert_eq!(node.request("POST", cancel, &[], b"").status, 200);
    let month = look(&node, "month");
    assert_eq!(
        (&month["status"], &month["reason"]),
        (&json!("CANCELLED"), &json!("enough"))
    );
    let told = ask(&node, "result", "month");
    assert!(told.body.contains("cancelled: enough"), "{told:?}");
}

#[test]
fn a_run_that_was_cancelled_shows_how_far_it_had_come() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    deploy(&node, &wasm);
    begin(&node, "asleep sleep 2592000000");
    begin(&node, "asking course effect before");
    node.waits_for("both to be in a step", || {
        look(&node, "asleep")["steps"] == 1 && look(&node, "asking")["steps"] == 3
    });
    for id in ["asleep", "asking"] {
        let cancel = format!("/api/v1/workflows/guest/{id}/cancel");
        assert_eq!(node.request("POST", &cancel, &[], b"").status, 200);
    }
    let shown = |node: &Node, id: &str| {
        let run = look(node, id);
        let course = run["course"].as_array().unwrap().iter();
        let course: Vec<Value> = course
            .map(|step| json!([step["kind"], step["outcome"]]))
            .collect();
        (course, run["page"]["total_size"].clone())
    };
    let asking = vec![
        json!(["activity", "done"]),
        json!(["sleep", "done"]),
        json!(["activity", null]),
    ];
    assert_eq!(shown(&node, "asking"), (asking.clone(), json!(3)));
    assert_eq!(
        shown(&node, "asleep"),
        (vec![json!(["sleep", null])], json!(1))
    );
    let said = |id: &str| {
        to(&node, &["workflow", "status", "guest", id])
            .done()
            .to_owned()
    };
    let said_asking = said("asking");
    for word in ["done", "slept until ", "broken off"] {
        assert!(
            said_asking.contains(word),
            "{word:?} is not in {said_asking}"
        );
    }
    let asleep = said("asleep");
    assert!(asleep.contains("broken off before "), "{asleep}");

    // What is kept of them fits the rest, in a backup too.
    let (elsewhere, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = elsewhere.path().join("node.tar");
    succeeds(&backup(&node, &file));
    succeeds(&restore(&file, data.path()));
    let restored = Node::again(data);
    assert_eq!(shown(&restored, "asking"), (asking, json!(3)));
}

#[test]
fn a_run_that_waits_for_long_makes_room_and_comes_back_for_a_query_and_for_a_signal() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    deploy(&node, &wasm);
    for id in ["asked", "signalled"] {
        begin(&node, &format!("{id} wait"));
        signal(&node, id, "note", "a");
    }
    node.waits_for("both to make room", || {
        let waits = |id| look(&node, id)["doing"] == "waiting for signals";
        waits("asked") && waits("signalled") && actors_of_runs(&node).is_empty()
    });
    assert_eq!(ask(&node, "query", "asked").body_payload(), "note a");
    assert_eq!(actors_of_runs(&node).len(), 1);
    for id in ["asked", "signalled"] {
        signal(&node, id, "approve", "");
        assert_eq!(ends(&node, id)["result"], "note a\napprove ");
    }
}

#[test]
fn an_upgrade_waits_for_the_step_that_a_run_is_at() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    deploy(&node, &wasm);
    begin(&node, "w course before after effect");
    thread::scope(|scope| {
        node.waits_for("the activity to wait", || {
            node.get("/api/v1/tuplespace/stats").json()["waiting"] == 1
        });
        let upgrading = scope.spawn(|| {
            let upgrade = node.form("guest", &wasm).field("version", "2.0.0");
            upgrade.config(TREE).send().is_deployed();
        });
        for step in 0..2 {
            let tuple = json!({"tuple": [format!("w-{step}"), 1]}).to_string();
            node.request("POST", "/api/v1/tuplespace/tuples", &[], tuple.as_bytes());
        }
        upgrading.join().unwrap();
    });
    let run = ends(&node, "w");
    assert_eq!(run["result"], "w-0=1,w-1=1,w-2=1");
    assert_eq!(run["possibly_repeated"], json!([]));
}

#[test]
fn a_run_goes_on_whose_actor_is_stopped_and_an_activity_whose_type_has_none() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    deploy(&node, &wasm);
    begin(&node, "w wait");
    signal(&node, "w", "note", "a");
    let stop = |actor: &str| {
        let path = format!("/api/v1/actors/by-id/{}", actor.replace('/', "%2F"));
        assert_eq!(node.request("DELETE", &path, &[], b"").status, 200);
    };
    node.waits_for("its actor", || !actors_of_runs(&node).is_empty());
    stop(&actors_of_runs(&node)[0]);
    stop("guest/doer@test-node");
    signal(&node, "w", "approve", "");
    assert_eq!(ends(&node, "w")["result"], "note a\napprove ");
    begin(&node, "v course effect effect");
    assert_eq!(ends(&node, "v")["result"], "v-0=1,v-1=1");
    node.waits_for("those who did it to be gone", || {
        let actors = node.get("/api/v1/dashboard/actors").json();
        let actors = actors["actors"].as_array().unwrap();
        let running = actors.iter().filter(|it| it["state"] == "running");
        running.count() == 1
    });
}

#[test]
fn a_run_that_takes_another_step_than_before_fails_and_says_which() {
    let Some(wasm) = conformance() else { return };
    let mut node = node();
    deploy(&node, &wasm);
    begin(&node, "w fickle");
    node.waits_for("its step", || {
        look(&node, "w")["course"][0]["outcome"] == "done"
    });
    node = Node::again(node.kill());
    let run = ends(&node, "w");
    assert_eq!(run["status"], "FAILED");
    let reason = run["reason"].as_str().unwrap();
    assert!(
        reason.contains("step 0 was the activity \"doer\", and is a sleep now"),
        "{reason}"
    );
}

#[test]
fn runs_go_with_their_application() {
    let Some(wasm) = conformance() else { return };
    let mut node = node();
    deploy(&node, &wasm);
    begin(&node, "done echo one");
    begin(&node, "open wait");
    ends(&node, "done");
    assert_eq!(node.undeploy("guest").status, 200);
    let none = |node: &Node| node.get("/api/v1/workflows").json()["page"]["total_size"] == 0;
    assert!(none(&node));
    deploy(&node, &wasm);
    assert!(none(&node));
    begin(&node, "done echo two");
    assert_eq!(ends(&node, "done")["result"], "two");
    node.undeploy("guest");
    node = Node::again(node.kill());
    assert!(none(&node));
    deploy(&node, &wasm);
    assert!(none(&node));
}

/// An actor that is told to stop has time to begin a run: its application has no record any more by then.
#[test]
fn a_run_that_begins_while_its_application_leaves_is_refused() {
    let Some(wasm) = conformance() else { return };
    let mut node = node();
    deploy(&node, &wasm);
    thread::scope(|scope| {
        // The wait ends when the actor is told to stop.
        let asked = scope.spawn(|| ask(&node, "in-turn", "take never; begin late wait"));
        node.waits_for("the actor to wait", || {
            node.get("/api/v1/tuplespace/stats").json()["waiting"] == 1
        });
        assert_eq!(node.undeploy("guest").status, 200);
        let answer = asked.join().unwrap();
        assert_ne!(answer.status, 200, "{answer:?}");
        let said = answer.body.contains("guest is not deployed any more");
        assert!(said, "{answer:?}");
    });
    let none = |node: &Node| node.get("/api/v1/workflows").json()["page"]["total_size"] == 0;
    assert!(none(&node));
    node = Node::again(node.kill());
    assert!(none(&node));
    assert_eq!(node.log_count("its workflows are removed"), 0);
}

/// Runs are begun as fast as they are answered while their application is undeployed, again and again: each has begun
/// before and is gone, or is refused.
#[test]
fn no_run_that_races_an_undeploy_outlives_its_application() {
    const UNDEPLOYS: usize = 5;
    const ACTORS: usize = 4;
    let Some(wasm) = conformance() else { return };
    let mut node = node();
    let total = |node: &Node| node.get("/api/v1/workflows").json()["page"]["total_size"].clone();
    let child = |number| format!("[[supervisor.children]]\nid = 'caller-{number}'\n");
    let callers: String = (0..ACTORS).map(child).collect();
    for _ in 0..UNDEPLOYS {
        let config = format!("{TREE}{callers}");
        node.form("guest", &wasm)
            .config(&config)
            .send()
            .is_deployed();
        thread::scope(|scope| {
            for number in 0..ACTORS {
                let node = &node;
                let path = format!("/api/v1/actors/guest/caller-{number}?type=begin");
                let begin = move |round| {
                    let id = format!("w{number}-{round} wait");
                    node.request("POST", &path, &[], id.as_bytes()).status
                };
                scope.spawn(move || (0..).map(begin).find(|status| *status != 200));
            }
            node.waits_for("some runs", || total(&node).as_u64().unwrap() > 8);
            assert_eq!(node.undeploy("guest").status, 200);
            assert_eq!(total(&node), 0);
        });
        assert_eq!(total(&node), 0);
    }
    node = Node::again(node.kill());
    assert_eq!(total(&node), 0);
    assert_eq!(node.log_count("its workflows are removed"), 0);
}

/// More of them than a node that gave each the 5 s of an actor could end while this test waits.
const AT_WORK: usize = 14;

/// Begins runs whose activity waits for a tuple that never comes.
fn begin_those_at_work(node: &Node) {
    for number in 0..AT_WORK {
        begin(node, &format!("w{number} course before"));
    }
    are_at_work(node);
}

fn are_at_work(node: &Node) {
    node.waits_for("all runs to be at work", || {
        let runs = node.get("/api/v1/workflows?limit=100").json();
        let runs = runs["workflows"].as_array().unwrap();
        let busy = runs
            .iter()
            .filter(|run| run["doing"] == "waiting for an activity");
        busy.count() == AT_WORK
    });
}

#[test]
fn an_undeploy_waits_for_no_run() {
    let Some(wasm) = conformance() else { return };
    let mut node = node();
    deploy(&node, &wasm);
    begin_those_at_work(&node);
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(node.undeploy("guest").status, 200));
        node.waits_for("the application to be gone", || {
            node.get("/api/v1/applications/guest").status == 404
        });
    });
    let total = |node: &Node| node.get("/api/v1/workflows").json()["page"]["total_size"].clone();
    assert_eq!(total(&node), 0);
    node = Node::again(node.kill());
    assert_eq!(total(&node), 0);
}

#[test]
fn no_supervisor_waits_for_runs_neither_to_restart_its_children_nor_to_give_up() {
    let Some(wasm) = conformance() else { return };
    let node = Node::unforgiving();
    let tree = TREE.replace("'one_for_one'", "'one_for_all'\n    max_restarts = 1");
    node.form("guest", &wasm).config(&tree).send().is_deployed();
    begin_those_at_work(&node);
    assert_ne!(ask(&node, "trap", "").status, 200);
    node.waits_for("the caller to be back", || {
        ask(&node, "begin", "later echo x").status != 503
            && look(&node, "later")["status"] == "COMPLETED"
    });
    are_at_work(&node);
    assert_ne!(ask(&node, "trap", "").status, 200);
    node.waits_for("the application to have failed", || {
        node.get("/api/v1/applications/guest").json()["status"]
            .as_str()
            .is_some_and(|it| it.contains("FAILED"))
    });
}

#[test]
fn a_backup_has_every_run_and_each_goes_on_after_a_restore() {
    let Some(wasm) = conformance() else { return };
    let (first, elsewhere) = (node(), TempDir::new().unwrap());
    deploy(&first, &wasm);
    begin(&first, "done echo one");
    ends(&first, "done");
    begin(&first, "course course effect effect");
    ends(&first, "course");
    begin(&first, "steps sleep 2592000000");
    first.waits_for("its step", || look(&first, "steps")["steps"] == 1);
    begin(&first, "open wait");
    signal(&first, "open", "note", "a");
    let file = elsewhere.path().join("node.tar");
    succeeds(&backup(&first, &file));
    let until = look(&first, "steps")["course"][0]["until"].clone();
    drop(first);
    let dir = TempDir::new().unwrap();
    succeeds(&restore(&file, dir.path()));
    let node = Node::again(dir);
    assert_eq!(look(&node, "done")["result"], "one");
    assert_eq!(look(&node, "course")["result"], "course-0=1,course-1=1");
    assert_eq!(look(&node, "steps")["course"][0]["until"], until);
    signal(&node, "open", "approve", "");
    assert_eq!(ends(&node, "open")["result"], "note a\napprove ");
}

#[test]
fn workflows_are_listed_by_pages_applications_and_states() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    deploy(&node, &wasm);
    for id in ["a", "b", "c/d"] {
        begin(&node, &format!("{id} echo {id}"));
        ends(&node, &id.replace('/', "%2F"));
    }
    begin(&node, "open wait");
    let ids = |query: &str| -> Vec<String> {
        let listed = node.get(&format!("/api/v1/workflows?{query}")).json();
        let listed = listed["workflows"].as_array().unwrap().iter();
        listed
            .map(|it| it["workflow_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(""), ["a", "b", "c/d", "open"]);
    assert_eq!(ids("application=guest&offset=1&limit=2"), ["b", "c/d"]);
    node.deploy("gues", &guest(Kind::Core, ECHO)).is_deployed();
    assert_eq!(ids("application=gues"), [""; 0]);
    assert_eq!(ids("status=running"), ["open"]);
    assert_eq!(ids("status=COMPLETED&limit=1"), ["a"]);
    let metrics = node.get("/metrics").body;
    for line in [
        "plexspaces_workflows{status=\"running\"} 1",
        "plexspaces_workflows{status=\"completed\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let get = |path: &str| node.get(&format!("/api/v1/workflows{path}"));
    get("?status=odd").is_refused(400, "INVALID_ARGUMENT", &["TIMED_OUT"]);
    let nobody = get("?application=nobody");
    nobody.is_refused(404, "NOT_FOUND", &["no application named \"nobody\""]);
    get("/guest/none").is_refused(404, "NOT_FOUND", &["no workflow \"none\""]);
    get("/nobody/a").is_refused(404, "NOT_FOUND", &["no application named \"nobody\""]);
    get("/guest/none").is_refused(404, "NOT_FOUND", &["in application guest"]);
    let post = |path: &str| node.request("POST", &format!("/api/v1/workflows{path}"), &[], b"");
    post("/guest/open/signal").is_refused(400, "INVALID_ARGUMENT", &["?name="]);
    post("/guest/none/signal?name=x").is_refused(404, "NOT_FOUND", &["no workflow"]);
    for call in ["signal?name=x", "cancel"] {
        let gone = post(&format!("/nobody/a/{call}"));
        gone.is_refused(404, "NOT_FOUND", &["no application named"]);
    }
    let named = |bytes: usize| post(&format!("/guest/open/signal?name={}", "n".repeat(bytes)));
    assert_eq!(named(255).status, 200);
    named(256).is_refused(400, "INVALID_ARGUMENT", &["1 to 255 bytes"]);
    post("/guest/a/signal?name=x").is_refused(409, "FAILED_PRECONDITION", &["has ended"]);
    post("/guest/a/cancel").is_refused(409, "FAILED_PRECONDITION", &["completed"]);
    post("/guest/none/cancel").is_refused(404, "NOT_FOUND", &["no workflow"]);
}

#[test]
fn a_token_reads_signals_or_cancels_by_its_scope() {
    let dir = TempDir::new().unwrap();
    let node = Node::start(dir, &["--require-token"]);
    let [read, invoke, deploy] = ["read", "invoke", "deploy"]
        .map(|scope| format!("Bearer {}", tokens::create(node.data_dir(), scope).1));
    let status = |token: &str, method: &str, path: &str| {
        let headers = [("authorization", token)];
        node.request(method, &format!("/api/v1/workflows{path}"), &headers, b"")
            .status
    };
    for (path, method, scopes) in [
        ("", "GET", [200, 200, 200]),
        ("/a/b", "GET", [404, 404, 404]),
        ("/a/b/signal?name=x", "POST", [403, 404, 404]),
        ("/a/b/cancel", "POST", [403, 403, 404]),
    ] {
        let answered = [&read, &invoke, &deploy].map(|token| status(token, method, path));
        assert_eq!(answered, scopes, "{method} {path}");
    }
}

#[test]
fn a_shell_lists_signals_and_cancels_workflows() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    let run = |arguments: &[&str]| to(&node, &[&["workflow"], arguments].concat());
    let none = run(&["list"]);
    assert_eq!((none.code, none.err.trim_end()), (0, "no such workflows"));
    deploy(&node, &wasm);
    begin(&node, "one wait");
    begin(&node, "other wait");
    let listed = run(&["list", "--application", "guest", "--status", "running"]);
    assert_eq!(listed.done().lines().count(), 3, "{}", listed.out);
    let noted = run(&["signal", "guest", "one", "note", "a"]);
    assert_eq!(noted.done(), "one has been sent the signal note\n");
    run(&["signal", "guest", "one", "approve"]).done();
    ends(&node, "one");
    let shown = run(&["status", "guest", "one"]);
    for line in ["status       COMPLETED", "result       note a approve"] {
        assert!(
            shown.done().contains(line),
            "{line} is not in {}",
            shown.out
        );
    }
    assert!(shown.out.contains("signals      2\n"), "{}", shown.out);
    let cancelled = run(&["cancel", "guest", "other", "--reason", "no more"]);
    assert_eq!(cancelled.done(), "other is cancelled\n");
    let text = run(&["status", "guest", "other"]);
    assert!(text.done().contains("signals      none\n"), "{}", text.out);
    let shown = run(&["status", "guest", "other", "--output", "json"]).json();
    assert_eq!(shown["reason"], "no more");
    run(&["cancel", "guest", "other"]).fails(1, &["has ended: it is cancelled"]);
    run(&["status", "guest", "none"]).fails(1, &["no workflow \"none\""]);
}
