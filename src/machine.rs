//! What this machine grants this process and what the process uses of it, as the kernel tells; what it does not tell is
//! left out.

use std::fs;
use std::io;
use std::num::NonZero;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Memory that this process may count on, in bytes: the machine's, less where a control group or a resource limit
/// grants less.
pub fn memory_bytes() -> Option<u64> {
    let limits = [Resource::Data, Resource::As].map(|resource| getrlimit(resource).current);
    let machine = [meminfo("MemTotal:"), granted_by_group()];
    limits.into_iter().chain(machine).flatten().min()
}

/// Memory that can be had now without swapping, in bytes: the machine's, less where a control group grants less.
pub fn memory_available_bytes() -> Option<u64> {
    let group = granted_by_group().map(|max| max.saturating_sub(used_by_group().unwrap_or(0)));
    [meminfo("MemAvailable:"), group]
        .into_iter()
        .flatten()
        .min()
}

/// What is left of this process's limit on data (`RLIMIT_DATA`), in bytes; `None` where there is none.
pub fn data_left_bytes() -> Option<u64> {
    let granted = getrlimit(Resource::Data).current?;
    let taken = kib("/proc/self/status", "VmData:")?;
    Some(granted.saturating_sub(taken))
}

/// How many memory maps one process may have.
pub fn memory_maps_max() -> usize {
    let text = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    // The kernel's own default.
    text.trim().parse().unwrap_or(65_530)
}

/// This process's memory that is in RAM, in bytes.
pub fn resident_bytes() -> Option<u64> {
    kib("/proc/self/status", "VmRSS:")
}

/// Seconds of processor time that this process's threads have used.
pub fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// File descriptors that this process holds.
pub fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // The listing itself holds one.
    Some(entries.saturating_sub(1))
}

/// File descriptors that this process may hold; `None` where there is no limit.
pub fn open_files_max() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile).current?;
    usize::try_from(limit).ok()
}

/// Lets this process hold as many file descriptors as it may ask for: shells and systemd grant 1,024 at first, so that
/// old programs fit, and more on request.
pub fn raise_open_files_max() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where it may not, it goes on with what it has.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// What the machine calls itself.
pub fn hostname() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

/// Processors that this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Room that this process may fill on the file system of `path`, in bytes.
pub fn disk_free(path: &Path) -> io::Result<u64> {
    let told = rustix::fs::statvfs(path)?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

fn meminfo(key: &str) -> Option<u64> {
    kib("/proc/meminfo", key)
}

/// The value of a line such as `VmRSS:  1234 kB`, in bytes.
fn kib(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn granted_by_group() -> Option<u64> {
    group_figure("memory.max", "memory.limit_in_bytes")
}

/// What the group holds, pages of files included: some of those could be given back, which is not counted on.
fn used_by_group() -> Option<u64> {
    group_figure("memory.current", "memory.usage_in_bytes")
}

/// A figure of this process's control group, by the file's name in version 2 and in version 1, where there is one and
/// it is set. Inside a container the group's path may be one of outside; its own root has the figure then.
fn group_figure(version_2: &str, version_1: &str) -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path_in = |hierarchy: fn(&str) -> Option<&str>| groups.lines().find_map(hierarchy);
    let unified = path_in(|line| line.strip_prefix("0::"));
    let memory = path_in(|line| line.split_once(":memory:").map(|(_, path)| path));
    [
        unified.map(|path| format!("/sys/fs/cgroup{path}/{version_2}")),
        unified.map(|_| format!("/sys/fs/cgroup/{version_2}")),
        memory.map(|path| format!("/sys/fs/cgroup/memory{path}/{version_1}")),
        memory.map(|_| format!("/sys/fs/cgroup/memory/{version_1}")),
    ]
    .into_iter()
    .flatten()
    .find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells() {
        let (granted, available) = (memory_bytes().unwrap(), memory_available_bytes().unwrap());
        assert!(granted > 0 && available > 0 && memory_maps_max() > 0);
        let resident = resident_bytes().unwrap();
        assert!(resident > 1 << 20 && resident < granted);
        assert!(cpu_seconds() > 0.0 && open_files().unwrap() >= 3 && processors() >= 1);
        assert!(disk_free(Path::new("/")).is_ok() && disk_free(Path::new("/nowhere")).is_err());
    }
}
