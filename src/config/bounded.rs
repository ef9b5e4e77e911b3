//! What an operator chooses within bounds: lengths of time, names of hosts, and the directory of the data.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::clock::Span;
use crate::limits;

/// Where a node keeps its data: any path but the empty one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PathBuf")]
pub struct DataDir(pub PathBuf);

impl TryFrom<PathBuf> for DataDir {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        match path.as_os_str().is_empty() {
            true => Err("data_dir is empty; name a directory, or leave it out".into()),
            false => Ok(Self(path)),
        }
    }
}

impl FromStr for DataDir {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        PathBuf::from(text).try_into()
    }
}

/// What messages in flight get when the node stops: from 100 ms to 10 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Span")]
pub struct DrainTime(pub Duration);

/// What a failed application waits before it is started again, the first time: from 10 ms to an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Span")]
pub struct RestartDelay(pub Duration);

impl TryFrom<Span> for DrainTime {
    type Error = String;

    fn try_from(given: Span) -> Result<Self, String> {
        let allowed = limits::DRAIN_TIME_MIN..=limits::DRAIN_TIME_MAX;
        within("drain_time", given, allowed).map(Self)
    }
}

impl FromStr for DrainTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<Span>()?.try_into()
    }
}

impl TryFrom<Span> for RestartDelay {
    type Error = String;

    fn try_from(given: Span) -> Result<Self, String> {
        let allowed = limits::RESTART_DELAY_MIN..=limits::RESTART_DELAY_MAX;
        within("restart_delay", given, allowed).map(Self)
    }
}

fn within(key: &str, given: Span, allowed: RangeInclusive<Duration>) -> Result<Duration, String> {
    if allowed.contains(&given.0) {
        return Ok(given.0);
    }
    let (least, most) = allowed.into_inner();
    let (least, most) = (Span(least), Span(most));
    Err(format!(
        "{key} is {given}; it must lie between {least} and {most}"
    ))
}

/// A name or an IP address that a request's Host may be, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostName(pub String);

impl TryFrom<String> for HostName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const CHARS_MAX: usize = 253;
        const LABEL_CHARS_MAX: usize = 63;
        let fits = |label: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (1..=LABEL_CHARS_MAX).contains(&label.len())
                && label.chars().all(plain)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let name = text.strip_suffix('.').unwrap_or(&text);
        let is_name = text.len() <= CHARS_MAX && name.split('.').all(fits);
        let literal = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let is_address = literal.unwrap_or(&text).parse::<IpAddr>().is_ok();
        if is_name || is_address {
            return Ok(Self(text));
        }
        let shown: String = text.chars().take(80).collect();
        Err(format!(
            "{shown:?} is no host name; a name has letters, digits, -, _ and dots, such as edge-7.example, and no port"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_lies_within_its_bounds() {
        let drain = |text: &str| text.parse().map(|DrainTime(time)| time);
        assert_eq!(drain("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(drain("10m"), Ok(Duration::from_secs(600)));
        for wrong in ["0s", "0", "99ms", "601s", "9000years"] {
            let said = drain(wrong).unwrap_err();
            assert!(
                said.starts_with("drain_time is ") && said.ends_with("between 100ms and 10m"),
                "{said}"
            );
        }
        let delay = |secs| RestartDelay::try_from(Span(Duration::from_secs(secs)));
        assert!(delay(1).is_ok() && delay(3600).is_ok());
        assert!(delay(0).unwrap_err().ends_with("between 10ms and 1h"));
        assert!(delay(3601).unwrap_err().contains("restart_delay is 1h 1s"));
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        let read = |text: &str| HostName::try_from(text.to_owned()).map(|HostName(text)| text);
        let label = "a".repeat(63);
        for good in [
            "edge-7",
            "edge-7.example",
            "edge-7.example.",
            "_x.local",
            "7",
            "192.0.2.7",
            "2001:db8::7",
            "[2001:db8::7]",
            &label,
        ] {
            assert_eq!(read(good).as_deref(), Ok(good));
        }
        let (long, longer) = ("a".repeat(64), vec!["a"; 200].join("."));
        for wrong in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "edge:8001",
            "http://edge",
            "*.example",
            "größe",
            "[a]",
            "a\n",
            &long,
            &longer,
        ] {
            let said = read(wrong).unwrap_err();
            assert!(
                said.contains("is no host name") && said.len() < 300,
                "{said}"
            );
        }
    }
}
