//! A greeter in Rust: counts whom it has greeted, talks to other actors, and passes notes through the tuple space.

use std::cell::Cell;

use plexspaces::actor::types::{ActorError, Context, PatternField, TupleField};
use plexspaces::actor::{messaging, tuplespace};

wit_bindgen::generate!({
    path: "../../../../../wit/plexspaces-actor",
    world: "full-request-actor",
});

thread_local! {
    static GREETED: Cell<u64> = const { Cell::new(0) };
}

struct Greeter;

export!(Greeter);

impl Guest for Greeter {
    fn init(state: State) -> Result<(), String> {
        if !state.is_empty() {
            let count = String::from_utf8_lossy(&state).parse();
            GREETED.set(count.map_err(|_| "the state is not a count")?);
        }
        Ok(())
    }

    fn snapshot_state() -> Result<State, String> {
        Ok(GREETED.get().to_string().into_bytes())
    }

    fn handle_request(_: ActorId, msg_type: String, payload: Payload) -> Result<Payload, String> {
        let text = String::from_utf8(payload).map_err(|_| "the payload is not UTF-8")?;
        let reply = match msg_type.as_str() {
            "call" | "greet" => greet(&text),
            "count" => GREETED.get().to_string(),
            "tell" => tell(&text).map_err(|error| error.message)?,
            "ask" => ask(&text).map_err(|error| error.message)?,
            "leave" => leave(text).map_err(|error| error.message)?,
            "take" => take().map_err(|error| error.message)?,
            "crash" => panic!("{text}"),
            _ => return Err(format!("unknown message type: {msg_type}")),
        };
        Ok(reply.into_bytes())
    }
}

fn greet(name: &str) -> String {
    GREETED.set(GREETED.get() + 1);
    format!(
        "Hello, {name}, from Rust! You are number {}.",
        GREETED.get()
    )
}

/// Says hello to another actor, and waits for nothing.
fn tell(other: &str) -> Result<String, ActorError> {
    messaging::tell(other, "greet", b"Rust")?;
    Ok(format!("told {other}"))
}

/// The same, and passes on what it answers.
fn ask(other: &str) -> Result<String, ActorError> {
    let answer = messaging::ask(other, "greet", b"Rust", 5000)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Leaves a note for whoever takes it.
fn leave(note: String) -> Result<String, ActorError> {
    let tuple = ["note".into(), "Rust".into(), note].map(TupleField::StringVal);
    tuplespace::write(&here(), &tuple)?;
    Ok("left a note".to_owned())
}

/// Takes anybody's note.
fn take() -> Result<String, ActorError> {
    let kind = PatternField::Exact(TupleField::StringVal("note".to_owned()));
    let tuple = tuplespace::take(&here(), &[kind, PatternField::Any, PatternField::Any])?;
    match tuple.as_deref() {
        Some([_, TupleField::StringVal(who), TupleField::StringVal(note)]) => {
            Ok(format!("{who} left: {note}"))
        }
        _ => Ok("no note".to_owned()),
    }
}

/// The application's own tenant and namespace.
fn here() -> Context {
    Context {
        tenant_id: String::new(),
        namespace: String::new(),
    }
}
