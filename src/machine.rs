//! What this machine has and what this process uses of it, as the kernel tells; what it does not tell is left out.

use std::fs;
use std::io;
use std::num::NonZero;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

/// Memory that can be had without swapping, in bytes.
pub fn memory_available() -> Option<u64> {
    meminfo("MemAvailable:")
}

/// All memory of the machine, in bytes.
pub fn memory_total() -> Option<u64> {
    meminfo("MemTotal:")
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
    let kib: u64 = value.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells() {
        let (total, available) = (memory_total().unwrap(), memory_available().unwrap());
        assert!(total > available && available > 0);
        let resident = resident_bytes().unwrap();
        assert!(resident > 1 << 20 && resident < total);
        assert!(cpu_seconds() > 0.0 && open_files().unwrap() >= 3 && processors() >= 1);
        assert!(disk_free(Path::new("/")).is_ok() && disk_free(Path::new("/nowhere")).is_err());
    }
}
