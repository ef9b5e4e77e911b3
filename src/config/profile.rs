//! How much of the machine the node plans with, in three sizes.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::limits;
use crate::machine;
use crate::maps;

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

/// How many actors may live at once, as the operator gives it: as many as the machine bears. The profile's own number
/// goes down a ladder instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct ActorsMax(pub u32);

impl TryFrom<i64> for ActorsMax {
    type Error = String;

    fn try_from(given: i64) -> Result<Self, String> {
        let maps = machine::memory_maps_max();
        let most = maps::actors_max(maps);
        let number = u32::try_from(given).unwrap_or(u32::MAX);
        if given > 0 && number <= most {
            return Ok(Self(number));
        }
        let remedy = match given {
            ..=0 => String::new(),
            _ => format!(
                ", or raise it: sysctl vm.max_map_count={}",
                maps::needed(number)
            ),
        };
        Err(format!(
            "actors_max is {given}, and this machine's vm.max_map_count of {maps} bears 1 to {most}; \
             choose a number between these{remedy}"
        ))
    }
}

impl FromStr for ActorsMax {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: i64 = text
            .parse()
            .map_err(|_| format!("{text:?} is no whole number of actors"))?;
        number.try_into()
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
