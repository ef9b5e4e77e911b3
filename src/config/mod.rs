//! What the operator asked for, in two stages: as written (file, environment, flags), then as checked and usable.

mod bounded;
mod levels;
mod profile;
mod variables;
mod written;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::auth::Demand;
use crate::id::NodeId;
use crate::limits;
use written::set;

pub use bounded::{DataDir, DrainTime, HostName, RestartDelay};
pub use levels::LogLevels;
pub use profile::{ActorsMax, Profile};
pub use variables::unknown_variables;
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
    pub log_levels: LogLevels,
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
    #[error("cannot read {}: {error}; give the node.toml itself, one that this user may read", .path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{}: {problem}", .path.display())]
    File { path: PathBuf, problem: String },
    #[error("environment variable {name}: {problem}")]
    Environment { name: &'static str, problem: String },
    #[error(
        "a token cannot be required and remote calls left open at once; \
         keep one of PLEXSPACES_REQUIRE_TOKEN and PLEXSPACES_INSECURE_ALLOW_REMOTE"
    )]
    BothInEnvironment,
    #[error(
        "a token cannot be required and remote calls left open at once; \
         keep one of --require-token and --insecure-allow-remote"
    )]
    TokenDemand,
    #[error("no directory for the node's data is known; give one with --data-dir")]
    NoDataDir,
}

impl ConfigError {
    /// Whether flags on the command line are to blame, which no file and no environment can mend.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::TokenDemand)
    }
}

impl Written {
    /// Fills in the defaults and checks the whole.
    pub fn check(self) -> Result<Config, ConfigError> {
        let listen_addr = self
            .listen_addr
            .map_or(SocketAddr::from(([127, 0, 0, 1], 8000)), |given| given.0);
        let token_demand = match self.switches().map(|on| on.unwrap_or(false)) {
            [true, true] => return Err(ConfigError::TokenDemand),
            [true, false] => Demand::Everyone,
            [false, true] => Demand::Nobody,
            [false, false] => Demand::Elsewhere,
        };
        let profile = self.profile.unwrap_or_else(Profile::of_this_machine);
        let given = self.actors_max.map(|ActorsMax(given)| given);
        Ok(Config {
            node_id: self.node_id.unwrap_or_default(),
            listen_addr,
            data_dir: self
                .data_dir
                .map(|DataDir(dir)| dir)
                .or_else(default_data_dir)
                .ok_or(ConfigError::NoDataDir)?,
            drain_time: self
                .drain_time
                .map_or(limits::DRAIN_TIME_DEFAULT, |given| given.0),
            profile,
            actors_max: given.unwrap_or_else(|| profile.actors_max()),
            restart_delay: (self.applications.restart_delay)
                .map_or(limits::REVIVAL_DELAY, |given| given.0),
            http_hosts: (self.http.hosts.into_iter().flatten())
                .map(|HostName(name)| name)
                .collect(),
            token_demand,
            log_format: self.log_format.unwrap_or_default(),
            log_levels: self.log_levels.unwrap_or_default(),
            durable_namespaces: (self.tuplespace.durable.into_iter().flatten())
                .map(|Namespace(name)| name.to_string())
                .collect(),
        })
    }
}

/// Where the data is when only a flag and the environment are asked.
pub fn data_dir(flag: Option<DataDir>) -> Result<PathBuf, ConfigError> {
    let given = flag
        .map(|DataDir(dir)| dir)
        .or_else(|| set("PLEXSPACES_DATA_DIR"));
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
