//! How many of the kernel's memory maps actors take, and how many actors its ceiling bears.

use crate::limits;

/// What a live instance takes, one stack with its guard, and everything else in the process.
const PER_INSTANCE: usize = 3;
const PER_STACK: usize = 2;
const BESIDE: usize = 2_000;

/// Fiber stacks for so many actors.
pub fn stacks(actors: u32) -> u32 {
    actors.saturating_add(actors.min(limits::POOL_SPARE_STACKS_MAX))
}

/// What a pool for so many actors may take; the kernel's ceiling is `vm.max_map_count`.
pub fn needed(actors: u32) -> usize {
    actors as usize * PER_INSTANCE + stacks(actors) as usize * PER_STACK + BESIDE
}

/// The most actors that a ceiling of so many maps bears.
pub fn actors_max(ceiling: usize) -> u32 {
    let (mut fits, mut fails) = (0, u32::try_from(ceiling).unwrap_or(u32::MAX));
    while fails - fits > 1 {
        let between = fits + (fails - fits) / 2;
        match needed(between) <= ceiling {
            true => fits = between,
            false => fails = between,
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_own_ceiling_bears_ten_thousand_actors() {
        let most = actors_max(65_530);
        assert!(most >= 10_000, "{most}");
        assert!(needed(most) <= 65_530 && needed(most + 1) > 65_530);
        assert_eq!(actors_max(100), 0);
    }
}
