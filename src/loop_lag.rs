//! How late the event loop is, measured while there is work. An idle node is never woken for it.
//!
//! ```text
//!  asleep ──stirred──► sampling: every 100 ms, how late did the timer fire?
//!    ▲                     │
//!    └──not stirred since──┘
//! ```

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Between two samples; a node that falls idle wakes once more after this time.
const PERIOD: Duration = Duration::from_millis(100);

/// Seconds. Timers count in whole milliseconds, so the first bound is the least that can be told from none.
pub const BOUNDS: [f64; 6] = [0.002, 0.005, 0.02, 0.1, 0.5, 2.0];

/// The meter; whoever does work on the loop stirs it.
pub struct LoopLag {
    stirred: AtomicBool,
    awake: Notify,
    lag: Histogram,
}

impl LoopLag {
    pub fn new(lag: Histogram) -> Self {
        Self {
            stirred: AtomicBool::new(false),
            awake: Notify::new(),
            lag,
        }
    }

    /// There is work. Costs one load while it is known already.
    pub fn stir(&self) {
        if !self.stirred.load(Relaxed) && !self.stirred.swap(true, Relaxed) {
            self.awake.notify_one();
        }
    }

    /// Samples for as long as it is polled.
    pub async fn watch(&self) -> Infallible {
        loop {
            self.awake.notified().await;
            while self.stirred.swap(false, Relaxed) {
                let due = Instant::now() + PERIOD;
                tokio::time::sleep_until(due).await;
                self.lag.observe(due.elapsed().as_secs_f64());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    fn samples(registry: &Registry) -> u64 {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        let count = text
            .lines()
            .find_map(|line| line.strip_prefix("lag_count "));
        count.unwrap().parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_node_is_not_sampled() {
        let (histogram, mut registry) = (Histogram::new(BOUNDS), Registry::default());
        registry.register("lag", "lag", histogram.clone());
        let lag = LoopLag::new(histogram);
        let an_hour_of = async |lag: &LoopLag| {
            let _ = tokio::time::timeout(Duration::from_secs(3600), lag.watch()).await;
        };
        an_hour_of(&lag).await;
        assert_eq!(samples(&registry), 0);
        for _ in 0..1_000 {
            lag.stir();
        }
        an_hour_of(&lag).await;
        assert_eq!(samples(&registry), 1, "one stir, one sample");
        lag.stir();
        an_hour_of(&lag).await;
        assert_eq!(samples(&registry), 2, "it wakes again");
    }
}
