//! `plexspaces tuplespace`: write, read, take, count.

use std::thread;

use crate::cli::to;
use crate::harness::node;

#[test]
fn tuples_are_written_read_counted_and_taken() {
    let node = node();
    let run = |arguments: &[&str]| to(&node, &[&["tuplespace"], arguments].concat());
    for number in 1..=3 {
        let tuple = format!("[\"order\", {number}, 1.0]");
        assert_eq!(run(&["write", &tuple]).done(), "the tuple is written\n");
    }
    let any = r#"["order",{"any":true},{"any":true}]"#;
    assert_eq!(run(&["read", any]).done(), "[\"order\",1,1.0]\n");
    assert_eq!(
        run(&["read", any, "--limit", "0"]).done().lines().count(),
        3
    );
    assert_eq!(run(&["count", any]).done(), "3\n");
    let two = run(&["take", any, "--limit", "2"]);
    assert_eq!(two.done(), "[\"order\",1,1.0]\n[\"order\",2,1.0]\n");
    let json = run(&["take", any, "--output", "json"]).json();
    assert_eq!(json["tuples"][0][1], 3);
    for verb in ["take", "read"] {
        run(&[verb, any]).fails(1, &["no such tuple"]);
        let none = run(&[verb, any, "--output", "json"]);
        assert_eq!(none.code, 1, "{none:?}");
        assert!(none.out.contains("\"tuples\": []"), "{none:?}");
    }
    let away = ["--tenant", "acme", "--namespace", "shop"];
    run(&[&["write", "[\"order\",1,1]", "--ttl", "1h"][..], &away].concat()).done();
    assert_eq!(run(&["count", any]).done(), "0\n");
    assert_eq!(run(&[&["count", any][..], &away].concat()).done(), "1\n");
}

#[test]
fn a_taker_waits_for_its_tuple() {
    let node = node();
    thread::scope(|scope| {
        let taker = scope.spawn(|| {
            let arguments = ["tuplespace", "take", "[\"job\"]", "--timeout", "60s"];
            to(&node, &arguments).done().to_owned()
        });
        let waits = || node.get("/api/v1/tuplespace/stats").json()["waiting"] == 1;
        node.waits_for("the taker", waits);
        to(&node, &["tuplespace", "write", "[\"job\"]"]).done();
        assert_eq!(taker.join().unwrap(), "[\"job\"]\n");
    });
}

#[test]
fn what_is_no_tuple_is_said_before_anything_is_sent() {
    let node = node();
    for arguments in [
        ["tuplespace", "write", "order"],
        ["tuplespace", "take", "{\"any\":true}"],
    ] {
        to(&node, &arguments).fails(2, &["JSON array"]);
    }
    let twice = ["tuplespace", "write", r#"[{"int":1,"int":2}]"#];
    to(&node, &twice).fails(2, &[r#"the key "int" stands there twice"#]);
    to(&node, &["tuplespace", "write", "[[1]]"]).fails(1, &["field 0"]);
}
