//! TuplePlexSpaceService: tuples written, read, waited for and taken by gRPC, in the place that the metadata names.

use std::thread;

use plexspaces_node::grpc::proto::common::Empty;
use plexspaces_node::grpc::proto::tuplespace::tuple_field::Value;
use plexspaces_node::grpc::proto::tuplespace::tuple_plex_space_service_client::TuplePlexSpaceServiceClient;
use plexspaces_node::grpc::proto::tuplespace::{
    CountRequest, ExistsRequest, Lease, ReadRequest, SpatialRegion, Tuple, TupleField, WriteRequest,
};
use serde_json::json;
use tonic::Code;

use crate::grpc_client::{Rpc, is_refused};
use crate::harness::{Node, node};

macro_rules! tuples {
    ($rpc:expr, $call:ident($request:expr)) => {
        $rpc.call($request, |channel, request| async move {
            TuplePlexSpaceServiceClient::new(channel)
                .$call(request)
                .await
        })
    };
}

pub(crate) use tuples;

pub fn tuple(values: impl IntoIterator<Item = Value>) -> Tuple {
    let fields = values
        .into_iter()
        .map(|value| TupleField { value: Some(value) });
    Tuple {
        fields: fields.collect(),
        ..Tuple::default()
    }
}

fn order(number: i64) -> Tuple {
    tuple([Value::String("order".into()), Value::Integer(number)])
}

fn any_order() -> Option<Tuple> {
    Some(tuple([
        Value::String("order".into()),
        Value::Wildcard(true),
    ]))
}

fn write(rpc: &Rpc, tuples: Vec<Tuple>) {
    let request = WriteRequest {
        tuples,
        ..WriteRequest::default()
    };
    tuples!(rpc, write(request)).unwrap();
}

fn wanted(max_results: i32) -> ReadRequest {
    ReadRequest {
        template: any_order(),
        max_results,
        ..ReadRequest::default()
    }
}

fn count(rpc: &Rpc) -> i64 {
    let request = CountRequest {
        template: any_order(),
        ..CountRequest::default()
    };
    tuples!(rpc, count(request)).unwrap().count
}

fn waiting(node: &Node) -> bool {
    node.get("/api/v1/tuplespace/stats").json()["waiting"] == 1
}

#[test]
fn tuples_are_written_read_counted_and_taken() {
    let node = node();
    let rpc = Rpc::to(&node);
    write(&rpc, vec![order(1), order(2), order(3)]);
    let read = tuples!(rpc, read(wanted(0))).unwrap();
    assert_eq!((read.tuples, read.has_more), (vec![order(1)], true));
    let read = tuples!(rpc, read(wanted(7))).unwrap();
    assert_eq!((read.tuples.len(), read.has_more), (3, false));
    let taken = tuples!(rpc, take(wanted(2))).unwrap();
    assert_eq!(
        (taken.tuples, taken.has_more),
        (vec![order(1), order(2)], true)
    );
    assert_eq!(count(&rpc), 1);
    let exists = ExistsRequest {
        template: Some(order(3)),
        ..ExistsRequest::default()
    };
    assert!(tuples!(rpc, exists(exists.clone())).unwrap().exists);
    let stats = tuples!(rpc, get_stats(Empty {})).unwrap().stats.unwrap();
    assert!(
        stats.tuple_count == 1 && stats.memory_bytes > 0,
        "{stats:?}"
    );
    write(&rpc, vec![tuple([]), tuple([Value::Null(true)])]);
    tuples!(rpc, clear(Empty {})).unwrap();
    assert!(!tuples!(rpc, exists(exists)).unwrap().exists);
    let stats = tuples!(rpc, get_stats(Empty {})).unwrap().stats.unwrap();
    assert_eq!((stats.tuple_count, stats.memory_bytes), (0, 0));
}

#[test]
fn each_field_comes_back_as_it_was_and_over_http_too() {
    let node = node();
    let rpc = Rpc::to(&node);
    let all = tuple([
        Value::String("order".into()),
        Value::Integer(-7),
        Value::Float(2.0),
        Value::Boolean(true),
        Value::Binary(vec![1, 2].into()),
        Value::Null(true),
    ]);
    write(&rpc, vec![all.clone()]);
    let body = json!({"pattern": ["order", -7, 2.0, true, {"bytes": "AQI="}, null]}).to_string();
    let read = node.request("POST", "/api/v1/tuplespace/read", &[], body.as_bytes());
    assert_eq!(read.json()["tuples"][0][4], json!({"bytes": "AQI="}));
    let request = ReadRequest {
        template: Some(all.clone()),
        ..ReadRequest::default()
    };
    assert_eq!(tuples!(rpc, take(request)).unwrap().tuples, [all]);
}

#[test]
fn who_waits_gets_the_first_tuple_and_nothing_once_the_time_is_over() {
    let node = node();
    let rpc = Rpc::to(&node);
    let blocking = |seconds, nanos| ReadRequest {
        blocking: true,
        timeout: Some(prost_types::Duration { seconds, nanos }),
        ..wanted(5)
    };
    let late = tuples!(rpc, take(blocking(0, 1_000_000))).unwrap();
    assert_eq!((late.tuples, late.has_more), (vec![], false));
    thread::scope(|scope| {
        let taker = scope.spawn(|| tuples!(Rpc::to(&node), take(blocking(60, 0))).unwrap());
        node.waits_for("the taker", || waiting(&node));
        write(&rpc, vec![order(1), order(2)]);
        assert_eq!(taker.join().unwrap().tuples, [order(1)]);
    });
    assert_eq!(count(&rpc), 1);
    let brief = Tuple {
        lease: Some(Lease {
            ttl: Some(prost_types::Duration {
                seconds: 0,
                nanos: 1_000_000,
            }),
            ..Lease::default()
        }),
        ..order(7)
    };
    write(&rpc, vec![brief]);
    node.waits_for("the brief one to end", || count(&rpc) == 1);
}

#[test]
fn the_metadata_says_whose_tuples_they_are() {
    let node = node();
    let home = Rpc::to(&node);
    let away = Rpc::to(&node)
        .with("x-tenant-id", "acme")
        .with("x-namespace", "shop");
    write(&away, vec![order(1)]);
    assert_eq!((count(&home), count(&away)), (0, 1));
    let body = json!({"pattern": ["order", 1], "tenant": "acme", "namespace": "shop"}).to_string();
    let counted = node.request("POST", "/api/v1/tuplespace/count", &[], body.as_bytes());
    assert_eq!(counted.json()["count"], 1);
    let odd = Rpc::to(&node).with("x-namespace", "../shop");
    is_refused(
        tuples!(odd, clear(Empty {})),
        Code::InvalidArgument,
        &["namespace"],
    );
}

#[test]
fn what_is_not_served_is_refused_and_nothing_is_written() {
    let node = node();
    let rpc = Rpc::to(&node);
    let template = any_order();
    let refused = |request: ReadRequest, word: &str| {
        is_refused(tuples!(rpc, take(request)), Code::InvalidArgument, &[word]);
    };
    refused(
        ReadRequest {
            template: None,
            ..wanted(1)
        },
        "template",
    );
    refused(wanted(-1), "max_results");
    refused(
        ReadRequest {
            transaction_id: "t".into(),
            ..wanted(1)
        },
        "transaction_id",
    );
    refused(
        ReadRequest {
            spatial_filter: Some(SpatialRegion::default()),
            ..wanted(1)
        },
        "spatial_filter",
    );
    let long = Some(prost_types::Duration {
        seconds: 601,
        nanos: 0,
    });
    refused(
        ReadRequest {
            timeout: long,
            ..wanted(1)
        },
        "timeout",
    );
    let taking = ReadRequest {
        take: true,
        ..wanted(1)
    };
    is_refused(
        tuples!(rpc, read(taking)),
        Code::InvalidArgument,
        &["call Take"],
    );
    let half = WriteRequest {
        tuples: vec![order(1), template.unwrap()],
        ..WriteRequest::default()
    };
    is_refused(
        tuples!(rpc, write(half)),
        Code::InvalidArgument,
        &["wildcard"],
    );
    assert_eq!(count(&rpc), 0, "all or nothing");
    let subscribe = Default::default();
    is_refused(
        tuples!(rpc, subscribe(subscribe)),
        Code::Unimplemented,
        &["docs/grpc.md"],
    );
}
