//! Queues and topics: each function, in the application's own place.

use crate::plexspaces::actor::channels::{
    ack, create_queue, delete_queue, nack, publish_to_topic, queue_depth, receive_from_queue,
    send_to_queue, send_to_queue_with_options, subscribe_to_topic, unsubscribe_from_topic,
};
use crate::plexspaces::actor::types::{Context, ErrorCode};
use crate::report::{Report, own, word};

pub fn check(report: &mut Report) {
    messages_are_received_in_order_and_answered_for(report);
    options_hold(report);
    queues_are_made_and_removed(report);
    topics(report);
    bad_arguments_are_refused(report);
}

fn messages_are_received_in_order_and_answered_for(report: &mut Report) {
    let nothing = receive_from_queue(&own(), "q", 0).map(|message| message.is_none());
    report.answers("receive of nothing", nothing, true);
    let sent: Vec<_> = ["a", "b", "c"]
        .iter()
        .filter_map(|text| send_to_queue(&own(), "q", "note", text.as_bytes()).ok())
        .collect();
    report.holds("send-to-queue", sent.len() == 3, &sent);
    report.answers("queue-depth", queue_depth(&own(), "q"), 3);
    let Ok(Some(first)) = receive_from_queue(&own(), "q", 1_000) else {
        return report.holds("receive-from-queue", false, ());
    };
    let so = first.id == sent[0] && first.msg_type == "note" && first.payload == b"a";
    report.holds("what was received", so && first.delivery_count == 1 && first.timestamp > 0, &first);
    report.refuses("ack of another queue", ack(&own(), "other", &first.id), ErrorCode::InvalidMessage);
    report.answers("nack", nack(&own(), "q", &first.id, true), ());
    let again = receive_from_queue(&own(), "q", 0).map(|message| {
        message.map(|message| (message.id, message.delivery_count))
    });
    report.answers("the same again", again, Some((first.id.clone(), 2)));
    report.answers("ack", ack(&own(), "q", &first.id), ());
    report.refuses("ack again", ack(&own(), "q", &first.id), ErrorCode::InvalidMessage);
    let second = receive_from_queue(&own(), "q", 0).ok().flatten().map(|message| message.id);
    report.holds("the second", second.as_ref() == sent.get(1), &second);
    report.answers("nack for good", nack(&own(), "q", &second.unwrap_or_default(), false), ());
    let Ok(Some(dead)) = receive_from_queue(&own(), "q.dlq", 0) else {
        return report.holds("a dead letter", false, ());
    };
    let origin = ("dead-letter-queue".to_owned(), "q".to_owned());
    report.holds("where it comes from", dead.headers.contains(&origin), &dead);
    report.answers("ack of a dead letter", ack(&own(), "q.dlq", &dead.id), ());
    report.answers("queue-depth", queue_depth(&own(), "q"), 1);
}

fn options_hold(report: &mut Report) {
    let headers = vec![("colour".to_owned(), "red".to_owned())];
    let sent = send_to_queue_with_options(&own(), "o", "note", b"late", 20, 0, &headers);
    report.holds("send-to-queue-with-options", sent.is_ok(), &sent);
    let early = receive_from_queue(&own(), "o", 0).map(|message| message.is_none());
    report.answers("not yet", early, true);
    let late = receive_from_queue(&own(), "o", 60_000);
    let headers = late.map(|message| message.map(|message| message.headers));
    report.answers("the headers", headers, Some(vec![("colour".to_owned(), "red".to_owned())]));
}

fn queues_are_made_and_removed(report: &mut Report) {
    report.answers("create-queue", create_queue(&own(), "small", 1, 0), ());
    report.holds("the first", send_to_queue(&own(), "small", "", b"x").is_ok(), ());
    let second = send_to_queue(&own(), "small", "", b"x");
    report.refuses("a full queue", second, ErrorCode::ResourceExhausted);
    report.answers("create-queue again", create_queue(&own(), "small", 2, 0), ());
    report.holds("the second", send_to_queue(&own(), "small", "", b"x").is_ok(), ());
    report.answers("delete-queue", delete_queue(&own(), "small"), ());
    report.answers("delete-queue again", delete_queue(&own(), "small"), ());
    report.answers("queue-depth of none", queue_depth(&own(), "small"), 0);
}

fn topics(report: &mut Report) {
    report.answers("subscribe-to-topic", subscribe_to_topic(&own(), "t", None), 1);
    report.answers("with a filter", subscribe_to_topic(&own(), "t", Some("order.*")), 2);
    report.answers("unsubscribe", unsubscribe_from_topic(2), ());
    report.refuses("unsubscribe again", unsubscribe_from_topic(2), ErrorCode::InvalidMessage);
    let published = publish_to_topic(&own(), "t", "order.made", b"x");
    report.holds("publish-to-topic", published.as_ref().is_ok_and(|id| !id.is_empty()), &published);
}

fn bad_arguments_are_refused(report: &mut Report) {
    let long = "q".repeat(256);
    for name in ["", long.as_str(), "a\nb"] {
        let refused = ErrorCode::InvalidMessage;
        report.refuses("a bad queue", send_to_queue(&own(), name, "", b""), refused);
        report.refuses("a bad queue", create_queue(&own(), name, 0, 0), refused);
        report.refuses("a bad topic", publish_to_topic(&own(), name, "", b""), refused);
        report.refuses("a bad topic", subscribe_to_topic(&own(), name, None), refused);
    }
    let filtered = subscribe_to_topic(&own(), "t", Some(""));
    report.refuses("an empty filter", filtered, ErrorCode::InvalidMessage);
    let typed = send_to_queue(&own(), "q", &"t".repeat(129), b"");
    report.refuses("a long type", typed, ErrorCode::InvalidMessage);
    let headers = vec![(String::new(), String::new()); 65];
    let wordy = send_to_queue_with_options(&own(), "q", "", b"", 0, 0, &headers);
    report.refuses("many headers", wordy, ErrorCode::InvalidMessage);
    let too_much = vec![0; 1_048_577];
    let heavy = send_to_queue(&own(), "q", "", &too_much);
    report.refuses("a long message", heavy, ErrorCode::ResourceExhausted);
}

/// Sends the queue of this name a message that says just that.
pub fn send(queue: &str) -> Result<Vec<u8>, String> {
    let sent = send_to_queue(&own(), queue, "note", queue.as_bytes());
    sent.map(String::into_bytes).map_err(|error| error.message)
}

/// Receives a message of the queue of this name, waiting up to a minute, and does not answer for it.
pub fn receive(queue: &str) -> Result<Vec<u8>, String> {
    let received = receive_from_queue(&own(), queue, 60_000).map_err(|error| error.message)?;
    Ok(received.map(|message| message.payload).unwrap_or_default())
}

/// What a place that may be another's answers.
pub fn reach(ctx: &Context) -> Vec<String> {
    vec![
        word(&send_to_queue(ctx, "q", "", b"")),
        word(&send_to_queue_with_options(ctx, "q", "", b"", 0, 0, &[])),
        word(&receive_from_queue(ctx, "none", 0)),
        word(&create_queue(ctx, "q", 0, 0)),
        word(&delete_queue(ctx, "q")),
        word(&queue_depth(ctx, "q")),
        word(&publish_to_topic(ctx, "t", "", b"")),
        word(&subscribe_to_topic(ctx, "t", None)),
    ]
}
