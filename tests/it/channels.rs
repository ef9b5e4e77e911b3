//! Queues and topics: sent, received, acknowledged and heard by guests.

use std::thread;

use plexspaces_node::wasm::Kind;

use crate::guests::{ECHO, guest};
use crate::harness::{Node, node};
use crate::keeper::{Keeper, keeper_of_short_timeouts};

fn told(deliveries: u32, text: &str) -> Option<(u32, String)> {
    Some((deliveries, text.to_owned()))
}

#[test]
fn a_queue_gives_each_message_to_one_receiver_in_order() {
    let node = node();
    let [one, two] = ["one", "two"].map(|name| Keeper::deploy(&node, name, ""));
    assert_eq!(one.receive("q", 0), None);
    for text in ["a", "b", "c"] {
        assert_eq!(one.send("q", text), 0);
    }
    assert_eq!(one.one('h', "q"), (0, "3".into()));
    assert_eq!(
        (two.receive("q", 0), one.receive("q", 0)),
        (told(1, "a"), told(1, "b"))
    );
    assert_eq!(one.one('m', ""), (0, "note".into()));
    assert_eq!(two.ack("other"), -5, "invalid-message: of another queue");
    assert_eq!((two.ack("q"), two.ack("q")), (0, -5));
    assert_eq!(one.tell('n', 1, ["q", "", ""]).0, 0, "requeued");
    assert_eq!(
        (two.receive("q", 0), two.receive("q", 0)),
        (told(2, "b"), told(1, "c"))
    );
    assert_eq!(two.tell('n', 0, ["q", "", ""]).0, 0, "rejected");
    assert_eq!(one.receive("q.dlq", 0), told(1, "c"));
    let headers = r#"[["dead-letter-queue","q"],["dead-letter-deliveries","1"]]"#;
    assert_eq!(one.one('M', ""), (0, headers.into()));
}

#[test]
fn a_message_comes_again_when_its_receiver_dies_or_the_node_restarts() {
    let node = node();
    let [one, two] = ["one", "two"].map(|name| Keeper::deploy(&node, name, ""));
    one.send("q", "a");
    assert_eq!(one.receive("q", 0), told(1, "a"));
    assert_eq!(two.receive("q", 0), None);
    node.ask("one", &crate::keeper::order('!', 0, [""; 3]))
        .is_refused(502, "ABORTED", &["unreachable"]);
    assert_eq!(two.receive("q", 60_000), told(2, "a"));
    let node = Node::again(node.kill());
    let two = Keeper {
        node: &node,
        name: "two",
    };
    assert_eq!(
        two.ack("q"),
        -5,
        "invalid-message: an actor of an earlier life had it"
    );
    assert_eq!(two.receive("q", 0), told(3, "a"));
    assert_eq!((two.ack("q"), two.receive("q", 0)), (0, None));
}

#[test]
fn receivers_wait_and_one_that_is_undeployed_takes_nothing() {
    let node = node();
    let [one, two, sender] = ["one", "two", "sender"].map(|name| Keeper::deploy(&node, name, ""));
    thread::scope(|scope| {
        let order = crate::keeper::order('r', 600_000, ["q", "", ""]);
        let forever = &[("x-timeout-ms", "600000")];
        scope.spawn(move || node_ask(one, forever, &order));
        node.log_says("one@test-node: waiting");
        assert_eq!(node.undeploy("one").status, 200);
        let waits = scope.spawn(move || two.receive("q", 60_000));
        node.log_says("two@test-node: waiting");
        assert_eq!(sender.send("q", "a"), 0);
        assert_eq!(waits.join().unwrap(), told(1, "a"));
    });
    assert_eq!(two.receive("q", 1), None, "in time there was nothing");
}

fn node_ask(keeper: Keeper<'_>, headers: &[(&str, &str)], order: &[u8]) {
    let answer = keeper.node.ask_with(keeper.name, headers, order);
    assert!(
        [502, 503].contains(&answer.status) || crate::keeper::told(&answer).0 == -4,
        "{answer:?}"
    );
}

#[test]
fn a_module_may_import_timeouts_of_32_bits() {
    let node = node();
    node.deploy("old", &keeper_of_short_timeouts())
        .is_deployed();
    let old = Keeper {
        node: &node,
        name: "old",
    };
    assert_eq!(
        (old.send("q", "a"), old.receive("q", 1_000)),
        (0, told(1, "a"))
    );
}

#[test]
fn options_delay_bounds_and_headers_hold() {
    let node = node();
    let keeper = Keeper::deploy(&node, "keeper", "");
    let ttl = |ms: i64| ms << 32;
    assert_eq!(keeper.tell('o', ttl(1), ["q", "t", "brief"]).0, 0);
    assert_eq!(keeper.tell('o', 50, ["q", "t", "late"]).0, 0);
    assert_eq!(keeper.receive("q", 60_000), told(1, "late"));
    assert_eq!(keeper.one('M', ""), (0, r#"[["colour","red"]]"#.into()));
    assert_eq!(keeper.tell('q', 1, ["small", "", ""]).0, 0);
    assert_eq!(
        (keeper.send("small", "a"), keeper.send("small", "b")),
        (0, -7)
    );
    assert_eq!(keeper.tell('q', 2, ["small", "", ""]).0, 0, "new settings");
    assert_eq!(keeper.send("small", "b"), 0);
    assert_eq!(
        (keeper.one('x', "small").0, keeper.one('x', "small").0),
        (0, 0)
    );
    assert_eq!(
        (keeper.one('h', "small"), keeper.receive("small", 0)),
        ((0, "0".into()), None)
    );
    let (long, typed) = ("q".repeat(256), "t".repeat(129));
    assert_eq!(
        (
            keeper.send("", "x"),
            keeper.send(&long, "x"),
            keeper.send("a\nb", "x")
        ),
        (-5, -5, -5)
    );
    assert_eq!(keeper.tell('s', 0, ["q", &typed, "x"]).0, -5);
}

#[test]
fn a_topic_is_heard_by_those_whose_filters_match() {
    let node = node();
    let [first, second, stranger] = [
        Keeper::deploy(&node, "first", ""),
        Keeper::deploy(&node, "second", ""),
        Keeper::deploy(&node, "stranger", "tenant = 'acme'"),
    ];
    let subscribe = |keeper: Keeper<'_>, topic, filter| keeper.tell('S', 0, [topic, filter, ""]).0;
    let made = subscribe(first, "orders", "order.*");
    let paid_anywhere = subscribe(first, "#", "order.paid");
    assert!(0 < made && made < paid_anywhere, "{made}, {paid_anywhere}");
    assert!(subscribe(second, "orders", "") > 0);
    assert!(subscribe(stranger, "orders", "") > 0);
    let publish = |kind, payload| second.tell('P', 0, ["orders", kind, payload]).0;
    assert_eq!(
        (publish("order.paid", "{\"n\":1}"), publish("refund", "two")),
        (0, 0)
    );
    let event = |payload: &str| format!("\"payload\":{payload}");
    let heard = node.log_says(
        "second@test-node: {\"namespace\":\"default\",\"topic\":\"orders\",\"type\":\"refund\"",
    );
    assert!(
        heard.contains("\"from\":\"second@test-node\"") && heard.contains(&event("\"two\"")),
        "{heard}"
    );
    let paid = "\"type\":\"order.paid\"";
    let heard = node.log_says("first@test-node: {\"namespace\":\"default\",\"topic\":\"orders\"");
    assert!(
        heard.contains(paid) && heard.contains(&event("{\"n\":1}")),
        "{heard}"
    );
    assert_eq!(first.tell('U', made.into(), [""; 3]).0, 0);
    assert_eq!(
        first.tell('U', made.into(), [""; 3]).0,
        -5,
        "invalid-message: no such subscription"
    );
    assert_eq!(publish("order.made", "x"), 0);
    node.log_says("\"type\":\"order.made\"");
    assert_eq!(
        node.log_count("guest: first@test-node: {"),
        1,
        "once, though two subscriptions match"
    );
    assert_eq!(node.log_count("guest: stranger@test-node: {"), 0);
}

#[test]
fn who_may_send_no_messages_sends_none_to_queues_and_topics() {
    let node = node();
    let mute = Keeper::deploy(&node, "mute", "[capabilities]\nallow_env = true");
    assert_eq!(
        (mute.send("q", "x"), mute.tell('P', 0, ["t", "x", "x"]).0),
        (-6, -6)
    );
    assert_eq!(mute.receive("q", 0), None);
}

#[test]
fn guests_that_flood_the_disk_hold_nobody_up() {
    let node = node();
    let floods = ["a", "b", "c", "d"].map(|name| Keeper::deploy(&node, name, ""));
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let payload = "x".repeat(64 * 1024);
    thread::scope(|scope| {
        for keeper in floods {
            let payload = &payload;
            scope.spawn(move || {
                for n in 0..25 {
                    assert_eq!(keeper.put(&format!("{}-{n}", keeper.name), payload), 0);
                    assert_eq!(keeper.send("q", payload), 0);
                }
            });
        }
        for _ in 0..50 {
            assert_eq!(node.ask("echo", b"here").body_payload(), "here");
        }
        // What the node itself has to keep gets its turn.
        node.deploy("late", &guest(Kind::Core, ECHO)).is_deployed();
    });
    assert_eq!(floods[0].receive("q", 0), told(1, &payload));
    assert_eq!(node.undeploy("late").status, 200);
}
