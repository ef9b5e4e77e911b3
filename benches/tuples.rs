//! What waiting takers and a million tuples cost: `cargo bench --bench tuples`.

use std::fs;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use plexspaces_node::budget::Budget;
use plexspaces_node::coordination::tuplespace::{TupleSpaces, Wish};
use plexspaces_node::coordination::{Pattern, read_pattern, read_tuple};
use plexspaces_node::id::Scope;
use plexspaces_node::limits;
use plexspaces_node::place::Place;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime starts");
    let _entered = runtime.enter();
    println!("{:<64} {:>12}", "what", "median");
    for waiting in [0, 100, 10_000] {
        say(
            &format!("write to one of {waiting} takers of other keys"),
            other_keys(waiting),
        );
        say(
            &format!("write to the first of {waiting} takers of this key"),
            same_key(waiting),
        );
        say(
            &format!("write past {waiting} takers whose condition fails"),
            failing(waiting),
        );
    }
    say("take by first field among 100,000 tuples", take_by_key());
    say("count by a condition over 100,000 tuples", count_all());
    million();
}

fn say(what: &str, took: Duration) {
    println!("{what:<64} {took:>12?}");
}

fn spaces() -> TupleSpaces {
    TupleSpaces::new(Budget::new(usize::MAX), usize::MAX)
}

fn pattern(json: &str) -> Pattern {
    read_pattern(json.as_bytes()).expect("a pattern")
}

fn write(spaces: &TupleSpaces, json: &str) {
    let tuple = read_tuple(json.as_bytes()).expect("a tuple");
    spaces
        .write(&Place::default(), tuple, None)
        .expect("there is room");
}

fn median(mut step: impl FnMut() -> Duration) -> Duration {
    let mut took: Vec<Duration> = (0..101).map(|_| step()).collect();
    took.sort_unstable();
    took[50]
}

/// A write and the taker's fetch, with so many others waiting.
fn served(spaces: &TupleSpaces, taker: &str, tuple: &str) -> Duration {
    let waiting = spaces
        .wait(&Place::default(), pattern(taker), Wish::Take)
        .expect("there is room");
    let mut waiting = pin!(waiting);
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    let tuple = read_tuple(tuple.as_bytes()).expect("a tuple");
    let began = Instant::now();
    spaces
        .write(&Place::default(), tuple, None)
        .expect("there is room");
    let polled = waiting.as_mut().poll(&mut context);
    let took = began.elapsed();
    assert!(matches!(polled, Poll::Ready(_)));
    took
}

fn other_keys(waiting: usize) -> Duration {
    let spaces = spaces();
    let others: Vec<_> = (0..waiting)
        .map(|n| {
            spaces.wait(
                &Place::default(),
                pattern(&format!(r#"["k{n}",{{"any":true}}]"#)),
                Wish::Take,
            )
        })
        .collect();
    let took = median(|| served(&spaces, r#"["job",{"any":true}]"#, r#"["job",1]"#));
    drop(others);
    took
}

fn same_key(waiting: usize) -> Duration {
    let spaces = spaces();
    let mut others: Vec<_> = (0..waiting.max(1))
        .map(|_| {
            spaces
                .wait(
                    &Place::default(),
                    pattern(r#"["job",{"any":true}]"#),
                    Wish::Take,
                )
                .expect("there is room")
        })
        .collect();
    let mut context = Context::from_waker(Waker::noop());
    median(|| {
        let first = others.remove(0);
        let mut first = pin!(first);
        assert!(first.as_mut().poll(&mut context).is_pending());
        let tuple = read_tuple(br#"["job",1]"#).expect("a tuple");
        let began = Instant::now();
        spaces
            .write(&Place::default(), tuple, None)
            .expect("there is room");
        let polled = first.as_mut().poll(&mut context);
        let took = began.elapsed();
        assert!(matches!(polled, Poll::Ready(_)));
        others.push(
            spaces
                .wait(
                    &Place::default(),
                    pattern(r#"["job",{"any":true}]"#),
                    Wish::Take,
                )
                .expect("there is room"),
        );
        took
    })
}

fn failing(waiting: usize) -> Duration {
    let spaces = spaces();
    let others: Vec<_> = (0..waiting)
        .map(|_| {
            spaces.wait(
                &Place::default(),
                pattern(r#"["job",{"predicate":">10"}]"#),
                Wish::Take,
            )
        })
        .collect();
    let took = median(|| served(&spaces, r#"["job",1]"#, r#"["job",1]"#));
    drop(others);
    took
}

fn filled() -> TupleSpaces {
    let spaces = spaces();
    for n in 0..limits::TUPLES_MAX {
        write(&spaces, &format!(r#"["k{n}",{n}]"#));
    }
    spaces
}

fn take_by_key() -> Duration {
    let spaces = filled();
    let mut n = 0;
    median(|| {
        n += 997;
        let wanted = pattern(&format!(r#"["k{n}",{{"any":true}}]"#));
        let began = Instant::now();
        let taken = spaces.take(&Place::default(), &wanted);
        let took = began.elapsed();
        assert!(taken.is_some());
        took
    })
}

fn count_all() -> Duration {
    let spaces = filled();
    let wanted = pattern(r#"[{"predicate":"startsWith:k9"},{"type":"int"}]"#);
    median(|| {
        let began = Instant::now();
        assert!(spaces.count(&Place::default(), &wanted) > 10_000);
        began.elapsed()
    })
}

/// A namespace takes 100,000, so it needs ten.
fn million() {
    let before = resident_kib();
    let spaces = spaces();
    for namespace in 0..10 {
        let place = Place {
            tenant: Scope::default(),
            namespace: Scope::parse("namespace", &format!("n{namespace}")).expect("a name"),
        };
        for n in 0..limits::TUPLES_MAX {
            let tuple = read_tuple(format!(r#"["key-{n}",{n}]"#).as_bytes()).expect("a tuple");
            spaces.write(&place, tuple, None).expect("there is room");
        }
    }
    let total = spaces.total();
    let grown = (resident_kib() - before) * 1024;
    println!(
        "{} tuples [\"key-N\", N]: {} bytes of RSS each, counted as {}",
        total.tuples,
        grown / total.tuples,
        total.bytes / total.tuples
    );
}

fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let digits = line.expect("it has a size").trim().trim_end_matches(" kB");
    digits.parse().expect("a number")
}
