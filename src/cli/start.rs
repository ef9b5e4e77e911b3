//! `plexspaces start`: run a node.

use std::path::PathBuf;

use anyhow::Context;
use argh::{ArgsInfo, FromArgs};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{log, ready};
use crate::config::{
    self, ActorsMax, Config, ConfigError, DataDir, DrainTime, ListenAddr, LogFormat, Profile,
    Written,
};
use crate::id::NodeId;
use crate::{machine, node};

/// Run a node until SIGTERM or SIGINT; a second signal ends it at once.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "start",
    example = "plexspaces start
plexspaces start --node-id test-node --listen-addr 0.0.0.0:8000
plexspaces start --wait-ready 2>>node.log
plexspaces start --config /etc/plexspaces/node.toml
PLEXSPACES_DATA_DIR=/var/lib/plexspaces plexspaces start"
)]
pub struct Start {
    /// a node.toml to read; flags decide over the environment, that over the file
    #[argh(option)]
    config: Option<PathBuf>,
    /// the node's name, part of every actor's address (default: node-1; env PLEXSPACES_NODE_ID)
    #[argh(option)]
    node_id: Option<NodeId>,
    /// address of the gRPC port; HTTP is on the next port (default: 127.0.0.1:8000; env PLEXSPACES_LISTEN_ADDR)
    #[argh(option)]
    listen_addr: Option<ListenAddr>,
    /// where the node keeps its data (default: the state directory; env PLEXSPACES_DATA_DIR)
    #[argh(option)]
    data_dir: Option<DataDir>,
    /// what messages in flight get when the node stops, before actors get their shutdown timeouts, together at most 10s
    /// (default: 10s; env PLEXSPACES_DRAIN_TIME)
    #[argh(option)]
    drain_time: Option<DrainTime>,
    /// tiny, small or standard: how much to plan with (default: by the memory; env PLEXSPACES_PROFILE)
    #[argh(option)]
    profile: Option<Profile>,
    /// how many actors of at most 64 MiB of memory may live at once (default: 60, 250 or 1000, by the profile; env
    /// PLEXSPACES_ACTORS_MAX)
    #[argh(option)]
    actors_max: Option<ActorsMax>,
    /// ask callers on this machine for a token too (env PLEXSPACES_REQUIRE_TOKEN=true)
    #[argh(switch)]
    require_token: bool,
    /// let anyone who reaches the node do anything, without a token (env PLEXSPACES_INSECURE_ALLOW_REMOTE=true)
    #[argh(switch)]
    insecure_allow_remote: bool,
    /// how the log on standard error is written: plain or json (default: plain; env PLEXSPACES_LOG_FORMAT)
    #[argh(option)]
    log_format: Option<LogFormat>,
    /// start the node in the background, and return once it is ready or has failed
    #[argh(switch)]
    wait_ready: bool,
}

impl Start {
    pub fn run(self) -> anyhow::Result<()> {
        if self.wait_ready {
            return ready::start_and_wait();
        }
        let (config, overruled) = self.config()?;
        log::to_stderr(config.log_format, &config.log_levels);
        let unknown = config::unknown_variables().into_iter();
        for line in unknown.chain(config.log_levels.unknown_rooms()) {
            ::log::warn!("{line}");
        }
        if let Some(line) = overruled {
            ::log::warn!("{line}");
        }
        machine::raise_open_files_max();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let ended = runtime.block_on(async {
            let stop = stop_signal().context("cannot listen for signals")?;
            Ok(node::run(config, stop).await?)
        });
        log::flush();
        ended
    }

    /// With a line to warn of a demand for tokens that something above it overrules, if there is one.
    fn config(self) -> Result<(Config, Option<String>), ConfigError> {
        let file = match &self.config {
            Some(path) => Written::of_file(path)?,
            None => Written::default(),
        };
        let flags = Written {
            node_id: self.node_id,
            listen_addr: self.listen_addr,
            data_dir: self.data_dir,
            drain_time: self.drain_time,
            profile: self.profile,
            actors_max: self.actors_max,
            require_token: self.require_token.then_some(true),
            insecure_allow_remote: self.insecure_allow_remote.then_some(true),
            log_format: self.log_format,
            ..Written::default()
        };
        let environment = Written::of_environment()?;
        // A flag decides over both variables.
        let said = self.require_token || self.insecure_allow_remote;
        if !said && environment.contradicts_itself() {
            return Err(ConfigError::BothInEnvironment);
        }
        let overruled = overruled(&flags, &environment, &file);
        let config = flags.over(environment).over(file).check()?;
        Ok((config, overruled))
    }
}

/// What to say where tokens are demanded of everybody, and what decides over that demands them of nobody.
fn overruled(flags: &Written, environment: &Written, file: &Written) -> Option<String> {
    let is_open = |it: &Written| it.insecure_allow_remote == Some(true);
    let demands = |it: &Written| it.require_token == Some(true);
    let of_file = "require_token = true in the file of --config";
    let (open, demand) = match (is_open(flags), demands(environment), demands(file)) {
        (true, true, _) => ("--insecure-allow-remote", "PLEXSPACES_REQUIRE_TOKEN"),
        (true, false, true) => ("--insecure-allow-remote", of_file),
        (false, _, true) if is_open(environment) && !demands(flags) => {
            ("PLEXSPACES_INSECURE_ALLOW_REMOTE", of_file)
        }
        _ => return None,
    };
    Some(format!(
        "{open} overrules {demand}: no token is asked of anybody; leave out one of the two"
    ))
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
            ::log::warn!("a second signal: ending at once");
            log::flush();
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
