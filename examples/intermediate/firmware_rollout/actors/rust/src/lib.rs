//! A firmware rollout that survives whatever happens to the node: flash the first batch, let it prove itself, wait for an
//! operator's word, go on with the others; and where a batch fails, take back what was flashed.
//!
//! One module for both workers of the tree: `rollout` starts runs and carries them out, `devices` does the activities.

mod devices;
mod plan;

use std::cell::RefCell;

use plan::Plan;
use plexspaces::actor::conversation::defer;
use plexspaces::actor::logging::{LogLevel, log};
use plexspaces::actor::messaging::reply;
use plexspaces::actor::types::{ActorError, Context};
use plexspaces::actor::workflow::{
    ActivityOptions, WorkflowOptions, schedule_activity, sleep, start_workflow,
};

wit_bindgen::generate!({
    path: "../../../../../wit/plexspaces-actor",
    inline: "
        package firmware:rollout;

        world actor {
            include plexspaces:actor/full-request-actor@0.1.0;

            use plexspaces:actor/types@0.1.0.{payload as event};

            export handle-event: func(event-type: string, event: event) -> result<_, string>;
        }
    ",
    world: "firmware:rollout/actor",
    generate_all,
});

struct Actor;

export!(Actor);

/// A rollout under way, in the actor that carries it out. It is not stored: a later life takes the same steps again, is
/// answered the same, and comes to the same state.
struct Rollout {
    plan: Plan,
    flashed: Vec<String>,
    next_batch: usize,
    /// The ask that the result answers.
    open: Option<String>,
}

thread_local! {
    static ROLLOUT: RefCell<Option<Rollout>> = const { RefCell::new(None) };
}

impl Guest for Actor {
    fn init(_state: Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    fn snapshot_state() -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn handle_request(_from: String, asked: String, payload: Vec<u8>) -> Result<Vec<u8>, String> {
        let text = String::from_utf8(payload).map_err(|_| "the payload is not UTF-8")?;
        let answer = match asked.as_str() {
            "start" => start(&text),
            "workflow" => begin(&text),
            "progress" => Ok(ROLLOUT.with_borrow(|it| it.as_ref().map_or("not begun".into(), Rollout::progress))),
            "activity" => devices::activity(&text),
            "version" => devices::version(&text),
            other => Err(format!("unknown message type: {other}")),
        };
        answer.map(String::into_bytes)
    }

    /// Signals come here, in the order in which they were sent.
    fn handle_event(signal: String, _payload: Vec<u8>) -> Result<(), String> {
        let Some(mut rollout) = ROLLOUT.take() else {
            return Ok(());
        };
        let result = match signal.as_str() {
            "approve" => rollout.roll_out(),
            "reject" => Some(rollout.take_back("an operator rejected it")),
            other => {
                log(LogLevel::Warn, &format!("a rollout takes approve or reject, not {other}; it waits on"));
                None
            }
        };
        if let Some(result) = result
            && let Some(open) = rollout.open.take()
        {
            reply(&open, result.as_bytes()).map_err(|error| error.message)?;
        }
        ROLLOUT.set(Some(rollout));
        Ok(())
    }
}

/// Starts a run. The first line of the text is its id, the others are its plan.
fn start(text: &str) -> Result<String, String> {
    let (id, plan) = text.split_once('\n').ok_or("first a line with an id, then the plan")?;
    Plan::parse(plan)?;
    let started = start_workflow(&home(), "rollout", Some(id.trim()), plan.as_bytes(), &WorkflowOptions {
        workflow_id: None,
        task_queue: None,
        execution_timeout: None,
        retry_policy: None,
    });
    started.map_err(|error| error.message)
}

/// The run itself: the first batch, a while to prove itself, then the wait for an operator's word.
fn begin(plan: &str) -> Result<String, String> {
    let mut rollout = Rollout {
        plan: Plan::parse(plan)?,
        flashed: Vec::new(),
        next_batch: 0,
        open: None,
    };
    if let Err(reason) = rollout.flash_batch() {
        return Ok(rollout.take_back(&reason));
    }
    sleep(rollout.plan.soak_ms);
    if rollout.next_batch == rollout.plan.batches.len() {
        return Ok(rollout.done());
    }
    // Its answer comes later: when the signal `approve` or `reject` has been handled.
    rollout.open = Some(defer());
    ROLLOUT.set(Some(rollout));
    Ok(String::new())
}

impl Rollout {
    /// All batches that are left; the result, whichever it is.
    fn roll_out(&mut self) -> Option<String> {
        while self.next_batch < self.plan.batches.len() {
            if let Err(reason) = self.flash_batch() {
                return Some(self.take_back(&reason));
            }
            sleep(self.plan.soak_ms);
        }
        Some(self.done())
    }

    fn flash_batch(&mut self) -> Result<(), String> {
        for device in self.plan.batches[self.next_batch].clone() {
            let request = format!("flash {device} {}", self.plan.firmware);
            ask_devices(&request).map_err(|error| format!("{device}: {}", error.message))?;
            self.flashed.push(device);
        }
        self.next_batch += 1;
        Ok(())
    }

    /// The compensation: what was flashed last goes back first.
    fn take_back(&mut self, reason: &str) -> String {
        let mut left = Vec::new();
        while let Some(device) = self.flashed.pop() {
            if ask_devices(&format!("restore {device}")).is_err() {
                left.push(device);
            }
        }
        match left.is_empty() {
            true => format!("rolled back: {reason}"),
            false => format!("rolled back, but for {}: {reason}", left.join(" ")),
        }
    }

    fn done(&self) -> String {
        format!("{} on {} devices", self.plan.firmware, self.flashed.len())
    }

    fn progress(&self) -> String {
        format!("{} of {} batches: {}", self.next_batch, self.plan.batches.len(), self.flashed.join(" "))
    }
}

/// One activity. Its request is its id too, so that a device that is asked twice can tell.
fn ask_devices(request: &str) -> Result<Vec<u8>, ActorError> {
    schedule_activity(&home(), "devices", request.as_bytes(), &ActivityOptions {
        activity_id: Some(request.replace(' ', "-")),
        start_to_close_timeout: Some(30_000),
        schedule_to_close_timeout: None,
        retry_policy: Some(r#"{"max_attempts":3,"initial_ms":20,"backoff":2.0}"#.to_owned()),
    })
}

/// The application's own tenant and namespace.
fn home() -> Context {
    Context {
        tenant_id: String::new(),
        namespace: String::new(),
    }
}
