//! `plexspaces backup` and `plexspaces restore`: a node's applications in a file, and back.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use argh::{ArgsInfo, FromArgs};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::client::{self, Client};
use super::draft::{self, Draft};
use super::flags::node_command;
use super::ground::Ground;
use super::output::{self, Output};
use crate::application::{self, RestoreError};
use crate::config::{self, DataDir};
use crate::storage::Storage;

node_command! {
/// Write all that a running node keeps into FILE: applications and their modules, what their actors and guests keep,
/// tokens.
#[argh(
    subcommand,
    name = "backup",
    example = "plexspaces backup node-7.tar
plexspaces backup node-7.tar --node 192.0.2.7:8000 --token-file token",
    note = "FILE appears once the backup is whole; one that is there stays, unless --force is given: then it is replaced \
at that moment. It holds env values, states and what guests keep: keep it as you keep secrets."
)]
pub struct Backup {
    /// replace FILE if it is there
    #[argh(switch)]
    force: bool,
    /// where to write it
    #[argh(positional)]
    file: PathBuf,
}
}

/// Put a backup into an empty data directory, while no node runs on it.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "restore",
    example = "plexspaces restore node-7.tar
plexspaces restore node-7.tar --data-dir /var/lib/plexspaces"
)]
pub struct Restore {
    /// the backup
    #[argh(positional)]
    file: PathBuf,
    /// where the node keeps its data (default: the state directory; env PLEXSPACES_DATA_DIR)
    #[argh(option, arg_name = "dir")]
    data_dir: Option<DataDir>,
    /// text or json (default: text)
    #[argh(option, arg_name = "form", default = "Output::Text")]
    output: Output,
}

impl Backup {
    pub fn run(self) -> anyhow::Result<()> {
        let client = self.client()?;
        self.may_write()?;
        let mut draft = Draft::beside(&self.file)?;
        // Whatever ends before its end takes the draft with it.
        client::block_on(async {
            let stopped = stopped()?;
            tokio::select! {
                written = written(&client, &mut draft) => written,
                () = stopped => bail!("the backup was interrupted, and nothing of it is kept"),
            }
        })?;
        // Another may have appeared meanwhile.
        self.may_write()?;
        draft.put()?;
        let file = self.file.display().to_string();
        match self.output {
            Output::Json => output::json(&json!({ "success": true, "file": file })),
            Output::Text => output::text(&format!("{file} is written\n")),
        }
    }
}

impl Backup {
    fn may_write(&self) -> anyhow::Result<()> {
        draft::may_be_at(&self.file)?;
        let there = !self.force && self.file.symlink_metadata().is_ok();
        ensure!(
            !there,
            "{} is there already; choose another name, or give --force to replace it",
            self.file.display()
        );
        Ok(())
    }
}

impl Restore {
    pub fn run(self) -> anyhow::Result<()> {
        let shown = self.file.display().to_string();
        let mut file = File::open(&self.file).with_context(|| format!("cannot read {shown}"))?;
        if !ends_well(&mut file).with_context(|| format!("cannot read {shown}"))? {
            bail!("cannot restore {shown}: it is no whole backup; make a new one");
        }
        let data_dir = config::data_dir(self.data_dir)?;
        let ground = Ground::of(&data_dir)?;
        let applications = client::block_on(async {
            let storage = Storage::open(&data_dir)?;
            let restored = application::restore(&storage, &file).await;
            storage.close().await;
            if restored.as_ref().is_err_and(RestoreError::leaves_nothing) {
                // Behind whatever is still being done to files.
                storage.files.run(|| ground.clear()).await;
            }
            restored.with_context(|| format!("cannot restore {shown}"))
        })?;
        let dir = data_dir.display().to_string();
        match self.output {
            Output::Json => output::json(
                &json!({ "success": true, "applications": applications, "data_dir": dir }),
            ),
            Output::Text => output::text(&format!(
                "{applications} applications are restored into {dir}; start the node to run them\n"
            )),
        }
    }
}

async fn written(client: &Client, draft: &mut Draft) -> anyhow::Result<()> {
    client.download("/api/v1/backup", draft).await?;
    ensure!(draft.look(ends_well)?, "the backup broke off; try again");
    Ok(())
}

/// Resolves when this process is asked to end.
fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Whether an archive has its end mark; leaves the file at its beginning.
fn ends_well(file: &mut File) -> io::Result<bool> {
    const END: usize = 1024;
    let length = file.metadata()?.len();
    if length < END as u64 || length % 512 != 0 {
        return Ok(false);
    }
    let mut end = [1; END];
    file.seek(SeekFrom::End(-(END as i64)))?;
    file.read_exact(&mut end)?;
    file.rewind()?;
    Ok(end.iter().all(|&byte| byte == 0))
}
