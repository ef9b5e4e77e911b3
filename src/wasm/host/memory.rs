//! How much memory one actor may have.

use wasmtime::{ResourceLimiter, StoreLimits};

use crate::wasm::GuestLimits;

/// Bounds all memories of one actor together, and each of its tables.
pub struct MemoryLimiter {
    /// What it has now.
    pub memory_bytes: u64,
    memory_bytes_max: u64,
    /// The growth granted last, in case it comes to nothing.
    granted_bytes: u64,
    /// Counts and tables are wasmtime's own to check.
    others: StoreLimits,
}

impl MemoryLimiter {
    pub fn new(limits: &GuestLimits) -> Self {
        let others = wasmtime::StoreLimitsBuilder::new()
            .table_elements(limits.table_elements_max)
            .build();
        Self {
            memory_bytes: 0,
            granted_bytes: 0,
            memory_bytes_max: limits.memory_bytes_max,
            others,
        }
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = (desired - current) as u64;
        self.granted_bytes = 0;
        if self.memory_bytes + wanted > self.memory_bytes_max {
            return Ok(false);
        }
        self.memory_bytes += wanted;
        self.granted_bytes = wanted;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes -= std::mem::take(&mut self.granted_bytes);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.others.table_growing(current, desired, maximum)
    }
}
