//! The log: each level, fields, and spans within each other.

use crate::plexspaces::actor::logging::{
    LogLevel, add_span_event, debug, end_span, error, info, log, log_with_fields, start_span, trace,
    warn,
};
use crate::report::Report;

pub fn check(report: &mut Report) {
    for say in [trace, debug, info, warn, error] {
        say("a line");
    }
    log(LogLevel::Info, "a line");
    log_with_fields(LogLevel::Info, "with fields", &[("a".to_owned(), "b".to_owned())]);
    add_span_event("alone", &[]);
    let outer = start_span("outer");
    let inner = start_span("inner");
    report.holds("spans have numbers of their own", 0 < outer && outer < inner, (outer, inner));
    add_span_event("step", &[("n".to_owned(), "1".to_owned())]);
    end_span(inner);
    end_span(outer);
    end_span(outer);
    end_span(u64::MAX);
    start_span("left open");
    for _ in 0..100 {
        start_span("more");
    }
}

/// Logs a line.
pub fn say(line: &str) -> Vec<u8> {
    info(line);
    Vec::new()
}
