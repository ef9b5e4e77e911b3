//! How often something that failed is tried again, and how long is waited before: `{"max_attempts":3,"initial_ms":100}`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::serde_words::spoken;
use crate::strict;

/// A retry policy as it is written, in JSON. What is not there has its default: three attempts, 100 ms before the
/// second, twice as long before each next one, 60 s at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How often it is tried in all.
    pub max_attempts: u32,
    /// The wait before the second attempt, in milliseconds.
    pub initial_ms: u64,
    /// By what each wait is longer than the one before.
    pub backoff: f64,
    /// The longest wait, in milliseconds.
    pub max_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            initial_ms: 100,
            backoff: 2.0,
            max_ms: 60_000,
        }
    }
}

impl Retry {
    /// What is done where no policy is given: nothing is tried a second time.
    pub const NONE: Self = Self {
        max_attempts: 1,
        initial_ms: 0,
        backoff: 1.0,
        max_ms: 0,
    };

    /// Reads a policy; the error tells what one looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > limits::RETRY_POLICY_BYTES_MAX {
            let max = limits::RETRY_POLICY_BYTES_MAX;
            return Err(format!("a retry policy has at most {max} bytes"));
        }
        let policy: Self = strict::of_json(text.as_bytes()).map_err(|error| {
            let error = spoken(
                &error.to_string(),
                &[("type: sequence", "type: array")],
                "an object",
            );
            format!(
                "the retry policy is not one ({error}); such as \
                 {{\"max_attempts\":3,\"initial_ms\":100,\"backoff\":2.0,\"max_ms\":60000}}"
            )
        })?;
        policy.checked()
    }

    fn checked(self) -> Result<Self, String> {
        let (attempts, wait) = (limits::ATTEMPTS_MAX, limits::RETRY_WAIT_MAX.as_millis());
        if !(1..=attempts).contains(&self.max_attempts) {
            return Err(format!("max_attempts lies between 1 and {attempts}"));
        }
        if u128::from(self.initial_ms) > wait || u128::from(self.max_ms) > wait {
            return Err(format!("initial_ms and max_ms are at most {wait}"));
        }
        if !(1.0..=100.0).contains(&self.backoff) {
            return Err("backoff lies between 1 and 100".into());
        }
        Ok(self)
    }

    /// The wait after so many attempts that failed. `None` where there is to be no other.
    pub fn wait_after(&self, attempts: u32) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let doublings = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
        let wait_ms = self.initial_ms as f64 * self.backoff.powi(doublings);
        Some(Duration::from_millis(
            (wait_ms.min(self.max_ms as f64)) as u64,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_or_refused() {
        let check = |text: &str, word: &str| match Retry::parse(text) {
            Ok(policy) => assert_eq!(
                format!(
                    "{} {} {} {}",
                    policy.max_attempts, policy.initial_ms, policy.backoff, policy.max_ms
                ),
                word
            ),
            Err(error) => assert!(error.contains(word), "{text}: {error}"),
        };
        check("{}", "3 100 2 60000");
        check(
            r#"{"max_attempts":5,"initial_ms":0,"backoff":1.5,"max_ms":9}"#,
            "5 0 1.5 9",
        );
        check("", "is not one");
        check("three times", "is not one");
        check("[3,100]", "type: array, expected an object");
        check(r#"{"attempts":3}"#, "unknown field");
        check(r#"{"max_attempts":0}"#, "between 1 and");
        check(r#"{"max_attempts":10001}"#, "between 1 and");
        check(r#"{"backoff":0.5}"#, "between 1 and 100");
        check(r#"{"backoff":1e999}"#, "is not one");
        check(r#"{"max_ms":86400001}"#, "at most");
        check(&" ".repeat(1_025), "at most 1024 bytes");
    }

    #[test]
    fn waits_grow_up_to_the_longest_and_end_with_the_attempts() {
        let policy = Retry {
            max_attempts: 5,
            initial_ms: 100,
            backoff: 10.0,
            max_ms: 5_000,
        };
        let waits = (1..=5).map(|attempts| policy.wait_after(attempts).map(|it| it.as_millis()));
        let expected = [Some(100), Some(1_000), Some(5_000), Some(5_000), None];
        assert_eq!(waits.collect::<Vec<_>>(), expected);
        assert_eq!(Retry::NONE.wait_after(1), None);
        let long = Retry {
            max_attempts: u32::MAX,
            ..policy
        };
        assert_eq!(
            long.wait_after(u32::MAX - 1),
            Some(Duration::from_millis(5_000))
        );
    }
}
