//! Paths of the HTTP API, with names from the user in their place.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Left as they are in a segment.
const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub fn application(name: &str) -> String {
    format!("/api/v1/applications/{}", segment(name))
}

pub fn workflow(application: &str, id: &str) -> String {
    let (application, id) = (segment(application), segment(id));
    format!("/api/v1/workflows/{application}/{id}")
}

/// A path with these keys and values behind it.
pub fn queried<'a>(path: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.map(|(key, value)| format!("{key}={}", segment(value)));
    let pairs: Vec<String> = pairs.collect();
    match pairs.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", pairs.join("&")),
    }
}

pub fn actor(id: &str) -> String {
    format!("/api/v1/actors/by-id/{}", segment(id))
}

/// The actor that `TARGET` of `plexspaces invoke` means: a type by its application, namespace and tenant, or an id.
pub fn target(text: &str) -> Option<String> {
    if text.contains('@') {
        return Some(actor(text));
    }
    let segments: Vec<&str> = text.split('/').collect();
    let segments = match segments.as_slice() {
        // The worker of an application without a tree bears its name.
        [name] => vec![*name, *name],
        [_, _] | [_, _, _] => segments,
        _ => return None,
    };
    if segments.iter().any(|it| it.is_empty()) {
        return None;
    }
    let encoded: Vec<String> = segments.into_iter().map(segment).collect();
    Some(format!("/api/v1/actors/{}", encoded.join("/")))
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, IN_SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_type_or_an_id() {
        let check = |text: &str, expected: Option<&str>| {
            let path = target(text);
            let path = path
                .as_deref()
                .map(|it| it.strip_prefix("/api/v1/actors/").unwrap());
            assert_eq!(path, expected, "{text}");
        };
        check("calculator", Some("calculator/calculator"));
        check("orders/worker", Some("orders/worker"));
        check("acme/shop/worker", Some("acme/shop/worker"));
        check(
            "orders/worker-1@edge",
            Some("by-id/orders%2Fworker-1%40edge"),
        );
        check("a b", Some("a%20b/a%20b"));
        for wrong in ["", "/", "a/", "a/b/c/d"] {
            check(wrong, None);
        }
    }
}
