//! Labels: each has values that are known when the node is built, and a counter for each of them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;

use crate::refusal::Kind;

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

impl<L: Label> Default for By<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Label> By<L> {
    pub fn new() -> Self {
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
    pub const OK: Self = Self("OK");

    pub fn of<T>(ended: &Result<T, crate::refusal::Refusal>) -> Self {
        Self(
            ended
                .as_ref()
                .map_or_else(|refusal| refusal.kind.code(), |_| Self::OK.0),
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
        let mut codes = vec![Self::OK.0];
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
}
