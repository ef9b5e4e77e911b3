//! A pipeline for the readings of sensors: an intake, a pool of workers behind a queue, and a summary.
//!
//! All are actors of this one module; the spec, `sensor_pipeline.toml`, says which of them does what.

use std::cell::Cell;

use plexspaces::actor::types::{ActorError, Context, ErrorCode};
use plexspaces::actor::{channels, keyvalue, logging, messaging};
use serde::Deserialize;
use serde_json::json;

wit_bindgen::generate!({
    path: "../../../wit/plexspaces-actor",
    inline: "
        package sensors:pipeline;

        world pipeline {
            include plexspaces:actor/request-actor@0.1.0;

            import plexspaces:actor/channels@0.1.0;
            import plexspaces:actor/keyvalue@0.1.0;
            use plexspaces:actor/types@0.1.0.{payload as arguments};

            export init: func(initial-state: arguments) -> result<_, string>;
        }
    ",
    world: "sensors:pipeline/pipeline",
    generate_all,
});

const READINGS: &str = "readings";
const REJECTED: &str = "readings.dlq";

/// How long a worker waits for a reading, in milliseconds. Waiting costs nothing, and ends when it is told to stop.
const PATIENCE: u64 = 60_000;
/// A reading that has broken so many workers is put aside.
const DELIVERIES_MAX: u32 = 3;

/// What the spec gives each child as `args`.
#[derive(Deserialize)]
struct Args {
    role: Role,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Intake,
    Worker,
    Summary,
}

#[derive(Deserialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

#[derive(Deserialize)]
struct Question {
    sensor: Option<String>,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Intake) };
    /// When this life of the actor began: an upgrade may leave the `work` of the one before in the mailbox.
    static BEGAN: Cell<u64> = const { Cell::new(0) };
}

struct Pipeline;

export!(Pipeline);

impl Guest for Pipeline {
    fn init(args: Arguments) -> Result<(), String> {
        let args: Args = serde_json::from_slice(&args).map_err(|error| error.to_string())?;
        ROLE.set(args.role);
        BEGAN.set(messaging::now());
        match args.role {
            Role::Worker => work_soon().map_err(|error| error.message),
            Role::Intake | Role::Summary => Ok(()),
        }
    }

    fn handle_request(_: ActorId, _type: String, payload: Payload) -> Result<Payload, String> {
        let answer = match ROLE.get() {
            Role::Intake => take_in(&payload),
            Role::Worker => Ok(work_on(&payload)),
            Role::Summary => summary(&payload),
        };
        answer
            .map(String::into_bytes)
            .map_err(|error| error.message)
    }
}

/// Puts a reading into the queue as it is. It is on disk when this returns.
fn take_in(reading: &[u8]) -> Result<String, ActorError> {
    channels::send_to_queue(&here(), READINGS, "reading", reading)
}

/// One reading for each message, so that a stop or an upgrade never waits for more than that.
fn work_soon() -> Result<(), ActorError> {
    messaging::send_after(0, "work", &BEGAN.get().to_le_bytes()).map(drop)
}

/// Whatever fails ends this worker; its supervisor starts another, which gets the same reading again.
fn work_on(began: &[u8]) -> String {
    if began == BEGAN.get().to_le_bytes() {
        work().and_then(|()| work_soon()).expect("work goes on");
    }
    String::new()
}

/// Works on one reading, and acknowledges it last.
fn work() -> Result<(), ActorError> {
    let message = match channels::receive_from_queue(&here(), READINGS, PATIENCE) {
        Ok(Some(message)) => message,
        Ok(None) => return Ok(()),
        // Told to stop while it waited.
        Err(error) if error.code == ErrorCode::Timeout => return Ok(()),
        Err(error) => return Err(error),
    };
    if message.delivery_count > DELIVERIES_MAX {
        logging::warn(&format!("reading {} is put aside", message.id));
        return channels::nack(&here(), READINGS, &message.id, false);
    }
    let reading: Reading = serde_json::from_slice(&message.payload).expect("a reading");
    let celsius = reading.celsius.to_string();
    keyvalue::put(&here(), &latest(&reading.sensor), celsius.as_bytes())?;
    raise(&highest(&reading.sensor), reading.celsius)?;
    channels::ack(&here(), READINGS, &message.id)
}

/// Keeps the higher of two numbers under a key, whoever else does so at the same time.
fn raise(key: &str, celsius: f64) -> Result<(), ActorError> {
    loop {
        let known = keyvalue::get(&here(), key)?;
        if number(known.as_deref()).is_some_and(|known| known >= celsius) {
            return Ok(());
        }
        let celsius = celsius.to_string();
        if keyvalue::compare_and_swap(&here(), key, known.as_deref(), celsius.as_bytes())? {
            return Ok(());
        }
    }
}

/// What is known of a sensor; without one, how many readings wait and how many were put aside.
fn summary(question: &[u8]) -> Result<String, ActorError> {
    let question: Question = serde_json::from_slice(question).unwrap_or(Question { sensor: None });
    let answer = match question.sensor {
        Some(sensor) => {
            let latest = keyvalue::get(&here(), &latest(&sensor))?;
            let highest = keyvalue::get(&here(), &highest(&sensor))?;
            let (latest, highest) = (number(latest.as_deref()), number(highest.as_deref()));
            json!({"sensor": sensor, "latest": latest, "highest": highest})
        }
        None => json!({
            "waiting": channels::queue_depth(&here(), READINGS)?,
            "rejected": channels::queue_depth(&here(), REJECTED)?,
        }),
    };
    Ok(answer.to_string())
}

fn latest(sensor: &str) -> String {
    format!("latest/{sensor}")
}

fn highest(sensor: &str) -> String {
    format!("highest/{sensor}")
}

fn number(value: Option<&[u8]>) -> Option<f64> {
    std::str::from_utf8(value?).ok()?.parse().ok()
}

/// The application's own tenant and namespace.
fn here() -> Context {
    Context {
        tenant_id: String::new(),
        namespace: String::new(),
    }
}
