//! What the operator asked for, checked once and passed in; never global.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "port 65535 leaves no port for the HTTP gateway, which listens on the next one; use a lower port"
    )]
    NoGatewayPort,
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
