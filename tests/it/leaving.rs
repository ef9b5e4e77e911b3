//! Clients that leave as soon as they have said what they want, wholly or with their sending half: it is done all the same.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::floods::{
    DATA, END_HEADERS, END_STREAM, HEADERS, OPENING, POST, SETTINGS, frame, request,
};
use crate::guests::{ECHO, RASCAL, guest};
use crate::harness::{Node, node};
use plexspaces_node::limits::{CONNECTIONS_MAX, LOG_FOLLOWERS_MAX};
use plexspaces_node::wasm::Kind;

const HANDLED: &str = "plexspaces_messages_total{outcome=\"handled\"}";

/// A connection over which this was sent and nothing more is.
fn said(node: &Node, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(node.http).unwrap();
    stream.write_all(request).unwrap();
    stream
}

fn invocation(name: &str, payload: &str) -> Vec<u8> {
    let length = payload.len();
    let head = format!(
        "POST /api/v1/actors/default/{name} HTTP/1.1\r\nHost: localhost\r\nX-Timeout-Ms: 60000\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    (head + payload).into_bytes()
}

fn deployment(node: &Node, name: &str) -> Vec<u8> {
    let (content_type, body) = node.form(name, &guest(Kind::Core, ECHO)).encode();
    let head = format!(
        "POST /api/v1/applications/deploy HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

#[test]
fn every_message_of_clients_that_close_at_once_is_handled() {
    const SENT: usize = 300;
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    for _ in 0..SENT {
        drop(said(&node, &invocation("echo", "1")));
    }
    node.waits_for("all are handled", || node.figure(HANDLED) == SENT);
}

#[test]
fn a_deploy_whose_client_closes_at_once_is_carried_out() {
    const DEPLOYS: u64 = 8;
    let node = node();
    for number in 1..=DEPLOYS {
        drop(said(&node, &deployment(&node, &format!("echo-{number}"))));
        // Two uploads at a time are taken, so each is waited for.
        node.waits_for("it is there", || node.total_applications() == number);
    }
    assert_eq!(node.ask("echo-8", b"1").body_payload(), "1");
}

#[test]
fn who_only_stops_sending_is_answered() {
    let node = node();
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    let answer = |request: &[u8]| {
        let mut stream = said(&node, request);
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for payload in ["at once", "wait"] {
        let answer = answer(&invocation("rascal", payload));
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"success\":true"),
            "{answer}"
        );
    }
    let answer = answer(&deployment(&node, "echo"));
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

/// A request over HTTP/2, opening and all, as a client says it that knows what the node speaks.
fn over_http_2(head: Vec<u8>, body: &[u8]) -> Vec<u8> {
    let pieces = body.chunks(16_384);
    let last = pieces.len() - 1;
    let bodies = pieces
        .enumerate()
        .map(|(at, piece)| frame(DATA, if at == last { END_STREAM } else { 0 }, 1, piece));
    let opening = [OPENING.to_vec(), frame(SETTINGS, 0, 0, b"")];
    let head = frame(HEADERS, END_HEADERS, 1, &head);
    opening
        .into_iter()
        .chain([head])
        .chain(bodies)
        .flatten()
        .collect()
}

#[test]
fn what_came_whole_over_http_2_is_done_though_its_client_closed_at_once() {
    const SENT: usize = 50;
    const DEPLOYS: u64 = 8;
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let head = request(POST, "/api/v1/actors/default/echo");
    for _ in 0..SENT {
        drop(said(&node, &over_http_2(head.clone(), b"1")));
    }
    node.waits_for("all are handled", || node.figure(HANDLED) == SENT);
    for number in 1..=DEPLOYS {
        let (content_type, body) = node
            .form(&format!("echo-{number}"), &guest(Kind::Core, ECHO))
            .encode();
        let mut head = request(POST, "/api/v1/applications/deploy");
        // `content-type` is the 31st name that HPACK knows, past what fits into four bits.
        head.extend([0x0f, 31 - 15, content_type.len() as u8]);
        head.extend(content_type.as_bytes());
        drop(said(&node, &over_http_2(head, &body)));
        node.waits_for("it is there", || node.total_applications() == number + 1);
    }
}

#[test]
fn who_only_stops_sending_over_http_2_is_answered_too() {
    let node = node();
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    for payload in ["at once", "wait"] {
        let head = request(POST, "/api/v1/actors/default/rascal");
        let mut stream = said(&node, &over_http_2(head, payload.as_bytes()));
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("\"success\":true"), "{payload}: {answer}");
    }
}

/// Each holds a connection until its message was dealt with, as nobody can know that it does not listen.
#[test]
fn a_port_full_of_clients_that_left_still_answers() {
    let node = node();
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    for number in 0..CONNECTIONS_MAX {
        let mut leaving = said(&node, &invocation("rascal", "wait"));
        // Some leave something behind that nobody reads.
        if number % 2 == 0 {
            leaving.write_all(b"\r\n").unwrap();
        }
    }
    assert_eq!(node.get("/health").status, 200);
    node.waits_for("all are handled", || {
        node.figure(HANDLED) == CONNECTIONS_MAX
    });
}

#[test]
fn a_log_is_followed_no_more_when_its_follower_left() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let follow = || {
        let path = "/api/v1/applications/echo/logs?follow=true";
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut reader = BufReader::new(said(&node, request.as_bytes()));
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        (status, reader)
    };
    let followers: Vec<_> = (0..LOG_FOLLOWERS_MAX).map(|_| follow()).collect();
    assert!(
        followers
            .iter()
            .all(|(status, _)| status.starts_with("HTTP/1.1 200"))
    );
    assert!(follow().0.starts_with("HTTP/1.1 429"));
    drop(followers);
    // By its heartbeats, two a minute, the node would find out with the third.
    node.waits_for("their places are free", || {
        follow().0.starts_with("HTTP/1.1 200")
    });
}

#[test]
fn what_was_asked_is_done_though_who_asked_has_left() {
    const ASKED: usize = 25;
    let node = node();
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    let asking: Vec<TcpStream> = (0..ASKED)
        .map(|_| {
            let mut stream = TcpStream::connect(node.http).unwrap();
            let request = "POST /api/v1/actors/default/rascal HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nw";
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    let handled = || node.figure("plexspaces_messages_total{outcome=\"handled\"}");
    // One is in hand, and each of the others waits or is done.
    node.waits_for("all have come", || {
        handled() + 1 + node.figure("plexspaces_mailbox_messages") >= ASKED
    });
    drop(asking);
    node.waits_for("all are handled", || handled() == ASKED);
    assert_eq!(
        node.figure("plexspaces_messages_total{outcome=\"expired\"}"),
        0
    );
}
