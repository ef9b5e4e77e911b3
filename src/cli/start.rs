//! `plexspaces start`: run a node in the foreground.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use argh::FromArgs;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::rfc3339;
use crate::config::{self, Config};
use crate::id::NodeId;
use crate::{limits, node};

/// Run a node until SIGTERM or SIGINT; a second signal ends it at once.
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "start",
    example = "plexspaces start
  plexspaces start --node-id test-node --listen-addr 0.0.0.0:8000
  PLEXSPACES_DATA_DIR=/var/lib/plexspaces plexspaces start"
)]
pub struct Start {
    /// the node's name, part of every actor's address (default: node-1; env PLEXSPACES_NODE_ID)
    #[argh(option)]
    node_id: Option<String>,
    /// address of the gRPC port; HTTP is on the next port (default: 127.0.0.1:8000; env PLEXSPACES_LISTEN_ADDR)
    #[argh(option)]
    listen_addr: Option<String>,
    /// where the node keeps its data (default: the state directory; env PLEXSPACES_DATA_DIR)
    #[argh(option)]
    data_dir: Option<PathBuf>,
    /// ask callers on this machine for a token too (env PLEXSPACES_REQUIRE_TOKEN=true)
    #[argh(switch)]
    require_token: bool,
    /// let anyone who reaches the node do anything, without a token (env PLEXSPACES_INSECURE_ALLOW_REMOTE=true)
    #[argh(switch)]
    insecure_allow_remote: bool,
}

impl Start {
    pub fn run(self) -> anyhow::Result<()> {
        let config = self.config()?;
        log_to_stderr();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let stop = stop_signal().context("cannot listen for signals")?;
            Ok(node::run(config, stop).await?)
        })
    }

    fn config(self) -> anyhow::Result<Config> {
        let or_env = |flag: Option<String>, name: &str, default: &str| {
            flag.or_else(|| std::env::var(name).ok().filter(|value| !value.is_empty()))
                .unwrap_or(default.into())
        };
        let node_id = or_env(self.node_id, "PLEXSPACES_NODE_ID", "node-1");
        let listen_addr = or_env(self.listen_addr, "PLEXSPACES_LISTEN_ADDR", "127.0.0.1:8000");
        let config = Config {
            node_id: NodeId::parse(&node_id)?,
            listen_addr: parse_address(&listen_addr)?,
            data_dir: config::data_dir(self.data_dir)?,
            drain_time: limits::DRAIN_TIME_DEFAULT,
            http_hosts: Vec::new(),
            token_demand: config::token_demand(self.require_token, self.insecure_allow_remote)?,
        };
        Ok(config.check()?)
    }
}

/// One line an event, from the level that PLEXSPACES_LOG names (`warn`, `debug`, or `room=level,...`).
fn log_to_stderr() {
    let levels = env_logger::Env::new().filter_or("PLEXSPACES_LOG", "info");
    env_logger::Builder::new()
        // A quieter log keeps its audit lines, unless it says `audit=off`.
        .filter_module("audit", log::LevelFilter::Info)
        .parse_env(levels)
        .format(|line, record| {
            let room = record
                .target()
                .strip_prefix("plexspaces_node::")
                .unwrap_or(record.target());
            writeln!(
                line,
                "{} {:5} {room}: {}",
                rfc3339(SystemTime::now()),
                record.level(),
                record.args()
            )
        })
        .init();
}

fn parse_address(text: &str) -> anyhow::Result<SocketAddr> {
    let spelled_out = text.replacen("localhost:", "127.0.0.1:", 1);
    spelled_out
        .parse()
        .map_err(|_| anyhow!("--listen-addr {text:?} is not ADDRESS:PORT, such as 0.0.0.0:8000"))
}

/// Resolves at the first SIGTERM or SIGINT; from then on another one ends the process.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        first(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            first(&mut terminate, &mut interrupt).await;
            log::warn!("a second signal: ending at once");
            tokio::time::sleep(Duration::ZERO).await;
            std::process::exit(1);
        });
    })
}

async fn first(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
