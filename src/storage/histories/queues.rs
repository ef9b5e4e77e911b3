//! Queues: messages come in their order, each to one receiver, until one of them answers for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Dice, Rooms, number, owner, rooms};
use crate::limits;
use crate::place::Place;
use crate::storage::letters::Return;
use crate::storage::queues::{Delivery, Parcel, QueueError, QueueName, Queues, Settings};

fn queue(name: &str) -> QueueName {
    QueueName::parse(Place::default(), name).unwrap()
}

fn parcel(text: &str) -> Parcel {
    Parcel {
        message_type: "note".into(),
        payload: text.to_owned().into(),
        ..Parcel::default()
    }
}

fn text(delivery: &Delivery) -> &str {
    std::str::from_utf8(&delivery.payload).unwrap()
}

async fn send(queues: &Queues, name: &str, text: &str) -> String {
    queues
        .send(&queue(name), &owner(), parcel(text))
        .await
        .unwrap()
}

async fn receive(queues: &Queues, name: &str) -> Option<Delivery> {
    let received = queues.receive(&queue(name)).await.unwrap();
    received.map(|mut delivery| {
        delivery.lease.arrived();
        delivery
    })
}

#[tokio::test]
async fn messages_come_in_order_and_go_when_acknowledged() {
    let Rooms { queues, .. } = rooms();
    assert!(receive(&queues, "q").await.is_none());
    let id = send(&queues, "q", "one").await;
    send(&queues, "q", "two").await;
    assert_eq!(queues.depth(&queue("q")).await.unwrap(), 2);
    let mut one = receive(&queues, "q").await.unwrap();
    assert_eq!((text(&one), one.deliveries, one.lease.id()), ("one", 1, id));
    let two = receive(&queues, "q").await.unwrap();
    assert_eq!(queues.depth(&queue("q")).await.unwrap(), 0);
    queues.acknowledge(&mut one.lease).await.unwrap();
    // A receiver that ends without an answer gives back what it had.
    drop((one, two));
    let two = receive(&queues, "q").await.unwrap();
    assert_eq!((text(&two), two.deliveries), ("two", 2));
    drop(two);
    assert_eq!(receive(&queues, "q").await.unwrap().deliveries, 3);
}

#[tokio::test]
async fn what_was_given_back_keeps_its_place() {
    let Rooms { queues, .. } = rooms();
    for text in ["one", "two", "three"] {
        send(&queues, "q", text).await;
    }
    let mut one = receive(&queues, "q").await.unwrap();
    queues
        .give_back(&mut one.lease, Return::Delivered)
        .await
        .unwrap();
    for expected in ["one", "two", "three"] {
        let mut delivery = receive(&queues, "q").await.unwrap();
        assert_eq!(text(&delivery), expected);
        queues.acknowledge(&mut delivery.lease).await.unwrap();
    }
}

#[tokio::test]
async fn receivers_that_wait_are_served_in_order_and_one_that_left_takes_nothing() {
    let Rooms { queues, .. } = rooms();
    let waiting = |n: usize| {
        let queues = queues.clone();
        async move {
            let mut delivery = queues.wait(&queue("q")).await.unwrap();
            delivery.lease.arrived();
            queues.acknowledge(&mut delivery.lease).await.unwrap();
            (n, text(&delivery).to_owned(), delivery.deliveries)
        }
    };
    let mut tasks = Vec::new();
    for n in 0..4 {
        tasks.push(tokio::spawn(waiting(n)));
        // Each stands in line once its own change is answered; a look comes after it.
        while queues.standing(&queue("q")) <= n {
            tokio::task::yield_now().await;
        }
    }
    tasks[1].abort();
    assert!((&mut tasks[1]).await.unwrap_err().is_cancelled());
    for text in ["a", "b", "c"] {
        send(&queues, "q", text).await;
    }
    let mut served = Vec::new();
    for n in [0, 2, 3] {
        served.push((&mut tasks[n]).await.unwrap());
    }
    let expected = [(0, "a", 1), (2, "b", 1), (3, "c", 1)];
    assert_eq!(
        served,
        expected.map(|(n, text, times)| (n, text.to_owned(), times))
    );
}

#[tokio::test]
async fn a_rejected_message_is_among_the_dead_letters() {
    let Rooms { queues, .. } = rooms();
    send(&queues, "q", "bad").await;
    let mut bad = receive(&queues, "q").await.unwrap();
    queues
        .give_back(&mut bad.lease, Return::Rejected)
        .await
        .unwrap();
    drop(bad);
    assert!(receive(&queues, "q").await.is_none());
    let mut dead = receive(&queues, "q.dlq").await.unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!((text(&dead), dead.deliveries), ("bad", 1));
    assert_eq!(
        dead.headers,
        [
            header("dead-letter-queue", "q"),
            header("dead-letter-deliveries", "1")
        ]
    );
    // A dead letter that is rejected is gone.
    queues
        .give_back(&mut dead.lease, Return::Rejected)
        .await
        .unwrap();
    assert!(receive(&queues, "q.dlq").await.is_none());
    assert!(receive(&queues, "q.dlq.dlq").await.is_none());
}

#[tokio::test]
async fn a_message_that_nobody_can_handle_ends_among_the_dead_letters() {
    let Rooms { queues, .. } = rooms();
    send(&queues, "q", "poison").await;
    for times in 1..=limits::DELIVERIES_MAX {
        let delivery = receive(&queues, "q").await.unwrap();
        assert_eq!(delivery.deliveries, times);
    }
    assert!(receive(&queues, "q").await.is_none());
    let dead = receive(&queues, "q.dlq").await.unwrap();
    assert_eq!(dead.headers[1].1, limits::DELIVERIES_MAX.to_string());
}

#[tokio::test]
async fn delay_and_time_to_live_are_kept_to_the_millisecond() {
    tokio::time::pause();
    let Rooms { queues, due, .. } = rooms();
    let millis = Duration::from_millis;
    let late = Parcel {
        delay: millis(100),
        ..parcel("late")
    };
    let brief = Parcel {
        ttl: millis(100),
        ..parcel("brief")
    };
    for parcel in [late, brief, parcel("always")] {
        queues.send(&queue("q"), &owner(), parcel).await.unwrap();
    }
    due.wait().await;
    assert_eq!(queues.sweep().await.unwrap(), None);
    assert_eq!(
        queues.depth(&queue("q")).await.unwrap(),
        2,
        "brief is gone, late is there"
    );
    for expected in ["late", "always"] {
        let mut delivery = receive(&queues, "q").await.unwrap();
        assert_eq!(text(&delivery), expected);
        queues.acknowledge(&mut delivery.lease).await.unwrap();
    }
    // The queue's own limit, for a message that is on loan when its time is over.
    let settings = Settings {
        messages_max: 0,
        ttl_ms: 50,
    };
    queues
        .create(&queue("q"), &owner(), settings)
        .await
        .unwrap();
    send(&queues, "q", "lent").await;
    let lent = receive(&queues, "q").await.unwrap();
    tokio::time::advance(millis(50)).await;
    drop(lent);
    assert!(receive(&queues, "q").await.is_none());
}

#[tokio::test]
async fn a_held_back_message_wakes_who_waits_for_it() {
    tokio::time::pause();
    let Rooms { queues, due, .. } = rooms();
    let late = Parcel {
        delay: Duration::from_millis(100),
        ..parcel("late")
    };
    queues.send(&queue("q"), &owner(), late).await.unwrap();
    let waits = {
        let queues = queues.clone();
        tokio::spawn(async move {
            queues
                .wait(&queue("q"))
                .await
                .map(|it| text(&it).to_owned())
        })
    };
    while queues.standing(&queue("q")) == 0 {
        tokio::task::yield_now().await;
    }
    due.wait().await;
    queues.sweep().await.unwrap();
    assert_eq!(waits.await.unwrap().unwrap(), "late");
}

#[tokio::test]
async fn a_full_queue_says_so() {
    let Rooms { queues, .. } = rooms();
    let settings = Settings {
        messages_max: 2,
        ttl_ms: 0,
    };
    queues
        .create(&queue("q"), &owner(), settings)
        .await
        .unwrap();
    send(&queues, "q", "one").await;
    send(&queues, "q", "two").await;
    // On loan it still takes a place.
    let mut one = receive(&queues, "q").await.unwrap();
    let refused = queues.send(&queue("q"), &owner(), parcel("three")).await;
    assert!(matches!(refused, Err(QueueError::Full { max: 2, .. })));
    queues.acknowledge(&mut one.lease).await.unwrap();
    send(&queues, "q", "three").await;
    let headers = vec![("x".into(), "y".into()); limits::QUEUE_HEADERS_MAX + 1];
    let wordy = Parcel {
        headers,
        ..parcel("")
    };
    let refused = queues.send(&queue("other"), &owner(), wordy).await;
    assert!(matches!(refused, Err(QueueError::Headers)));
}

#[tokio::test]
async fn a_deleted_queue_leaves_nothing_and_begins_anew() {
    let Rooms { queues, .. } = rooms();
    for n in 0..limits::SWEEP_ITEMS_MAX + 10 {
        send(&queues, "q", &n.to_string()).await;
    }
    let mut lent = receive(&queues, "q").await.unwrap();
    queues.delete(&queue("q")).await.unwrap();
    queues.delete(&queue("q")).await.unwrap();
    assert_eq!(queues.depth(&queue("q")).await.unwrap(), 0);
    send(&queues, "q", "new").await;
    assert!(
        queues.sweep().await.unwrap().is_some(),
        "one sweep is not enough"
    );
    assert_eq!(queues.sweep().await.unwrap(), None);
    let gone = queues.acknowledge(&mut lent.lease).await;
    assert!(matches!(gone, Err(QueueError::Gone(_))));
    assert_eq!(text(&receive(&queues, "q").await.unwrap()), "new");
    assert_eq!(queues.kept().await, 1, "what was deleted is still counted");
}

/// Senders, and receivers that acknowledge, reject, forget, or leave while they wait: each message is acknowledged once, and
/// as long as nothing came back those of one sender were in order.
#[tokio::test]
async fn no_message_is_lost_or_acknowledged_twice() {
    let seed = number("PLEXSPACES_TEST_SEED", 20_261_125);
    for round in 0..20 {
        let mut dice = Dice(seed.wrapping_mul(2 * round + 1) | 1);
        let Rooms { queues, .. } = rooms();
        let acknowledged = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
        let mut tasks = JoinSet::new();
        for sender in 0..3 {
            let queues = queues.clone();
            tasks.spawn(async move {
                for n in 0..40 {
                    send(&queues, "q", &format!("{sender}-{n}")).await;
                }
            });
        }
        for _ in 0..5 {
            let (queues, acknowledged) = (queues.clone(), acknowledged.clone());
            let mut dice = Dice(dice.below(u64::MAX) | 1);
            tasks.spawn(async move {
                while acknowledged.lock().unwrap().len() < 120 {
                    let name = queue("q");
                    let waits = queues.wait(&name);
                    let yields = dice.below(30);
                    let leaves_early = dice.below(3) == 0;
                    let all_done = || acknowledged.lock().unwrap().len() == 120;
                    let leaves = async {
                        for _ in 0..yields {
                            tokio::task::yield_now().await;
                        }
                        while !leaves_early && !all_done() {
                            tokio::task::yield_now().await;
                        }
                    };
                    let delivery = tokio::select! {
                        delivery = waits => delivery.unwrap(),
                        () = leaves => {
                            // What it left behind is applied before the next of it comes.
                            queues.depth(&name).await.unwrap();
                            continue;
                        }
                    };
                    let mut delivery = delivery;
                    delivery.lease.arrived();
                    match dice.below(10) {
                        0 => queues
                            .give_back(&mut delivery.lease, Return::Delivered)
                            .await
                            .unwrap(),
                        1 => drop(delivery),
                        _ => {
                            let text = text(&delivery).to_owned();
                            queues.acknowledge(&mut delivery.lease).await.unwrap();
                            *acknowledged.lock().unwrap().entry(text).or_default() += 1;
                        }
                    }
                }
            });
        }
        tasks.join_all().await;
        let acknowledged = acknowledged.lock().unwrap().clone();
        let twice: BTreeSet<_> = acknowledged.iter().filter(|it| *it.1 != 1).collect();
        assert!(twice.is_empty(), "round {round} of seed {seed}: {twice:?}");
        assert_eq!(queues.kept().await, 0, "round {round} of seed {seed}");
    }
}
