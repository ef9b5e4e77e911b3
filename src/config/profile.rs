//! How much of the machine the node plans with, in three sizes.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::limits;
use crate::machine;

/// How much of the machine the node may plan with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A device of 64 to 128 MiB.
    Tiny,
    /// Up to 1 GiB.
    Small,
    /// Everything above.
    Standard,
}

impl Profile {
    /// The one that the machine's memory, or what is granted of it, suggests.
    pub fn of_this_machine() -> Self {
        // All the world where the kernel does not say.
        Self::of_memory(machine::memory_bytes().unwrap_or(u64::MAX))
    }

    /// Bytes that mailboxes, timers and bodies in flight may take together.
    pub fn shared_bytes_max(self) -> usize {
        const SHARE: u64 = 8;
        let memory = machine::memory_bytes().unwrap_or(u64::MAX) / SHARE;
        match self {
            Self::Tiny => 16 * limits::MIB,
            Self::Small => 64 * limits::MIB,
            Self::Standard => memory.clamp(64 << 20, 512 << 20) as usize,
        }
    }

    /// Actors that a node of this profile has room for, unless it is told otherwise.
    pub fn actors_max(self) -> u32 {
        match self {
            Self::Tiny => 60,
            Self::Small => 250,
            Self::Standard => 1_000,
        }
    }

    fn of_memory(bytes: u64) -> Self {
        const MIB: u64 = 1 << 20;
        match bytes {
            bytes if bytes <= 192 * MIB => Self::Tiny,
            bytes if bytes <= 1024 * MIB => Self::Small,
            _ => Self::Standard,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Standard => "standard",
        })
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tiny" => Ok(Self::Tiny),
            "small" => Ok(Self::Small),
            "standard" => Ok(Self::Standard),
            _ => Err(format!(
                "{text:?} is no profile; use tiny, small or standard"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_follows_the_memory() {
        let check = |mib: u64, expected| assert_eq!(Profile::of_memory(mib << 20), expected);
        check(64, Profile::Tiny);
        check(192, Profile::Tiny);
        check(256, Profile::Small);
        check(1024, Profile::Small);
        check(2048, Profile::Standard);
    }
}
