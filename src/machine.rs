//! What the machine has, as far as it is granted to this process: memory and memory maps.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Memory that this process may count on, in bytes: the machine's, less where a control group or a resource limit
/// grants less.
pub fn memory_bytes() -> u64 {
    let granted = [Resource::Data, Resource::As].map(|resource| getrlimit(resource).current);
    let granted = granted
        .into_iter()
        .flatten()
        .chain(control_group("memory.max"));
    granted.fold(meminfo("MemTotal:").unwrap_or(u64::MAX), u64::min)
}

/// Memory that can be had now without swapping, in bytes; all there is where the kernel does not say.
pub fn memory_available_bytes() -> u64 {
    let machine = meminfo("MemAvailable:").unwrap_or(u64::MAX);
    let group = control_group("memory.max")
        .map(|max| max.saturating_sub(control_group("memory.current").unwrap_or(0)));
    machine.min(group.unwrap_or(u64::MAX))
}

/// How many memory maps one process may have.
pub fn memory_maps_max() -> usize {
    let text = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    // The kernel's own default.
    text.trim().parse().unwrap_or(65_530)
}

fn meminfo(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// A figure of this process's control group (version 2), where it has one and it is set.
fn control_group(file: &str) -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let text = fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).ok()?;
    text.trim().parse().ok()
}
