//! What was checked, and what was otherwise than it should be.

use std::fmt::Debug;

use crate::plexspaces::actor::types::{ActorError, Context, ErrorCode};

#[derive(Default)]
pub struct Report {
    checks: usize,
    failures: Vec<String>,
}

/// The application's own place.
pub fn own() -> Context {
    Context {
        tenant_id: String::new(),
        namespace: String::new(),
    }
}

/// A word for what a call answered: `ok`, or the error's code.
pub fn word<T>(answer: &Result<T, ActorError>) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{:?}", error.code)
            .trim_start_matches("ErrorCode::")
            .to_owned(),
    }
}

impl Report {
    /// This is so.
    pub fn holds(&mut self, what: &str, so: bool, saw: impl Debug) {
        self.checks += 1;
        if !so {
            self.failures.push(format!("{what}: {saw:?}"));
        }
    }

    /// The answer was this value.
    pub fn answers<T: Debug + PartialEq>(
        &mut self,
        what: &str,
        answer: Result<T, ActorError>,
        expected: T,
    ) {
        let so = answer.as_ref().is_ok_and(|value| *value == expected);
        self.holds(what, so, (answer, expected));
    }

    /// The answer was an error of this code, with a text of one line.
    pub fn refuses<T: Debug>(
        &mut self,
        what: &str,
        answer: Result<T, ActorError>,
        code: ErrorCode,
    ) {
        let so = answer.as_ref().is_err_and(|error| {
            error.code == code && !error.message.is_empty() && !error.message.contains('\n')
        });
        self.holds(what, so, (answer, code));
    }

    pub fn into_json(self) -> Vec<u8> {
        let report = serde_json::json!({"checks": self.checks, "failures": self.failures});
        report.to_string().into_bytes()
    }
}
