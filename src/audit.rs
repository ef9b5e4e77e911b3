//! The audit trail: one log line for each change that was asked for, and for each call that was turned away.
//!
//! ```text
//! audit: who=token:5f3c09aa from=192.0.2.7:51514 call="POST /api/v1/applications/deploy"
//!        application=calculator version="1.0.0" sha256=9c56… result=ok          (all on one line)
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use log::Level;

use crate::allowance::Allowance;
use crate::auth::Caller;
use crate::id::{ApplicationName, Digest, Version};
use crate::limits;
use crate::refusal::Refusal;

/// The trail. Cloning shares the allowance of lines.
#[derive(Clone)]
pub struct Audit {
    turned_away: Arc<Mutex<TurnedAway>>,
}

impl Audit {
    pub fn new() -> Self {
        let allowance = Allowance::new(limits::AUDIT_TURNED_AWAY_PER_SECOND_MAX);
        Self {
            turned_away: Arc::new(Mutex::new(TurnedAway(allowance))),
        }
    }

    /// Opens the entry of a change that `caller` asks for. These are never dropped.
    pub fn change(&self, caller: &Caller, peer: SocketAddr, call: &Call<'_>) -> Entry {
        Entry {
            audit: self.clone(),
            start: start(caller, peer, call),
            subject: String::new(),
            result: (Level::Warn, "result=abandoned".into()),
        }
    }

    /// Notes a call that was not let in. Past [`limits::AUDIT_TURNED_AWAY_PER_SECOND_MAX`] such lines are counted
    /// only; the next line that is written tells how many.
    pub fn turned_away(
        &self,
        caller: &Caller,
        peer: SocketAddr,
        call: &Call<'_>,
        refusal: &Refusal,
    ) {
        if self.turned_away.lock().unwrap().0.take(Instant::now()) {
            self.write(
                Level::Warn,
                format_args!("{} {}", start(caller, peer, call), refused(refusal)),
            );
        }
    }

    fn write(&self, level: Level, line: fmt::Arguments<'_>) {
        self.turned_away.lock().unwrap().confess();
        log::log!(target: "audit", level, "{line}");
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self::new()
    }
}

/// What was called.
pub struct Call<'a> {
    pub method: &'a str,
    pub path: &'a str,
}

/// A change under way; it is moved into the task that does the work, for that one sees the end even when the client
/// has left. Dropped, it writes its line: `abandoned`, where nobody noted an end.
pub struct Entry {
    audit: Audit,
    start: String,
    subject: String,
    result: (Level, String),
}

impl Entry {
    /// Adds which application the change is about.
    pub fn concerns(&mut self, name: &ApplicationName, version: &Version, digest: &Digest) {
        self.subject = format!(
            " application={name} version={:?} sha256={digest}",
            &**version
        );
    }

    /// Closes the entry with how it ended.
    pub fn ended<T>(mut self, result: Result<T, &Refusal>) {
        self.result = match result {
            Ok(_) => (Level::Info, "result=ok".into()),
            Err(refusal) => (Level::Warn, refused(refusal)),
        };
    }

    /// Goes on with what the change needs, or closes the entry where that is refused before it begins.
    pub fn prepared<T>(self, prepared: Result<T, Refusal>) -> Result<(Self, T), Refusal> {
        match prepared {
            Ok(prepared) => Ok((self, prepared)),
            Err(refusal) => {
                self.refused(&refusal);
                Err(refusal)
            }
        }
    }

    pub fn refused(self, refusal: &Refusal) {
        self.ended::<()>(Err(refusal));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (start, subject, (level, result)) = (&self.start, &self.subject, &self.result);
        self.audit
            .write(*level, format_args!("{start}{subject} {result}"));
    }
}

fn start(caller: &Caller, peer: SocketAddr, call: &Call<'_>) -> String {
    let mut shown = format!("{} {}", call.method, call.path);
    if shown.len() > limits::AUDIT_CALL_BYTES_MAX {
        shown.truncate(shown.floor_char_boundary(limits::AUDIT_CALL_BYTES_MAX));
        shown.push('…');
    }
    // Quoted and escaped: what a caller sends can neither end the line nor pass for another field.
    format!("who={caller} from={peer} call={shown:?}")
}

fn refused(refusal: &Refusal) -> String {
    format!("result={} {}", refusal.kind.status(), refusal.kind.code())
}

/// Lines for calls that were turned away. A node that stops owes the count of those it did not write, too.
struct TurnedAway(Allowance);

impl TurnedAway {
    /// Says how many lines are missing at this place.
    fn confess(&mut self) {
        if let Some(dropped) = self.0.take_dropped() {
            log::warn!(target: "audit", "{dropped} more calls were turned away, too fast to log each");
        }
    }
}

impl Drop for TurnedAway {
    fn drop(&mut self) {
        self.confess();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_be_forged_by_a_path() {
        let check = |path: &str, expected: &str| {
            let call = Call {
                method: "GET",
                path,
            };
            let peer = "192.0.2.7:9".parse().unwrap();
            assert_eq!(
                start(&Caller::Stranger, peer, &call),
                format!("who=stranger from=192.0.2.7:9 call={expected}")
            );
        };
        check("/x", r#""GET /x""#);
        check("/\" result=ok\n", r#""GET /\" result=ok\n""#);
        let long = "é".repeat(limits::AUDIT_CALL_BYTES_MAX);
        let kept = "é".repeat((limits::AUDIT_CALL_BYTES_MAX - 4) / 2);
        check(&long[..], &format!("\"GET {kept}…\""));
    }
}
