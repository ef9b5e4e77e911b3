//! The scrape: what was counted, and what is true right now.

use std::borrow::Cow;
use std::time::UNIX_EPOCH;

use hyper::Response;
use hyper::header::{self, HeaderMap, HeaderValue};

use super::Door;
use super::reply::{self, Body};
use crate::application::Status;
use crate::machine;
use crate::metrics::{Format, Labels, Moment};
use crate::storage::RunStatus;

/// GET /metrics
pub async fn scrape(door: &Door, headers: &HeaderMap) -> Response<Body> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let format = Format::accepted_by(accept.unwrap_or_default());
    let mut moment = Moment::default();
    if let Some(free) = door.applications.disk_free().await {
        let help = "Bytes that the data directory may still take";
        moment.gauge("plexspaces_data_dir_free_bytes", help, free);
    }
    let wellness = &door.services.storage.wellness;
    moment.gauge(
        "plexspaces_store_failing",
        "1 while the disk refuses changes to the store, else 0",
        u64::from(wellness.says().is_some()),
    );
    moment.counter(
        "plexspaces_store_failed_writes",
        "Transactions that the disk refused",
        wellness.failed_writes(),
    );
    if let Ok(counted) = door.services.storage.workflows.count().await {
        let status = |status: RunStatus| {
            let name = status.in_words().replace(' ', "_");
            vec![("status", Cow::from(name))]
        };
        let counted = RunStatus::ALL.into_iter().zip(counted);
        moment.gauges(
            "plexspaces_workflows",
            "Workflows on this node, by status; those that ended as long as they are kept",
            counted.map(|(each, count)| (status(each), count)),
        );
    }
    node(door, &mut moment);
    actors(door, &mut moment);
    pools(door, &mut moment);
    process(door, &mut moment);
    let text = door.actors.metrics().show(&moment, format);
    let mut response = reply::content(format.media_type(), text.into());
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn node(door: &Door, moment: &mut Moment) {
    let build: Labels = vec![
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("os", std::env::consts::OS.into()),
        ("arch", std::env::consts::ARCH.into()),
    ];
    let help = "The running program; always 1";
    moment.gauges("plexspaces_build_info", help, [(build, 1)]);
    let status = |status: Status| {
        let name = status.name().trim_start_matches("APPLICATION_STATUS_");
        vec![("status", Cow::from(name.to_ascii_lowercase()))]
    };
    let by_status = door.applications.count_by_status();
    moment.gauges(
        "plexspaces_applications",
        "Applications on this node, by status",
        by_status.map(|(each, count)| (status(each), count as u64)),
    );
    moment.gauge(
        "plexspaces_uploads_in_progress",
        "Modules on their way in",
        door.applications.uploading() as u64,
    );
}

fn actors(door: &Door, moment: &mut Moment) {
    let census = door.actors.census();
    moment.gauge("plexspaces_actors", "Actors that run", census.actors as u64);
    moment.gauge(
        "plexspaces_supervisors",
        "Supervisors that applications ask for and that run",
        door.applications.supervisors() as u64,
    );
    moment.gauge(
        "plexspaces_mailbox_messages",
        "Messages that wait, in all mailboxes together",
        census.waiting as u64,
    );
    moment.gauge(
        "plexspaces_mailbox_messages_max",
        "Messages that wait in the fullest mailbox",
        census.waiting_max as u64,
    );
    moment.gauge(
        "plexspaces_mailbox_bytes",
        "Bytes that wait, in all mailboxes together",
        census.waiting_bytes as u64,
    );
    let budget = door.actors.budget();
    moment.gauge(
        "plexspaces_shared_bytes",
        "Bytes in mailboxes, timers, and bodies in flight",
        budget.taken() as u64,
    );
    moment.gauge(
        "plexspaces_shared_bytes_max",
        "The most that these may be before senders are refused",
        budget.max() as u64,
    );
}

fn pools(door: &Door, moment: &mut Moment) {
    let pools = door.applications.pools();
    let class = |class: &'static str| vec![("class", Cow::from(class))];
    let info = pools.iter().map(|pool| {
        let labels = vec![
            ("class", pool.class.into()),
            ("rung", pool.rung.clone().into()),
        ];
        (labels, 1)
    });
    moment.gauges(
        "plexspaces_pool_info",
        "Where guests of each size class lie, in words; always 1",
        info,
    );
    let slots = pools
        .iter()
        .map(|pool| (class(pool.class), u64::from(pool.slots.unwrap_or(0))));
    moment.gauges(
        "plexspaces_pool_slots",
        "Slots for guests' memories, 0 where memory is taken on demand",
        slots,
    );
    let memories = pools
        .iter()
        .filter_map(|pool| Some((class(pool.class), pool.memories? as u64)));
    moment.gauges(
        "plexspaces_pool_memories",
        "Slots that hold a guest's memory",
        memories,
    );
    let stacks = pools
        .iter()
        .filter_map(|pool| Some((class(pool.class), pool.stacks? as u64)));
    moment.gauges(
        "plexspaces_pool_stacks",
        "Stacks that hold a guest's call",
        stacks,
    );
}

/// Under the names that every Prometheus client uses for them.
fn process(door: &Door, moment: &mut Moment) {
    if let Some(bytes) = machine::resident_bytes() {
        let help = "Memory of the process that is in RAM, in bytes";
        moment.gauge("process_resident_memory_bytes", help, bytes);
    }
    if let Some(files) = machine::open_files() {
        let help = "File descriptors that the process holds";
        moment.gauge("process_open_fds", help, files);
    }
    moment.counter_of_seconds(
        "process_cpu_seconds",
        "Processor time that the process has used, without that of compile children",
        machine::cpu_seconds(),
    );
    let since_1970 = door
        .started_at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    moment.gauge_of_seconds(
        "process_start_time_seconds",
        "When the process started, since 1970",
        since_1970.as_secs_f64(),
    );
}
