//! Supervision trees at the doors: from a config, from the module itself, with real guests that are broken in every way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::guests::{ECHO, for_both_kinds, guest};
use crate::harness::{Node, node};
use crate::otp::{self, Reason};
use crate::puppets::{puppet, stateful};
use plexspaces_node::wasm::Kind;

const ORDERS: &str = r#"
[supervisor]
strategy = "rest_for_one"
max_restarts = 5
max_restart_window = "30s"

[[supervisor.children]]
id = "stock"

[[supervisor.children]]
id = "pool"
type = "supervisor"
[supervisor.children.supervisor]
strategy = "one_for_all"
[[supervisor.children.supervisor.children]]
id = "worker-1"
[[supervisor.children.supervisor.children]]
id = "worker-2"
restart = "transient"

[[supervisor.children]]
id = "till"
"#;

fn detail(node: &Node, name: &str) -> Value {
    node.get(&format!("/api/v1/applications/{name}")).json()
}

fn count(node: &Node, actor: &str) -> String {
    node.ask_by_id(actor, b"c").body_payload()
}

/// Waits until the application's JSON is as wanted.
#[track_caller]
fn comes_to(node: &Node, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let detail = detail(node, name);
        if wanted(&detail) {
            return detail;
        }
        assert!(Instant::now() < deadline, "never as wanted: {detail:#}");
    }
}

#[test]
fn a_supervisor_without_children_has_the_worker_that_there_would_be_without_it() {
    let node = node();
    let form = node.form("echo", &guest(Kind::Core, ECHO));
    form.config("[supervisor]\nmax_restarts = 1")
        .send()
        .is_deployed();
    let tree = &detail(&node, "echo")["tree"];
    assert_eq!(
        (&tree["max_restarts"], &tree["child_count"]),
        (&1.into(), &1.into()),
        "{tree}"
    );
    assert_eq!(node.ask("echo", b"\"hello\"").payload(), "hello");
}

for_both_kinds! {
    fn a_tree_from_a_config_starts_is_seen_and_restarts_what_belongs_together(node, kind) {
        node.form("orders", &puppet(kind)).config(ORDERS).send().is_deployed();
        let seen = detail(&node, "orders");
        assert_eq!((&seen["metrics"]["actor_count"], &seen["metrics"]["supervisor_count"]), (&4.into(), &2.into()));
        let tree = &seen["tree"];
        assert_eq!((&tree["type"], &tree["strategy"]), (&"supervisor".into(), &"rest_for_one".into()));
        let pool = &tree["children"][1];
        assert_eq!((&pool["id"], &pool["child_count"]), (&"pool".into(), &2.into()));
        assert_eq!(pool["children"][0]["actor_id"], "orders/worker-1@test-node");
        assert_eq!(seen["spec"]["supervisor"]["children"][0]["id"], "stock");
        for actor in ["stock", "worker-1", "worker-2", "till"] {
            assert_eq!(count(&node, &format!("orders/{actor}")), "1");
        }
        node.request("POST", "/api/v1/actors/orders/worker-2", &[], b"t").is_refused(502, "ABORTED", &["unreachable"]);
        comes_to(&node, "orders", |it| it["tree"]["children"][1]["children"][1]["restarts"] == 1);
        // One for all within the pool, and nobody beside it.
        let counts = ["stock", "worker-1", "worker-2", "till"].map(|it| count(&node, &format!("orders/{it}")));
        assert_eq!(counts, ["2", "1", "1", "2"]);
        node.ask_by_id("orders%2Fstock", b"t").is_refused(502, "ABORTED", &[]);
        comes_to(&node, "orders", |it| it["tree"]["children"][0]["restarts"] == 1);
        let counts = ["stock", "worker-1", "worker-2", "till"].map(|it| count(&node, &format!("orders/{it}")));
        assert_eq!(counts, ["1", "1", "1", "1"], "all after the first are started anew");
        let seen = detail(&node, "orders");
        let stock = &seen["tree"]["children"][0];
        assert!(stock["last_error"].as_str().unwrap().contains("unreachable"), "{stock}");
        assert_eq!(stock["messages_handled"], 3);
        assert!(stock["memory_bytes"].as_u64().unwrap() >= 65_536);
    }
}

#[test]
fn a_list_of_actors_is_paged_and_so_is_the_tree() {
    let node = node();
    let children: String = (0..7)
        .map(|n| format!("[[supervisor.children]]\nid = 'w{n}'\n"))
        .collect();
    let echo = guest(Kind::Core, ECHO);
    node.form("many", &echo)
        .config(&children)
        .send()
        .is_deployed();
    let page = node
        .get("/api/v1/applications/many?offset=2&limit=3")
        .json();
    assert_eq!(
        (&page["page"]["total_size"], &page["page"]["has_next"]),
        (&7.into(), &true.into())
    );
    let ids = |list: &Value, key: &str| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|it| it[key].as_str().unwrap().to_owned())
            .collect()
    };
    let shown = ["w2", "w3", "w4"].map(|it| format!("many/{it}@test-node"));
    assert_eq!(ids(&page["actors"], "actor_id"), shown);
    assert_eq!(ids(&page["tree"]["children"], "actor_id"), shown);
    assert_eq!(page["tree"]["child_count"], 7);
}

#[test]
fn a_child_that_does_not_start_undoes_all_and_is_named() {
    let node = node();
    let tree = "[[supervisor.children]]\nid = 'good'\n\
        [[supervisor.children]]\nid = 'bad'\nargs = { fail = 'yes' }\n\
        [[supervisor.children]]\nid = 'never'\n";
    let refused = node.form("orders", &stateful("")).config(tree).send();
    refused.is_refused(422, "INVALID_ARGUMENT", &["child bad", "init failed"]);
    assert_eq!(node.total_applications(), 0);
    node.ask_by_id("orders/good", b"c")
        .is_refused(404, "NOT_FOUND", &[]);
    node.uploads_end();
    assert_eq!(node.files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn init_gets_the_args_as_json_and_after_a_stop_what_was_left() {
    let node = node();
    let tree = "[[supervisor.children]]\nid = 'one'\nargs = { room = 'attic' }\n\
        [[supervisor.children]]\nid = 'two'\n";
    let deploy = node.form("rooms", &stateful("")).config(tree);
    deploy.send().is_deployed();
    let state = |node: &Node, actor: &str| {
        let answer = node.request(
            "GET",
            &format!("/api/v1/actors/rooms/{actor}"),
            &[("accept", "application/octet-stream")],
            b"",
        );
        answer.body
    };
    let tell = |node: &Node, actor: &str, text: &str| {
        node.ask_by_id(&format!("rooms%2F{actor}"), text.as_bytes());
    };
    tell(&node, "two", "set");
    assert_eq!(
        node.ask_by_id("rooms/one", b"").json()["payload"]["room"],
        "attic"
    );
    assert_eq!(node.wish("rooms", "stop").status, 200);
    assert_eq!(node.wish("rooms", "start").status, 200);
    assert_eq!(
        node.ask_by_id("rooms/two", b"").body_payload(),
        "set",
        "each has its own state"
    );
    let node = Node::again(node.kill());
    assert_eq!(node.ask_by_id("rooms/two", b"").body_payload(), "set");
    assert_eq!(
        node.ask_by_id("rooms/one", b"").json()["payload"]["room"],
        "attic"
    );
    assert!(state(&node, "one").contains("{}"), "a GET sends an object");
}

/// `children: [{id: "left"}, {id: "right", restart: transient}], strategy: one_for_all`, in protobuf.
const TREE_BYTES: &str = r"\08\02\22\06\0a\04left\22\09\0a\05right\20\02";

#[test]
fn a_module_may_say_which_tree_it_wants() {
    let node = node();
    let length = 2 + 8 + 11;
    let core = stateful(&format!(
        r#"(data (i32.const 1024) "\{length:02x}\00\00\00{TREE_BYTES}")
        (func (export "get_supervisor_tree") (result i32) (i32.const 1024))"#
    ));
    let component = wat::parse_str(format!(
        r#"(component
        (core module $guest
            (memory (export "memory") 2)
            (data (i32.const 1024) "{TREE_BYTES}")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 32768))
            (func (export "tree") (result i32)
                (i32.store (i32.const 512) (i32.const 1024))
                (i32.store (i32.const 516) (i32.const {length}))
                (i32.const 512))
            (func (export "handle") (param i32 i32)))
        (core instance $guest (instantiate $guest))
        (func (export "get-supervisor-tree") (result (list u8))
            (canon lift (core func $guest "tree") (memory (core memory $guest "memory"))))
        (func (export "handle-message") (param "payload" (list u8))
            (canon lift (core func $guest "handle") (memory (core memory $guest "memory"))
                (realloc (core func $guest "realloc")))))"#
    ));
    for (name, wasm) in [("core", core), ("component", component.unwrap())] {
        node.deploy(name, &wasm).is_deployed();
        let check = |node: &Node| {
            let seen = detail(node, name);
            assert_eq!(seen["tree"]["strategy"], "one_for_all", "{seen:#}");
            assert_eq!(
                seen["actors"][1]["actor_id"],
                format!("{name}/right@test-node")
            );
            assert_eq!(seen["metrics"]["supervisor_count"], 1);
        };
        check(&node);
        // The config has the last word.
        let own = "[[supervisor.children]]\nid = 'only'\n";
        let other = format!("{name}-2");
        node.form(&other, &wasm).config(own).send().is_deployed();
        assert_eq!(
            detail(&node, &other)["actors"][0]["actor_id"],
            format!("{other}/only@test-node")
        );
    }
    let node = Node::again(node.kill());
    assert_eq!(detail(&node, "core")["tree"]["strategy"], "one_for_all");
    let broken = stateful(
        r#"(data (i32.const 1024) "\04\00\00\00\08\09zz")
        (func (export "get_supervisor_tree") (result i32) (i32.const 1024))"#,
    );
    node.deploy("broken", &broken)
        .is_refused(422, "INVALID_ARGUMENT", &["get_supervisor_tree"]);
    let trap = stateful(r#"(func (export "get_supervisor_tree") (result i32) (unreachable))"#);
    node.deploy("trap", &trap)
        .is_refused(422, "INVALID_ARGUMENT", &["unreachable"]);
}

#[test]
fn an_impossible_tree_is_refused_with_line_and_key() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    let config = |toml: &str| node.form("tree", &echo).config(toml).send();
    let twice = "[[supervisor.children]]\nid = 'a'\n[[supervisor.children]]\nid = 'a'\n";
    let words = ["line 4", "supervisor.children", "two children"];
    config(twice).is_refused(422, "INVALID_ARGUMENT", &words);
    config("[supervisor]\nmax_restarts = 'few'").is_refused(
        422,
        "INVALID_ARGUMENT",
        &["line 2", "max_restarts"],
    );
    config("[[supervisor.children]]\nid = '../x'").is_refused(
        422,
        "INVALID_ARGUMENT",
        &["line 2", "children"],
    );
    let deep = format!(
        "[[supervisor.children]]\nid = 'a'\n[[{}children]]",
        "supervisor.children.".repeat(50)
    );
    let words = ["line 3: a key lies more than 79 tables deep", "nest less"];
    config(&deep).is_refused(422, "INVALID_ARGUMENT", &words);
    assert_eq!(node.total_applications(), 0);
}

#[test]
fn the_root_giving_up_is_seen_everywhere_with_its_reason() {
    let node = Node::unforgiving();
    let tree = "[supervisor]\nmax_restarts = 1\n[[supervisor.children]]\nid = 'inner'\ntype = 'supervisor'\n\
        [supervisor.children.supervisor]\nmax_restarts = 0\n\
        [[supervisor.children.supervisor.children]]\nid = 'weak'\n";
    let deploy = node.form("chain", &puppet(Kind::Core)).config(tree);
    deploy.send().is_deployed();
    for restarts in 1..=2 {
        node.ask_by_id("chain/weak", b"t")
            .is_refused(502, "ABORTED", &["unreachable"]);
        if restarts == 1 {
            comes_to(&node, "chain", |it| {
                it["tree"]["children"][0]["restarts"] == 1
                    && it["tree"]["children"][0]["state"] == "running"
            });
        }
    }
    let failed = comes_to(&node, "chain", |it| {
        it["status"] == "APPLICATION_STATUS_FAILED"
    });
    let reason = failed["error"].as_str().unwrap();
    assert!(
        reason.contains("chain/weak@test-node") && reason.contains("unreachable"),
        "{reason}"
    );
    let health = node.get("/health").body;
    assert!(health.contains("chain"), "{health}");
    let metrics = node.get("/metrics").body;
    assert!(
        metrics.contains("plexspaces_applications{status=\"failed\"} 1"),
        "{metrics}"
    );
    node.log_says("application chain: has failed: ");
    node.request("POST", "/api/v1/actors/chain/weak", &[], b"c")
        .is_refused(503, "UNAVAILABLE", &["chain", "unreachable"]);
}

/// Trees of three levels, whose workers are broken by traps, stops, and spent limits of time and memory.
#[test]
fn guests_broken_in_every_way_are_supervised_as_in_erlang() {
    let node = Node::unforgiving();
    let seeds = match std::env::var("TREES_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=12).collect(),
    };
    for seed in seeds {
        broken_as_in_erlang(&node, seed);
    }
}

fn spec(seed: u64) -> otp::SupervisorSpec {
    use otp::{Restart, Spec, Strategy};
    let restarts = [Restart::Permanent, Restart::Transient, Restart::Temporary];
    let strategies = [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
    ];
    let pick = |salt: u64| (seed.wrapping_mul(2_654_435_761).wrapping_add(salt * 97) >> 5) as usize;
    let worker = |id: &str, salt| Spec {
        id: id.into(),
        restart: restarts[pick(salt) % 3],
        supervisor: None,
    };
    let supervisor = |id: &str, salt, children| Spec {
        id: id.into(),
        restart: Restart::Permanent,
        supervisor: Some(otp::SupervisorSpec {
            strategy: strategies[pick(salt) % 3],
            intensity: 1 + pick(salt + 1) % 3,
            period_ms: 3_600_000,
            children,
        }),
    };
    let inner = supervisor("inner", 1, vec![worker("d", 2), worker("e", 3)]);
    let outer = supervisor("outer", 4, vec![worker("b", 5), inner, worker("c", 6)]);
    otp::SupervisorSpec {
        strategy: strategies[pick(7) % 3],
        intensity: 3,
        period_ms: 3_600_000,
        children: vec![worker("a", 8), outer, worker("f", 9)],
    }
}

fn as_toml(spec: &otp::SupervisorSpec, path: &str) -> String {
    let name = match spec.strategy {
        otp::Strategy::OneForOne => "one_for_one",
        otp::Strategy::OneForAll => "one_for_all",
        otp::Strategy::RestForOne => "rest_for_one",
    };
    let mut text = format!(
        "[{path}]\nstrategy = '{name}'\nmax_restarts = {}\nmax_restart_window = '1h'\n",
        spec.intensity
    );
    for child in &spec.children {
        let restart = format!("{:?}", child.restart).to_lowercase();
        text += &format!(
            "[[{path}.children]]\nid = '{}'\nrestart = '{restart}'\n",
            child.id
        );
        if let Some(below) = &child.supervisor {
            text += &as_toml(below, &format!("{path}.children.supervisor"));
        }
    }
    text
}

fn broken_as_in_erlang(node: &Node, seed: u64) {
    let spec = spec(seed);
    let limits = "[limits]\nmax_execution_time = '100ms'\nmax_memory_bytes = 1048576\n";
    let config = format!("{limits}{}", as_toml(&spec, "supervisor"));
    let kind = [Kind::Core, Kind::Component][seed as usize % 2];
    let deploy = node.form("tree", &puppet(kind)).config(&config);
    deploy.send().is_deployed();
    let mut world = otp::World::new(Box::new(|_, _| false));
    let mut model = otp::Supervisor::start(&spec, &mut world).unwrap();
    let mut goes_on = true;
    for step in 0..8 {
        let living = model.alive();
        if living.is_empty() || !goes_on {
            break;
        }
        let victim = &living[(seed as usize * 7 + step * 5) % living.len()];
        let (order, reason) = [
            (format!("k{victim}"), Reason::Normal),
            ("t".into(), Reason::Error),
            ("z".into(), Reason::Error),
            ("h".into(), Reason::Error),
        ][(seed as usize + step * 3) % 4]
            .clone();
        node.ask_by_id(&format!("tree/{victim}"), order.as_bytes());
        goes_on = model.exit(victim, reason, 0, &mut world);
        let doing = format!("seed {seed}, step {step}: {victim} got {order:?}\n{config}");
        settles(node, &model, goes_on, &world, &doing);
    }
    assert_eq!(node.undeploy("tree").status, 200);
}

/// Waits until those live that should, each started as often as it should be.
fn settles(node: &Node, model: &otp::Supervisor, goes_on: bool, world: &otp::World, doing: &str) {
    let mut starts: BTreeMap<String, usize> = BTreeMap::new();
    for event in &world.trace {
        if let Some(id) = event.strip_prefix("start ") {
            *starts.entry(id.to_owned()).or_default() += 1;
        }
    }
    let mut expected = model.alive();
    expected.sort();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = detail(node, "tree");
        let status = seen["status"].as_str().unwrap().to_owned();
        let actors = seen["actors"].as_array().unwrap().iter();
        let running = actors.filter(|actor| actor["state"] == "running");
        let mut running: Vec<String> = running
            .map(|actor| actor["actor_type"].as_str().unwrap().to_owned())
            .collect();
        running.sort();
        let fits = match goes_on {
            true => status == "APPLICATION_STATUS_RUNNING" && running == expected,
            false => status == "APPLICATION_STATUS_FAILED",
        };
        if fits {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{doing}: expected {expected:?}, starts {starts:?}, got {seen:#}"
        );
    }
}
