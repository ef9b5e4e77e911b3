//! `plexspaces start --wait-ready`: a node in the background, and a caller that knows when it is ready.

use std::env;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::output;

const SOCKET: &str = "NOTIFY_SOCKET";
/// How often it is looked whether the node has ended instead.
const LOOK: Duration = Duration::from_millis(100);

/// Starts this program again without the flag, and returns once it says as to a service manager that it is ready.
pub fn start_and_wait() -> anyhow::Result<()> {
    ensure!(
        env::var_os(SOCKET).is_none(),
        "a service manager waits for the node itself; leave out --wait-ready"
    );
    let folder = Folder::new().context("cannot make a folder for a socket")?;
    let path = folder.0.join("ready");
    let heard = UnixDatagram::bind(&path).context("cannot wait for the node")?;
    heard.set_read_timeout(Some(LOOK))?;
    let node = Command::new("/proc/self/exe")
        .args(env::args_os().skip(1).filter(|it| it != "--wait-ready"))
        .env(SOCKET, &path)
        .stdin(Stdio::null())
        // Whoever reads what this process prints need not wait for the node's end.
        .stdout(Stdio::null())
        // What ends this terminal's job leaves the node alone.
        .process_group(0)
        .spawn()
        .context("cannot start the node")?;
    let node = wait(node, &heard)?;
    output::text(&format!(
        "the node is ready; its process is {}\n",
        node.id()
    ))
}

fn wait(mut node: Child, heard: &UnixDatagram) -> anyhow::Result<Child> {
    let mut told = [0; 64];
    loop {
        match heard.recv(&mut told) {
            Ok(length) if told[..length].starts_with(b"READY=1") => return Ok(node),
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(error).context("cannot wait for the node");
            }
            _ => {}
        }
        if let Some(status) = node.try_wait()? {
            bail!("the node did not get ready ({status}); its log says why");
        }
    }
}

/// A folder of nobody else's. Dropped, it is removed.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("plexspaces-ready-{}", process::id()));
        // One that is there already is somebody else's.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
