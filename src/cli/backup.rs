//! `plexspaces backup` and `plexspaces restore`: a node's applications in a file, and back.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use super::client;
use super::flags::node_command;
use super::output::{self, Output};
use crate::application;
use crate::config;
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
    data_dir: Option<PathBuf>,
    /// text or json (default: text)
    #[argh(option, arg_name = "form", default = "Output::Text")]
    output: Output,
}

impl Backup {
    pub fn run(self) -> anyhow::Result<()> {
        let client = self.client()?;
        self.may_write()?;
        let mut name = self.file.clone().into_os_string();
        name.push(".part");
        let part = PathBuf::from(name);
        let written = client::block_on(async {
            let mut file =
                create(&part).with_context(|| format!("cannot write {}", part.display()))?;
            client.download("/api/v1/backup", &mut file).await?;
            ensure!(ends_well(&mut file)?, "the backup broke off; try again");
            file.sync_all()?;
            // Another may have appeared meanwhile.
            self.may_write()
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&part);
            return Err(error);
        }
        fs::rename(&part, &self.file)?;
        let file = self.file.display().to_string();
        match self.output {
            Output::Json => output::json(&json!({ "success": true, "file": file })),
            Output::Text => output::text(&format!("{file} is written\n")),
        }
    }
}

impl Backup {
    fn may_write(&self) -> anyhow::Result<()> {
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
        if !ends_well(&mut file)? {
            bail!("cannot restore {shown}: it is no whole backup; make a new one");
        }
        let data_dir = config::data_dir(self.data_dir)?;
        let applications = client::block_on(async {
            let storage = Storage::open(&data_dir)?;
            let restored = application::restore(&storage, &file).await;
            storage.close().await;
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

/// A file for secrets, which is read again when it is whole.
fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true);
    options.mode(0o600).open(path)
}

/// Whether an archive has its end mark; leaves the file at its beginning.
fn ends_well(file: &mut File) -> anyhow::Result<bool> {
    const END: usize = 1024;
    let length = file.metadata()?.len();
    if length < END as u64 || length % 512 != 0 {
        return Ok(false);
    }
    let mut end = [1; END];
    file.flush()?;
    file.seek(SeekFrom::End(-(END as i64)))?;
    file.read_exact(&mut end)?;
    file.rewind()?;
    Ok(end.iter().all(|&byte| byte == 0))
}
