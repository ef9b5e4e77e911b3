//! What the operator asked for, in two stages: as written (file, environment, flags), then as checked and usable.

mod mistakes;
mod profile;
mod written;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::auth::Demand;
use crate::id::NodeId;
use crate::limits;
use crate::machine;
use crate::maps;
use written::set;

pub use mistakes::{abridged, in_one_line};
pub use profile::Profile;
pub use written::{
    ListenAddr, Namespace, Written, WrittenApplications, WrittenHttp, WrittenTupleSpace,
};

/// A node's configuration, ready to use; passed in, never global.
#[derive(Clone, Debug)]
pub struct Config {
    pub node_id: NodeId,
    /// The gRPC port; the HTTP gateway listens on the next one. Port 0 takes any two that follow each other.
    pub listen_addr: SocketAddr,
    pub data_dir: PathBuf,
    /// What messages in flight get when the node stops.
    pub drain_time: Duration,
    pub profile: Profile,
    /// Actors with up to 64 MiB of memory each that may live at once; those with more have a pool of their own.
    pub actors_max: u32,
    /// What a failed application waits before it is started again, the first time.
    pub restart_delay: Duration,
    /// Names besides its own under which browsers and clients may ask for this node.
    pub http_hosts: Vec<String>,
    /// Who has to bring a token.
    pub token_demand: Demand,
    pub log_format: LogFormat,
    /// Namespaces, of every tenant, whose tuples outlive the node.
    pub durable_namespaces: Vec<String>,
}

/// How an event is written to the node's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Time, level, room and text, for people.
    #[default]
    Plain,
    /// One JSON object a line, for collectors.
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {error}", .path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{}: {problem}", .path.display())]
    File { path: PathBuf, problem: String },
    #[error("environment variable {name}: {problem}")]
    Environment { name: &'static str, problem: String },
    #[error(
        "port 65535 leaves no port for the HTTP gateway, which listens on the next one; use a lower port"
    )]
    NoGatewayPort,
    #[error(
        "a token cannot be required and remote calls left open at once; \
         keep one of --require-token and --insecure-allow-remote"
    )]
    TokenDemand,
    #[error(
        "actors_max is {given}, and this machine's vm.max_map_count of {maps} bears 1 to {most}; \
         choose a number between these{remedy}"
    )]
    ActorsMax {
        given: u32,
        most: u32,
        maps: usize,
        remedy: String,
    },
    #[error("no directory for the node's data is known; give one with --data-dir")]
    NoDataDir,
}

impl Written {
    /// Fills in the defaults and checks the whole.
    pub fn check(self) -> Result<Config, ConfigError> {
        let listen_addr = self
            .listen_addr
            .map_or(SocketAddr::from(([127, 0, 0, 1], 8000)), |given| given.0);
        if listen_addr.port() == u16::MAX {
            return Err(ConfigError::NoGatewayPort);
        }
        let switches = [self.require_token, self.insecure_allow_remote];
        let token_demand = match switches.map(|on| on.unwrap_or(false)) {
            [true, true] => return Err(ConfigError::TokenDemand),
            [true, false] => Demand::Everyone,
            [false, true] => Demand::Nobody,
            [false, false] => Demand::Elsewhere,
        };
        let profile = self.profile.unwrap_or_else(Profile::of_this_machine);
        let actors_max = actors_max(self.actors_max, profile)?;
        Ok(Config {
            node_id: self.node_id.unwrap_or_default(),
            listen_addr,
            data_dir: self
                .data_dir
                .or_else(default_data_dir)
                .ok_or(ConfigError::NoDataDir)?,
            drain_time: self
                .drain_time
                .map_or(limits::DRAIN_TIME_DEFAULT, |span| span.0),
            profile,
            actors_max,
            restart_delay: (self.applications.restart_delay)
                .map_or(limits::REVIVAL_DELAY, |span| span.0),
            http_hosts: self.http.hosts.unwrap_or_default(),
            token_demand,
            log_format: self.log_format.unwrap_or_default(),
            durable_namespaces: (self.tuplespace.durable.into_iter().flatten())
                .map(|Namespace(name)| name.to_string())
                .collect(),
        })
    }
}

/// Where the data is when only a flag and the environment are asked.
pub fn data_dir(flag: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let given = flag.or_else(|| set("PLEXSPACES_DATA_DIR"));
    given
        .or_else(default_data_dir)
        .ok_or(ConfigError::NoDataDir)
}

/// systemd's state directory, else the XDG state directory.
fn default_data_dir() -> Option<PathBuf> {
    set("STATE_DIRECTORY")
        .or_else(|| set("XDG_STATE_HOME").map(|state| state.join("plexspaces")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/plexspaces")))
}

/// A number that the operator gave must fit; the profile's own goes down a ladder instead.
fn actors_max(given: Option<u32>, profile: Profile) -> Result<u32, ConfigError> {
    let Some(given) = given else {
        return Ok(profile.actors_max());
    };
    let maps = machine::memory_maps_max();
    let most = maps::actors_max(maps);
    if (1..=most).contains(&given) {
        return Ok(given);
    }
    let remedy = match given {
        0 => String::new(),
        given => format!(
            ", or raise it: sysctl vm.max_map_count={}",
            maps::needed(given)
        ),
    };
    Err(ConfigError::ActorsMax {
        given,
        most,
        maps,
        remedy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_actors_that_the_kernel_does_not_bear_says_what_would_do() {
        let check = |given: u32| {
            let config = Written {
                actors_max: Some(given),
                data_dir: Some("/x".into()),
                ..Written::default()
            };
            config.check().map(|config| config.actors_max)
        };
        assert_eq!(check(7).unwrap(), 7);
        for given in [0, u32::MAX] {
            let error = check(given).unwrap_err().to_string();
            assert!(error.contains(&given.to_string()), "{error}");
            let raises = error.contains("sysctl vm.max_map_count=");
            assert!(
                error.contains("choose a number") && raises == (given > 0),
                "{error}"
            );
        }
    }
}
