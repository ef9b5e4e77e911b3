//! What a service manager hears from a node.

use std::os::unix::net::UnixDatagram;

use tempfile::TempDir;

use crate::harness::Node;

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
