//! The two texts in which figures are scraped, and who gets which.

/// The two texts that Prometheus and its kin read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own, 0.0.4: what is spoken to whoever does not ask for the other.
    Text,
}

impl Format {
    /// What a client that sends this `Accept` header reads.
    pub fn accepted_by(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The older format names a counter with its `_total` in its description too, and knows of no end.
pub fn in_the_older_format(open_metrics: &str) -> String {
    let is_counter = |name: &str| open_metrics.contains(&format!("\n# TYPE {name} counter\n"));
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        let described = line
            .strip_prefix("# ")
            .and_then(|line| line.split_once(' '))
            .and_then(|(word, rest)| Some((word, rest.split_once(' ')?)));
        match described {
            Some((word, (name, rest))) if is_counter(name) => {
                text.push_str(&format!("# {word} {name}_total {rest}"));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_format_it_asks_for() {
        let check = |accept, expected| assert_eq!(Format::accepted_by(accept), expected);
        check("", Format::Text);
        check("*/*", Format::Text);
        check(
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            Format::OpenMetrics,
        );
    }
}
