//! What a service manager hears from a node.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{Node, command};

fn hears(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let bytes = manager.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..bytes]).trim().to_owned()
}

#[test]
fn the_service_manager_hears_of_ready_of_life_and_of_the_stop() {
    let place = TempDir::new().unwrap();
    let socket = place.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    let variables = [
        ("NOTIFY_SOCKET", socket.to_str().unwrap()),
        ("WATCHDOG_USEC", "20000"),
    ];
    let node = Node::start_with(TempDir::new().unwrap(), &[], &variables);
    let mut heard = vec![];
    while heard.iter().filter(|it| *it == "WATCHDOG=1").count() < 5 {
        heard.push(hears(&manager));
    }
    assert_eq!(
        heard.iter().filter(|it| *it == "READY=1").count(),
        1,
        "{heard:?}"
    );
    node.stop();
    while hears(&manager) != "STOPPING=1" {}
}

#[test]
fn a_script_waits_until_the_node_it_starts_is_ready() {
    let dir = TempDir::new().unwrap();
    let start = |log: &Path| {
        let mut start = command(&dir.path().join("data"), "127.0.0.1:0");
        let log = fs::File::create(log).unwrap();
        let started = start.arg("--wait-ready").stdout(Stdio::piped()).stderr(log);
        started.spawn().unwrap().wait_with_output().unwrap()
    };
    let logs = ["first", "second"].map(|name| dir.path().join(name));
    let output = start(&logs[0]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let pid = said.strip_prefix("the node is ready; its process is ");
    let pid = Pid::from_raw(pid.unwrap().trim().parse().unwrap()).unwrap();

    // One that cannot start says so.
    assert_eq!(start(&logs[1]).status.code(), Some(1));
    let said = fs::read_to_string(&logs[1]).unwrap();
    assert!(said.contains("is in use by process"), "{said}");
    let end = "the node did not get ready (exit status: 1); its log says why\n";
    assert!(said.ends_with(end), "{said}");
    kill_process(pid, Signal::TERM).unwrap();
    while !fs::read_to_string(&logs[0])
        .unwrap()
        .ends_with("node: stopped\n")
    {
        std::thread::yield_now();
    }
}
