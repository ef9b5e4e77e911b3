//! What the operator asked for, checked once and passed in; never global.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Demand;
use crate::id::NodeId;

/// A node's configuration, ready to use.
#[derive(Clone, Debug)]
pub struct Config {
    pub node_id: NodeId,
    /// The gRPC port; the HTTP gateway listens on the next one. Port 0 takes any two that follow each other.
    pub listen_addr: SocketAddr,
    pub data_dir: PathBuf,
    /// What messages in flight get when the node stops.
    pub drain_time: Duration,
    /// Names besides its own under which browsers and clients may ask for this node.
    pub http_hosts: Vec<String>,
    /// Who has to bring a token.
    pub token_demand: Demand,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "port 65535 leaves no port for the HTTP gateway, which listens on the next one; use a lower port"
    )]
    NoGatewayPort,
    #[error(
        "a token cannot be required and remote calls left open at once; \
         keep one of --require-token and --insecure-allow-remote"
    )]
    TokenDemand,
    #[error("{name}={value:?} is neither true nor false")]
    Switch { name: &'static str, value: String },
    #[error("no directory for the node's data is known; give one with --data-dir")]
    NoDataDir,
}

impl Config {
    pub fn check(self) -> Result<Self, ConfigError> {
        match self.listen_addr.port() {
            u16::MAX => Err(ConfigError::NoGatewayPort),
            _ => Ok(self),
        }
    }
}

/// Where the data is: what the flag says, else PLEXSPACES_DATA_DIR, else the default.
pub fn data_dir(flag: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let from_env = || {
        env::var_os("PLEXSPACES_DATA_DIR")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
    };
    flag.or_else(from_env).map_or_else(default_data_dir, Ok)
}

/// Who has to bring a token: by the flags, else by PLEXSPACES_REQUIRE_TOKEN and PLEXSPACES_INSECURE_ALLOW_REMOTE.
pub fn token_demand(require: bool, allow_remote: bool) -> Result<Demand, ConfigError> {
    let (require, allow_remote) = match (require, allow_remote) {
        (false, false) => (
            switch("PLEXSPACES_REQUIRE_TOKEN")?,
            switch("PLEXSPACES_INSECURE_ALLOW_REMOTE")?,
        ),
        flags => flags,
    };
    match (require, allow_remote) {
        (true, true) => Err(ConfigError::TokenDemand),
        (true, false) => Ok(Demand::Everyone),
        (false, true) => Ok(Demand::Nobody),
        (false, false) => Ok(Demand::Elsewhere),
    }
}

/// A variable that is on or off; unset or empty is off.
fn switch(name: &'static str) -> Result<bool, ConfigError> {
    match env::var(name).unwrap_or_default().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        value => Err(ConfigError::Switch {
            name,
            value: value.into(),
        }),
    }
}

/// Where data goes when nobody says: systemd's state directory, else the XDG state directory.
pub fn default_data_dir() -> Result<PathBuf, ConfigError> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("STATE_DIRECTORY")
        .or_else(|| set("XDG_STATE_HOME").map(|state| state.join("plexspaces")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/plexspaces")))
        .ok_or(ConfigError::NoDataDir)
}
