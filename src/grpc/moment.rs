//! Times and durations, from the wire and onto it.

use std::time::{Duration, SystemTime};

use crate::refusal::{Kind, Refusal};

pub fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    time.into()
}

/// A length of time; one past what the wire can say is the longest that it can.
pub fn span(duration: Duration) -> prost_types::Duration {
    const LONGEST: prost_types::Duration = prost_types::Duration {
        seconds: 315_576_000_000,
        nanos: 0,
    };
    duration.try_into().unwrap_or(LONGEST)
}

/// A field's length of time within its bounds; `otherwise` where it is not given.
pub fn within(
    field: &str,
    given: Option<prost_types::Duration>,
    otherwise: Duration,
    max: Duration,
) -> Result<Duration, Refusal> {
    let Some(given) = given else {
        return Ok(otherwise);
    };
    match Duration::try_from(given) {
        Ok(duration) if duration <= max => Ok(duration),
        _ => {
            let text = format!("{field} must lie between 0 and {} seconds", max.as_secs());
            Err(Refusal::new(Kind::Malformed, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_bounds() {
        let check = |seconds, nanos, expected: Option<u64>| {
            let given = prost_types::Duration { seconds, nanos };
            let read = within(
                "timeout",
                Some(given),
                Duration::ZERO,
                Duration::from_secs(600),
            );
            assert_eq!(read.ok().map(|it| it.as_millis() as u64), expected);
        };
        check(5, 500_000_000, Some(5_500));
        check(0, 0, Some(0));
        check(600, 0, Some(600_000));
        check(600, 1, None);
        check(-1, 0, None);
        check(i64::MAX, i32::MAX, None);
        check(i64::MIN, i32::MIN, None);
    }
}
