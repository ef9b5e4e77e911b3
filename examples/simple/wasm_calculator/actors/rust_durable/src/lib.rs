//! A calculator with a total that survives whatever ends it: a crash, a kill, a stop, an upgrade.
//!
//! Each operation is in the journal before it is answered. A new life of the actor begins with the last state there is,
//! by `init`, and gets the operations since then again, by `handle-event`.

use std::cell::Cell;

use plexspaces::actor::durability;
use plexspaces::actor::types::{ActorError, Context};
use serde::Deserialize;
use serde_json::{Value, json};

wit_bindgen::generate!({
    path: "../../../../../wit/plexspaces-actor",
    inline: "
        package calculator:durable;

        world durable-calculator {
            include plexspaces:actor/stateful-request-actor@0.1.0;

            import plexspaces:actor/durability@0.1.0;
            use plexspaces:actor/types@0.1.0.{payload as event};

            export handle-event: func(event-type: string, event: event) -> result<_, string>;
        }
    ",
    world: "calculator:durable/durable-calculator",
    generate_all,
});

/// So many operations are replayed at most: then the state is kept, and the journal begins anew.
const CHECKPOINT_EVERY: u64 = 100;

thread_local! {
    static TOTAL: Cell<f64> = const { Cell::new(0.0) };
}

#[derive(Deserialize)]
struct Request {
    operation: String,
    operand: f64,
}

struct DurableCalculator;

export!(DurableCalculator);

impl Guest for DurableCalculator {
    fn init(state: State) -> Result<(), String> {
        if !state.is_empty() {
            TOTAL.set(number(&state)?);
        }
        Ok(())
    }

    fn handle_request(_: ActorId, msg_type: String, payload: Payload) -> Result<Payload, String> {
        let answer = match msg_type.as_str() {
            "total" => Ok(json!({"total": TOTAL.get()})),
            _ => calculate(&payload),
        };
        let answer = answer.unwrap_or_else(|error| json!({"error": error}));
        Ok(answer.to_string().into_bytes())
    }

    /// An operation of the journal again.
    fn handle_event(operation: String, operand: Event) -> Result<(), String> {
        TOTAL.set(apply(TOTAL.get(), &operation, number(&operand)?)?);
        Ok(())
    }

    fn snapshot_state() -> Result<State, String> {
        Ok(TOTAL.get().to_string().into_bytes())
    }
}

/// Checks, persists, and only then changes the total.
fn calculate(payload: &[u8]) -> Result<Value, String> {
    let request: Request = serde_json::from_slice(payload)
        .map_err(|_| r#"send JSON such as {"operation":"add","operand":5}"#)?;
    let total = apply(TOTAL.get(), &request.operation, request.operand)?;
    let entry = persist(&request).map_err(|error| error.message)?;
    TOTAL.set(total);
    Ok(json!({"total": total, "entry": entry}))
}

/// The number of the entry, which is on disk when this returns.
fn persist(request: &Request) -> Result<u64, ActorError> {
    let operand = request.operand.to_string();
    let entry = durability::persist(&here(), &request.operation, operand.as_bytes())?;
    if entry % CHECKPOINT_EVERY == 0 {
        durability::checkpoint(&here())?;
        durability::compact(&here(), entry)?;
    }
    Ok(entry)
}

fn apply(total: f64, operation: &str, operand: f64) -> Result<f64, String> {
    let result = match operation {
        "add" => total + operand,
        "subtract" => total - operand,
        "multiply" => total * operand,
        "divide" if operand == 0.0 => return Err("division by zero".to_owned()),
        "divide" => total / operand,
        _ => return Err(format!("unknown operation: {operation}")),
    };
    match result.is_finite() {
        true => Ok(result),
        false => Err("the result is too large".to_owned()),
    }
}

fn number(text: &[u8]) -> Result<f64, String> {
    let number = String::from_utf8_lossy(text).parse();
    number.map_err(|_| "not a number".to_owned())
}

/// The application's own tenant and namespace.
fn here() -> Context {
    Context {
        tenant_id: String::new(),
        namespace: String::new(),
    }
}
