//! Calls every function of the node's interfaces, with good arguments and bad ones, and reports what differs.
//!
//! The message's type is an interface: the answer is `{"checks":12,"failures":["…"]}`. `events` answers with what
//! `handle-event` got so far, `reach` tries the tenant and namespace of its payload. A worker with the argument `init`
//! does what that asks for before it is there, and `in-turn` does the same later.

mod blob;
mod examples;
mod channels;
mod durability;
mod keyvalue;
mod locks;
mod logging;
mod messaging;
mod process_groups;
mod registry;
mod report;
mod tuplespace;
mod workflow;

use std::cell::RefCell;

use report::Report;

wit_bindgen::generate!({
    path: "../../../wit/plexspaces-actor",
    inline: "
        package conformance:guest;

        world guest {
            include plexspaces:actor/full-request-actor@0.1.0;

            use plexspaces:actor/types@0.1.0.{payload as event-payload};

            export handle-event: func(event-type: string, event: event-payload) -> result<_, string>;
        }
    ",
    world: "conformance:guest/guest",
    generate_all,
});

struct Conformance;

export!(Conformance);

thread_local! {
    static EVENTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl Guest for Conformance {
    fn init(state: Vec<u8>) -> Result<(), String> {
        let state = String::from_utf8(state).map_err(|error| error.to_string())?;
        let orders = state.strip_prefix(r#"{"init":""#).and_then(|it| it.strip_suffix(r#""}"#));
        if let Some(orders) = orders {
            return in_turn(orders).map(drop);
        }
        EVENTS.set(state.lines().map(str::to_owned).collect());
        Ok(())
    }

    fn snapshot_state() -> Result<Vec<u8>, String> {
        Ok(EVENTS.with_borrow(|events| events.join("\n")).into_bytes())
    }

    fn handle_request(
        _from: String,
        interface: String,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let bytes = payload;
        let payload = String::from_utf8_lossy(&bytes);
        if let Some(answer) = workflow::asked(&interface, &payload) {
            return answer;
        }
        let mut report = Report::default();
        match &*interface {
            "tuplespace" => tuplespace::check(&mut report),
            "locks" => locks::check(&mut report),
            "process-groups" => process_groups::check(&mut report),
            "keyvalue" => keyvalue::check(&mut report),
            "blob" => blob::check(&mut report),
            "logging" => logging::check(&mut report),
            "messaging" => messaging::check(&mut report),
            "registry" => registry::check(&mut report),
            "channels" => channels::check(&mut report),
            "durability" => durability::check(&mut report),
            "examples" => return examples::run(),
            "workflow" => workflow::check(&mut report),
            "journal" => return durability::journal(&payload),
            "in-turn" => return in_turn(&payload),
            "begin" => return workflow::begin(&payload),
            "result" => return workflow::result(&payload),
            "query" => return workflow::query(&payload),
            "take" => return tuplespace::take(&payload),
            "subscribe" => return tuplespace::subscribe(&payload),
            "lock" => return locks::lock(&payload),
            "say" => return Ok(logging::say(&payload)),
            "send" => return channels::send(&payload),
            "receive" => return channels::receive(&payload),
            "join" => return process_groups::join(&payload),
            "reach" => return Ok(reach(&payload).into_bytes()),
            "events" => return Ok(EVENTS.with_borrow(|events| events.join("\n")).into_bytes()),
            "ask" => return messaging::ask_another(&payload),
            "parent" => return messaging::parent(),
            "reply" => return messaging::answer_early(&bytes),
            "defer" => return messaging::answer_later(&bytes),
            "forward" => return messaging::forward(),
            "trap" => panic!("as asked"),
            other => return Err(format!("no such interface: {other}")),
        }
        Ok(report.into_json())
    }

    fn handle_event(event_type: String, event: Vec<u8>) -> Result<(), String> {
        let event = String::from_utf8_lossy(&event);
        EVENTS.with_borrow_mut(|events| events.push(format!("{event_type} {event}{}", durability::replayed())));
        workflow::signalled(&event_type, &event);
        Ok(())
    }
}

/// Does what each of `TYPE PAYLOAD; TYPE PAYLOAD` asks for, up to the first that fails, and answers with the last answer.
fn in_turn(orders: &str) -> Result<Vec<u8>, String> {
    let mut last = Vec::new();
    for order in orders.split("; ") {
        let (message_type, payload) = order.split_once(' ').unwrap_or((order, ""));
        last = Conformance::handle_request(String::new(), message_type.to_owned(), payload.into())?;
    }
    Ok(last)
}

/// What each interface answers in the place `tenant/namespace`.
fn reach(place: &str) -> String {
    let (tenant, namespace) = place.split_once('/').unwrap_or((place, ""));
    let ctx = plexspaces::actor::types::Context {
        tenant_id: tenant.to_owned(),
        namespace: namespace.to_owned(),
    };
    let answers = [
        tuplespace::reach(&ctx),
        locks::reach(&ctx),
        process_groups::reach(&ctx),
        keyvalue::reach(&ctx),
        blob::reach(&ctx),
        registry::reach(&ctx),
        channels::reach(&ctx),
        durability::reach(&ctx),
        workflow::reach(&ctx),
    ];
    answers.concat().join(" ")
}
