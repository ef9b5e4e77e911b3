//! The counter of docs/polyglot.md.

use std::cell::Cell;

wit_bindgen::generate!({ path: "wit", world: "stateful-request-actor" });

thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });

struct Counter;

export!(Counter);

impl Guest for Counter {
    fn init(state: State) -> Result<(), String> {
        COUNT.set(String::from_utf8_lossy(&state).parse().unwrap_or(0));
        Ok(())
    }

    fn handle_request(_: ActorId, _: String, _: Payload) -> Result<Payload, String> {
        COUNT.set(COUNT.get() + 1);
        Self::snapshot_state()
    }

    fn snapshot_state() -> Result<State, String> {
        Ok(COUNT.get().to_string().into_bytes())
    }
}
