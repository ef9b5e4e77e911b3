//! Figures that are true at a moment: looked up for one scrape, and gone after it.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// What is true at the moment of a scrape.
#[derive(Default)]
pub struct Moment(Registry);

impl Moment {
    pub fn registry(&self) -> &Registry {
        &self.0
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.0
            .register(name, help, ConstGauge::new(saturated(value)));
    }

    /// For seconds, which have fractions.
    pub fn gauge_of_seconds(&mut self, name: &str, help: &str, value: f64) {
        self.0.register(name, help, ConstGauge::new(value));
    }

    /// For what only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.0.register(name, help, ConstCounter::new(value));
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
