//! Which part of something a request wants, and whether it has it already: RFC 9110's conditions, as far as one needs them.

use std::time::SystemTime;

use hyper::header::{self, HeaderMap, HeaderName};

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    Whole,
    Part {
        from: u64,
        bytes: u64,
    },
    /// It begins past the end.
    Beyond,
}

/// The range that a request asks for. One that cannot be read, several at once, and one of another version than this are
/// answered with the whole, as the protocol allows.
pub fn wanted(headers: &HeaderMap, etag: &str, size: u64) -> Range {
    let mut ranges = headers.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Range::Whole;
    };
    let other_version = headers
        .get(header::IF_RANGE)
        .is_some_and(|version| version.as_bytes() != etag.as_bytes());
    match range.to_str() {
        Ok(range) if !other_version => parse(range, size).unwrap_or(Range::Whole),
        _ => Range::Whole,
    }
}

fn parse(range: &str, size: u64) -> Option<Range> {
    let (unit, range) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    Some(match (number(first), number(last)) {
        (None, Some(0)) if first.is_empty() => Range::Beyond,
        (None, Some(tail)) if first.is_empty() => part(size.saturating_sub(tail), size),
        (Some(from), None) if last.is_empty() => part(from, size),
        (Some(from), Some(last)) if from <= last => part(from, size.min(last.saturating_add(1))),
        _ => return None,
    })
}

fn part(from: u64, end: u64) -> Range {
    match end.checked_sub(from) {
        None | Some(0) => Range::Beyond,
        Some(bytes) => Range::Part { from, bytes },
    }
}

/// Digits only; more of them than a number has are the largest there is.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Whether a list of tags in this header has this one, or stands for all.
pub fn names(headers: &HeaderMap, header: HeaderName, etag: &str) -> bool {
    let values = headers.get_all(header).into_iter();
    let mut tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// A time as HTTP writes it, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let days = since.map_or(0, |since| since.as_secs() / 86_400);
    // 2024-05-06T07:08:09Z
    let written = humantime::format_rfc3339_seconds(time).to_string();
    let (date, clock) = written.split_once('T').unwrap_or((&written, "00:00:00Z"));
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let month = month
        .and_then(|month| month.parse().ok())
        .unwrap_or(1_usize);
    format!(
        "{}, {} {} {} {} GMT",
        DAYS[(days % 7) as usize],
        day.unwrap_or("01"),
        MONTHS[(month - 1) % 12],
        year.unwrap_or("1970"),
        clock.trim_end_matches('Z')
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn one_range_is_a_part_and_everything_odd_is_the_whole() {
        let check = |range: &'static str, size: u64, expected: Range| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(range));
            assert_eq!(wanted(&headers, "\"e\"", size), expected, "{range:?}");
        };
        let part = |from, bytes| Range::Part { from, bytes };
        check("bytes=0-0", 10, part(0, 1));
        check("bytes=2-5", 10, part(2, 4));
        check("Bytes = 8-", 10, part(8, 2));
        check("bytes=-3", 10, part(7, 3));
        check("bytes=-30", 10, part(0, 10));
        check("bytes=0-99999999999999999999999", 10, part(0, 10));
        check("bytes=10-", 10, Range::Beyond);
        check("bytes=99999999999999999999999-", 10, Range::Beyond);
        check("bytes=-0", 10, Range::Beyond);
        check("bytes=0-", 0, Range::Beyond);
        check("bytes=-1", 0, Range::Beyond);
        for odd in [
            "bytes=5-2",
            "bytes=0-1,3-4",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "items=0-1",
            "0-1",
            "",
        ] {
            check(odd, 10, Range::Whole);
        }
    }

    #[test]
    fn a_range_of_another_version_is_the_whole() {
        let check = |version: &'static str, expected: Range| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static("bytes=1-1"));
            headers.insert(header::IF_RANGE, HeaderValue::from_static(version));
            assert_eq!(wanted(&headers, "\"e\"", 10), expected, "{version:?}");
        };
        check("\"e\"", Range::Part { from: 1, bytes: 1 });
        check("\"f\"", Range::Whole);
        check("W/\"e\"", Range::Whole);
        check("Sun, 06 Nov 1994 08:49:37 GMT", Range::Whole);
    }

    #[test]
    fn a_list_of_tags_names_one_or_all() {
        let check = |list: &'static str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(list));
            assert_eq!(
                names(&headers, header::IF_NONE_MATCH, "\"e\""),
                expected,
                "{list:?}"
            );
        };
        check("\"e\"", true);
        check("\"a\", W/\"e\"", true);
        check("*", true);
        check("e", false);
        check("\"a\"", false);
        check("", false);
    }

    #[test]
    fn a_time_is_written_as_http_does() {
        let check = |seconds: u64, expected: &str| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(http_date(time), expected);
        };
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check(1_709_208_000, "Thu, 29 Feb 2024 12:00:00 GMT");
    }
}
