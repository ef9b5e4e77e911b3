//! What the node counts, and the text in which it is scraped. Nothing here is global, and no label is a client's choice.
//!
//! Two sorts of figures: those that are counted as things happen, kept here as atomics and handed to the rooms that
//! count; and those that are true at a moment, which whoever answers a scrape looks up and adds as a [`Moment`].

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::loop_lag::LoopLag;
use crate::refusal::Kind;

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
    pub http_requests: By<StatusClass>,
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
                By::new(),
            ),
            undeploys: add(
                registered,
                "plexspaces_undeploys",
                "Undeploys that ended, by gRPC code",
                By::new(),
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
                By::new(),
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
                By::new(),
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
                By::new(),
            ),
            undelivered: add(
                registered,
                "plexspaces_undelivered_messages",
                "Asks and tells that reached no mailbox, by reason",
                By::new(),
            ),
            faults: add(
                registered,
                "plexspaces_actor_faults",
                "Actors that broke by a trap, a spent limit or a failed start",
                By::new(),
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
            http_requests: add(
                registered,
                "plexspaces_http_requests",
                "HTTP requests answered on both ports, by class of status",
                By::new(),
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
            .and_then(|()| encode_registry(&mut text, &moment.0))
            .and_then(|()| encode_eof(&mut text))
            .expect("a String takes whatever is written");
        match format {
            Format::OpenMetrics => text,
            Format::Text => in_the_older_format(&text),
        }
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

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
fn in_the_older_format(open_metrics: &str) -> String {
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

/// What is true at the moment of a scrape.
#[derive(Default)]
pub struct Moment(Registry);

impl Moment {
    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.0
            .register(name, help, ConstGauge::new(saturated(value)));
    }

    /// For seconds, which have fractions.
    pub fn gauge_of_seconds(&mut self, name: &str, help: &str, value: f64) {
        self.0.register(name, help, ConstGauge::new(value));
    }

    /// For seconds that only grow.
    pub fn counter_of_seconds(&mut self, name: &str, help: &str, value: f64) {
        self.0.register(name, help, ConstCounter::new(value));
    }

    /// One value for each set of labels.
    pub fn gauges(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let series = series
            .into_iter()
            .map(|(labels, value)| (labels, saturated(value)));
        self.0.register(name, help, Gauges(series.collect()));
    }
}

/// Label names with their values.
pub type Labels = Vec<(&'static str, Cow<'static, str>)>;

fn saturated(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[derive(Debug)]
struct Gauges(Vec<(Labels, i64)>);

impl EncodeMetric for Gauges {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (labels, value) in &self.0 {
            encoder
                .encode_family(&labels.as_slice())?
                .encode_gauge(value)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A label whose values are known when the node is built.
pub trait Label: Copy + Send + Sync + fmt::Debug + 'static {
    const NAME: &'static str;

    fn values() -> Vec<&'static str>;

    fn value(self) -> &'static str;
}

/// One counter for each value of a label, all there from the start: a rate can be told from 0 on.
#[derive(Clone, Debug)]
pub struct By<L> {
    counters: Arc<[(&'static str, Counter)]>,
    label: PhantomData<L>,
}

impl<L: Label> By<L> {
    fn new() -> Self {
        let counter = |value| (value, Counter::default());
        Self {
            counters: L::values().into_iter().map(counter).collect(),
            label: PhantomData,
        }
    }

    pub fn count(&self, label: L) {
        let value = label.value();
        let found = self.counters.iter().find(|(known, _)| *known == value);
        let (_, counter) = found.expect("a label has no values but those it lists");
        counter.inc();
    }
}

impl<L: Label> EncodeMetric for By<L> {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (value, counter) in self.counters.iter() {
            counter.encode(encoder.encode_family(&[(L::NAME, *value)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $label:ident $name:literal { $($(#[$about:meta])* $variant:ident $value:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $label { $($(#[$about])* $variant),* }

        impl Label for $label {
            const NAME: &'static str = $name;

            fn values() -> Vec<&'static str> {
                vec![$($value),*]
            }

            fn value(self) -> &'static str {
                match self { $(Self::$variant => $value),* }
            }
        }
    )*};
}

labels! {
    /// How a message fared that was taken from its mailbox.
    Handling "outcome" {
        Handled "handled",
        /// The handler answered with an error, or there is no handler.
        Failed "failed",
        /// The actor broke.
        Broken "broken",
        /// Its asker had left before its turn came, so it was not handled.
        Expired "expired",
    }

    /// How an ask ended for who asked.
    Ask "outcome" {
        Answered "answered",
        Undelivered "undelivered",
        Failed "failed",
        Broken "broken",
        Unhandled "unhandled",
        NoRoom "no_room",
        Stopped "stopped",
        DeadlineExceeded "deadline_exceeded",
    }

    /// Why a message reached no mailbox.
    Undelivered "reason" {
        UnknownActor "unknown_actor",
        /// Longer than its receiver takes.
        TooLong "too_long",
        MailboxFull "mailbox_full",
        NodeFull "node_full",
        Stopped "stopped",
    }

    /// What an actor was doing when it broke.
    During "during" {
        Start "start",
        Message "message",
    }

    /// How a compilation ended.
    Compile "outcome" {
        Compiled "compiled",
        Refused "refused",
        NoMemory "no_memory",
        Disk "disk",
        Internal "internal",
    }

    /// The first digit of an HTTP status.
    StatusClass "class" {
        Informational "1xx",
        Success "2xx",
        Redirection "3xx",
        ClientError "4xx",
        ServerError "5xx",
    }
}

impl StatusClass {
    pub fn of(status: u16) -> Self {
        match status / 100 {
            1 => Self::Informational,
            2 => Self::Success,
            3 => Self::Redirection,
            4 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// How a request ended: `OK`, or the code of its refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(&'static str);

impl Code {
    const OK: &'static str = "OK";

    pub fn of<T>(ended: &Result<T, crate::refusal::Refusal>) -> Self {
        Self(
            ended
                .as_ref()
                .map_or_else(|refusal| refusal.kind.code(), |_| Self::OK),
        )
    }
}

impl From<Kind> for Code {
    fn from(kind: Kind) -> Self {
        Self(kind.code())
    }
}

impl Label for Code {
    const NAME: &'static str = "code";

    fn values() -> Vec<&'static str> {
        let mut codes = vec![Self::OK];
        codes.extend(Kind::ALL.iter().map(|kind| kind.code()));
        codes[1..].sort_unstable();
        codes.dedup();
        codes
    }

    fn value(self) -> &'static str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_counter() {
        let mut values = Code::values();
        for kind in Kind::ALL {
            assert!(values.contains(&kind.code()), "{kind:?}");
        }
        let counters = values.len();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), counters);
    }

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
