//! What the node counts, and the text in which it is scraped. Nothing here is global, and no label is a client's choice.
//!
//! Two sorts of figures: those that are counted as things happen, kept here as atomics and handed to the rooms that
//! count; and those that are true at a moment, which whoever answers a scrape looks up and adds as a [`Moment`].

mod format;
mod labels;
mod moment;

use std::sync::Arc;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::loop_lag::LoopLag;

pub use format::Format;
pub use labels::{Ask, By, Code, Compile, During, Handling, Label, StatusClass, Undelivered};
pub use moment::{Labels, Moment};

/// Seconds. A guest's call takes microseconds, a slow one seconds; six bounds tell the two apart.
const HANDLING_BOUNDS: [f64; 6] = [0.000_1, 0.001, 0.01, 0.1, 1.0, 10.0];
/// Seconds. A small module compiles in a blink, a Python component in many seconds.
const COMPILE_BOUNDS: [f64; 6] = [0.1, 0.5, 2.0, 10.0, 60.0, 300.0];

/// Everything that is counted as it happens, from the node's start.
pub struct Metrics {
    pub deploys: By<Code>,
    pub undeploys: By<Code>,
    pub upload_bytes: Counter,
    pub compiles: By<Compile>,
    pub compile_time: Histogram,
    pub messages: By<Handling>,
    pub handling_time: Histogram,
    pub asks: By<Ask>,
    pub undelivered: By<Undelivered>,
    pub faults: By<During>,
    pub restarts: Counter,
    pub given_up: Counter,
    pub span_time: Histogram,
    pub spans_forgotten: Counter,
    pub http_requests: By<StatusClass>,
    pub grpc_requests: By<Code>,
    pub loop_lag: LoopLag,
    registry: Registry,
}

impl Metrics {
    /// All figures at 0.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        let registered = &mut registry;
        Arc::new(Self {
            deploys: add(
                registered,
                "plexspaces_deploys",
                "Deploys that ended, by gRPC code",
                By::default(),
            ),
            undeploys: add(
                registered,
                "plexspaces_undeploys",
                "Undeploys that ended, by gRPC code",
                By::default(),
            ),
            upload_bytes: add(
                registered,
                "plexspaces_upload_bytes",
                "Bytes of modules that arrived, those of refused deploys included",
                Counter::default(),
            ),
            compiles: add(
                registered,
                "plexspaces_compiles",
                "Modules given to the compiler, by outcome",
                By::default(),
            ),
            compile_time: add(
                registered,
                "plexspaces_compile_seconds",
                "Wall time of one compilation, whatever its outcome",
                Histogram::new(COMPILE_BOUNDS),
            ),
            messages: add(
                registered,
                "plexspaces_messages",
                "Messages taken from mailboxes, by how they fared",
                By::default(),
            ),
            handling_time: add(
                registered,
                "plexspaces_message_handling_seconds",
                "Time from taking a message out of its mailbox to the end of its handler",
                Histogram::new(HANDLING_BOUNDS),
            ),
            asks: add(
                registered,
                "plexspaces_asks",
                "Asks that ended, by outcome",
                By::default(),
            ),
            undelivered: add(
                registered,
                "plexspaces_undelivered_messages",
                "Asks and tells that reached no mailbox, by reason",
                By::default(),
            ),
            faults: add(
                registered,
                "plexspaces_actor_faults",
                "Actors that broke by a trap, a spent limit or a failed start",
                By::default(),
            ),
            restarts: add(
                registered,
                "plexspaces_actor_restarts",
                "Starts of actors anew after a fault",
                Counter::default(),
            ),
            given_up: add(
                registered,
                "plexspaces_actors_given_up",
                "Actors that broke more often than their supervisor allows",
                Counter::default(),
            ),
            span_time: add(
                registered,
                "plexspaces_guest_span_seconds",
                "Time from the start of a guest's span to its end",
                Histogram::new(HANDLING_BOUNDS),
            ),
            spans_forgotten: add(
                registered,
                "plexspaces_guest_spans_forgotten",
                "Spans that a guest began and did not end, of which it had too many open",
                Counter::default(),
            ),
            http_requests: add(
                registered,
                "plexspaces_http_requests",
                "HTTP requests answered on both ports, by class of status",
                By::default(),
            ),
            grpc_requests: add(
                registered,
                "plexspaces_grpc_requests",
                "gRPC calls answered, by code; among HTTP requests each is a success",
                By::default(),
            ),
            loop_lag: LoopLag::new(add(
                registered,
                "plexspaces_loop_lag_seconds",
                "How late a timer of the event loop fires, sampled while there is work and never when idle",
                Histogram::new(crate::loop_lag::BOUNDS),
            )),
            registry,
        })
    }

    /// All that was counted, and what is true at this moment.
    pub fn show(&self, moment: &Moment, format: Format) -> String {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, moment.registry()))
            .and_then(|()| encode_eof(&mut text))
            .expect("a String takes whatever is written");
        match format {
            Format::OpenMetrics => text,
            Format::Text => format::in_the_older_format(&text),
        }
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_tell_the_same() {
        let metrics = Metrics::new();
        metrics.messages.count(Handling::Handled);
        let mut moment = Moment::default();
        moment.gauges("pool", "Pools", [(vec![("class", "a\"b".into())], 7)]);
        let newer = metrics.show(&moment, Format::OpenMetrics);
        let older = metrics.show(&moment, Format::Text);
        assert!(newer.contains("# TYPE plexspaces_messages counter\n"));
        assert!(older.contains("# TYPE plexspaces_messages_total counter\n"));
        for text in [&newer, &older] {
            assert!(text.contains("\nplexspaces_messages_total{outcome=\"handled\"} 1\n"));
            assert!(text.contains("\npool{class=\"a\\\"b\"} 7\n"), "{text}");
        }
        assert!(newer.ends_with("# EOF\n") && !older.contains("# EOF"));
    }
}
