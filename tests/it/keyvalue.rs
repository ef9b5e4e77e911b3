//! Keys and values: set, read, swapped, counted, watched and expired by guests, in places of their own.

use crate::harness::{Node, node};
use crate::keeper::Keeper;

const OK: (i32, String) = (0, String::new());

#[test]
fn values_are_set_read_listed_and_removed() {
    let node = node();
    let keeper = Keeper::deploy(&node, "keeper", "");
    assert_eq!(keeper.one('g', "a"), (0, String::new()), "absent");
    assert_eq!(keeper.put("a", "one"), 0);
    assert_eq!(keeper.one('g', "a"), (1, "one".into()));
    assert_eq!((keeper.one('e', "a").0, keeper.one('e', "b").0), (1, 0));
    assert_eq!(keeper.put("a", ""), 0);
    assert_eq!(
        keeper.one('g', "a"),
        (1, String::new()),
        "an empty value is one"
    );
    keeper.put("ab", "x");
    keeper.put("b", "x");
    let listed = |keys: &[&str]| {
        let lengths = keys
            .iter()
            .map(|key| format!("{}\0\0\0{key}", char::from(key.len() as u8)));
        (0, lengths.collect::<String>())
    };
    assert_eq!(keeper.one('l', "a"), listed(&["a", "ab"]));
    assert_eq!(keeper.tell('l', 2, ["", "", ""]), listed(&["a", "ab"]));
    assert_eq!((keeper.one('d', "a"), keeper.one('d', "a")), (OK, OK));
    assert_eq!(keeper.one('l', ""), listed(&["ab", "b"]));
}

#[test]
fn swaps_and_counters_are_atomic() {
    let node = node();
    let keeper = Keeper::deploy(&node, "keeper", "");
    let swap = |expected, value| keeper.tell('c', 0, ["s", expected, value]).0;
    let swap_absent = |value| keeper.tell('C', 0, ["s", "", value]).0;
    assert_eq!(
        (swap("", "1"), swap_absent("1"), swap_absent("2")),
        (0, 1, 0)
    );
    assert_eq!((swap("0", "2"), swap("1", "2")), (0, 1));
    assert_eq!(keeper.one('g', "s"), (1, "2".into()));
    let add = |n| keeper.tell('i', n, ["n", "", ""]);
    assert_eq!(
        (add(3), add(4), add(-6)),
        ((0, "3".into()), (0, "7".into()), (0, "1".into()))
    );
    assert_eq!(
        keeper.one('g', "n"),
        (1, "1".into()),
        "a counter is a decimal number"
    );
    assert_eq!(add(i64::MAX).0, -5, "invalid-message: out of range");
    keeper.put("n", "many");
    assert_eq!(add(1).0, -5, "invalid-message: not a number");
}

#[test]
fn a_key_expires_and_whoever_watches_it_hears_of_each_change() {
    let node = node();
    let keeper = Keeper::deploy(&node, "keeper", "");
    let other = Keeper::deploy(&node, "other", "");
    assert_eq!(keeper.one('w', "k"), (1, String::new()), "the first watch");
    assert_eq!(keeper.one('w', "else"), (2, String::new()));
    let event = |subscription: u32, key: &str, change: &str| {
        format!(
            r#"keeper@test-node: {{"subscription":{subscription},"namespace":"default","key":"{key}","change":"{change}"}}"#
        )
    };
    other.tell('t', 1, ["k", "brief", ""]);
    node.log_says(&event(1, "k", "put"));
    node.log_says(&event(1, "k", "expire"));
    assert_eq!(keeper.one('g', "k"), OK);
    other.put("else", "x");
    other.one('d', "else");
    node.log_says(&event(2, "else", "delete"));
    assert_eq!(keeper.tell('u', 2, [""; 3]).0, 0);
    assert_eq!(
        keeper.tell('u', 2, [""; 3]).0,
        -5,
        "invalid-message: no such watch"
    );
    other.put("else", "y");
    other.put("k", "y");
    // Events come in order: had there been one of `else`, it would be there.
    let again = event(1, "k", "put");
    while node.log_count(&again) < 2 {
        std::thread::yield_now();
    }
    assert_eq!(node.log_count(&event(2, "else", "put")), 1);
}

#[test]
fn a_place_is_seen_from_no_other() {
    let node = node();
    let [home, other, away] = [
        Keeper::deploy(&node, "home", ""),
        Keeper::deploy(&node, "namespace", "namespace = 'yard'"),
        Keeper::deploy(&node, "tenant", "tenant = 'acme'"),
    ];
    for (keeper, value) in [(home, "1"), (other, "2"), (away, "3")] {
        keeper.put("k", value);
        keeper.send("q", value);
    }
    for (keeper, value) in [(home, "1"), (other, "2"), (away, "3")] {
        assert_eq!(keeper.one('g', "k"), (1, value.into()));
        assert_eq!(keeper.receive("q", 0), Some((1, value.into())));
        assert_eq!(keeper.receive("q", 0), None);
    }
}

#[test]
fn what_applications_keep_outlives_them_and_the_node() {
    let node = node();
    let keeper = Keeper::deploy(&node, "keeper", "");
    keeper.put("k", "kept");
    keeper.tell('t', 1, ["brief", "x", ""]);
    keeper.tell('t', 600_000, ["long", "x", ""]);
    assert_eq!(node.undeploy("keeper").status, 200);
    let node = Node::again(node.stop());
    let keeper = Keeper::deploy(&node, "keeper", "");
    assert_eq!(keeper.one('g', "k"), (1, "kept".into()));
    assert_eq!(
        (keeper.one('e', "brief").0, keeper.one('e', "long").0),
        (0, 1)
    );
}

#[test]
fn keys_and_values_have_their_bounds() {
    let node = node();
    let keeper = Keeper::deploy(&node, "keeper", "[limits]\nmax_message_bytes = 4096");
    let (long, longer) = ("k".repeat(1024), "k".repeat(1025));
    assert_eq!(
        (
            keeper.put("", "x"),
            keeper.put(&long, "x"),
            keeper.put(&longer, "x")
        ),
        (-5, 0, -5)
    );
    let reader = Keeper::deploy(&node, "reader", "[limits]\nmax_message_bytes = 100");
    keeper.put("v", &"v".repeat(2000));
    assert_eq!(
        reader.one('g', "v").0,
        -7,
        "resource-exhausted: longer than this actor takes"
    );
    // Ten keys of 1 KiB do not fit into what may be passed at once, twice the limit: half a list would look whole.
    for n in 0..10 {
        assert_eq!(keeper.put(&format!("{n}{}", &long[1..]), "x"), 0);
    }
    assert_eq!(keeper.one('l', "").0, -7);
    assert_eq!(keeper.tell('l', 3, [""; 3]).0, 0);
}
