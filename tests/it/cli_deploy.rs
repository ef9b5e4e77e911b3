//! `plexspaces deploy`: which way a module goes, what is looked at before anything is sent, and what the node then has.

use std::fs::File;
use std::io::Write;

use plexspaces_node::wasm::Kind;
use tempfile::TempDir;

use crate::cli::{Said, file, run, shown, to};
use crate::guests::{COUNTER, ECHO, guest};
use crate::harness::{Node, node};
use crate::uploads::echo_of;

const GRPC_BYTES_MAX: u64 = 5 * 1024 * 1024;
const HTTP_BYTES_MAX: u64 = 100 * 1024 * 1024;

fn deploy(node: &Node, name: &str, wasm: &std::path::Path, more: &[&str]) -> Said {
    let command = ["deploy", "--name", name, "--wasm", shown(wasm)];
    to(node, &[&command, more].concat())
}

fn digest_of(node: &Node, name: &str) -> String {
    let answer = node.get(&format!("/api/v1/applications/{name}"));
    answer.json()["module_hash"].as_str().unwrap().to_owned()
}

#[test]
fn a_small_module_goes_by_grpc() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let wasm = file(&dir, "counter.wasm", &guest(Kind::Component, COUNTER));
    let said = deploy(&node, "counter", &wasm, &["--app-id", "counter-app"]);
    assert_eq!(
        said.done(),
        "counter 1.0.0 is deployed (id counter-app, RUNNING)\n"
    );
    assert_eq!(node.ask("counter", b"").body_payload(), "1");
    node.log_says("ApplicationService/DeployApplication");
}

#[test]
fn a_module_over_5_mib_goes_by_http_and_the_line_says_so() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let wasm = file(&dir, "large.wasm", &echo_of(GRPC_BYTES_MAX + 1));
    let said = deploy(&node, "large", &wasm, &["--version", "2.1.0"]);
    assert_eq!(
        said.done(),
        "⚠️  WASM file size (5.00MB) exceeds gRPC limit (5MB), using HTTP multipart upload\n\
         large 2.1.0 is deployed (id large, RUNNING)\n"
    );
    assert_eq!(node.ask("large", b"hello").body_payload(), "hello");
    assert_eq!(
        to(&node, &["undeploy", "--name", "large"]).done(),
        "large is undeployed (id large)\n"
    );

    // What programs read stays JSON.
    let said = deploy(&node, "large", &wasm, &["--output", "json"]);
    assert_eq!(said.json()["status"], "APPLICATION_STATUS_RUNNING");
    assert!(said.err.contains("exceeds gRPC limit"), "{said:?}");
}

#[test]
fn a_module_of_exactly_5_mib_goes_by_grpc() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let wasm = file(&dir, "five.wasm", &echo_of(GRPC_BYTES_MAX));
    let said = deploy(&node, "five", &wasm, &[]);
    assert_eq!(said.done(), "five 1.0.0 is deployed (id five, RUNNING)\n");
    node.log_says("ApplicationService/DeployApplication");
}

#[test]
fn a_module_over_100_mib_is_refused_before_anything_is_sent() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("huge.wasm");
    let mut huge = File::create(&path).unwrap();
    huge.write_all(b"\0asm\x01\0\0\0").unwrap();
    huge.set_len(HTTP_BYTES_MAX + 1).unwrap();
    // Nobody listens there, so it would say something else had it tried.
    let command = [
        "deploy",
        "--name",
        "huge",
        "--wasm",
        shown(&path),
        "--node",
        "127.0.0.1:1",
    ];
    run(&command).fails(1, &["huge.wasm", "100MB", "wasm-tools strip -a"]);
}

#[test]
fn what_is_no_module_is_named_before_anything_is_sent() {
    let dir = TempDir::new().unwrap();
    let check = |path: &std::path::Path, words: &[&str]| {
        let command = [
            "deploy",
            "--name",
            "x",
            "--wasm",
            shown(path),
            "--node",
            "127.0.0.1:1",
        ];
        run(&command).fails(1, &[words, &[shown(path)]].concat());
    };
    check(&dir.path().join("gone.wasm"), &["No such file"]);
    check(dir.path(), &["is a directory"]);
    check(&file(&dir, "empty.wasm", b""), &["is empty"]);
    check(
        &file(&dir, "notes.wasm", b"hello there"),
        &["no WebAssembly module"],
    );
    check(
        &file(&dir, "text.wasm", b"(module (memory 1))"),
        &["wasm-tools parse"],
    );
    check(std::path::Path::new("/dev/null"), &["no file"]);
    let wasm = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    let command = [
        "deploy",
        "--name",
        "x",
        "--node",
        "127.0.0.1:1",
        "--wasm",
        shown(&wasm),
    ];
    let with = |more: &[&str]| run(&[&command, more].concat());
    with(&["--sha256", &"0".repeat(64)]).fails(1, &["SHA-256", "echo.wasm"]);
    with(&["--config", "gone.toml"]).fails(1, &["gone.toml", "No such file"]);
    let binary = file(&dir, "binary.toml", &[0xff, 0xfe]);
    with(&["--config", shown(&binary)]).fails(1, &["binary.toml", "as text"]);
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let wasm = file(&dir, "locked.wasm", &guest(Kind::Core, ECHO));
    std::fs::set_permissions(&wasm, std::fs::Permissions::from_mode(0o000)).unwrap();
    // Nothing is locked to root.
    if File::open(&wasm).is_err() {
        let command = ["deploy", "--name", "x", "--wasm", shown(&wasm)];
        run(&command).fails(1, &["locked.wasm", "Permission denied"]);
    }
}

#[test]
fn the_config_goes_along_whole() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let wasm = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    let config = file(
        &dir,
        "app.toml",
        b"description = 'an echo'\n[limits]\nmax_mailbox = 7\n",
    );
    let said = deploy(&node, "echo", &wasm, &["--config", shown(&config)]);
    assert_eq!(said.done(), "echo 1.0.0 is deployed (id echo, RUNNING)\n");
    let spec = node.get("/api/v1/applications/echo").json()["spec"].clone();
    assert_eq!(
        (&spec["description"], &spec["limits"]["max_mailbox"]),
        (&"an echo".into(), &7.into())
    );

    let wrong = file(&dir, "wrong.toml", b"[limits]\nmax_mailbx = 7\n");
    deploy(&node, "other", &wasm, &["--config", shown(&wrong)]).fails(1, &["line 2", "max_mailbx"]);
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let good = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    let said = deploy(&node, "echo", &good, &["--dry-run"]);
    assert_eq!(
        said.done(),
        "echo 1.0.0 could be deployed; nothing was changed\n"
    );
    let deaf = file(&dir, "deaf.wasm", &wat::parse_str("(module)").unwrap());
    deploy(&node, "deaf", &deaf, &["--dry-run"]).fails(1, &["export"]);
    assert_eq!(node.total_applications(), 0);
}

#[test]
fn a_deploy_says_whether_it_is_new_an_upgrade_or_so_already() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let counter = file(&dir, "counter.wasm", &guest(Kind::Component, COUNTER));
    let echo = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    deploy(&node, "app", &counter, &["--app-id", "mine"]).done();
    let hash = |name: &str| digest_of(&node, name)[..12].to_owned();
    let old = hash("app");
    assert_eq!(
        deploy(&node, "app", &counter, &[]).done(),
        "app 1.0.0 is deployed already, just so; nothing was changed (id mine, RUNNING)\n"
    );
    assert_eq!(
        deploy(&node, "app", &counter, &["--dry-run"]).done(),
        "app 1.0.0 is there with this module; nothing was changed\n"
    );
    let two = ["--version", "2.0.0"];
    assert_eq!(
        deploy(&node, "app", &counter, &[&two[..], &["--dry-run"]].concat()).done(),
        "would upgrade app from 1.0.0 to 2.0.0; nothing was changed\n"
    );
    // The id that it has stays, by gRPC and by HTTP.
    assert_eq!(
        deploy(&node, "app", &echo, &[]).done(),
        format!(
            "app is upgraded from module {old} to {} (id mine, RUNNING)\n",
            hash("app")
        )
    );
    let config = file(&dir, "app.toml", b"description = 'an echo'\n");
    let with = ["--config", shown(&config)];
    assert_eq!(
        deploy(&node, "app", &echo, &with).done(),
        "app is upgraded in its config or its id (id mine, RUNNING)\n"
    );
    let said = deploy(
        &node,
        "app",
        &echo,
        &[&two[..], &["--app-id", "other"]].concat(),
    );
    assert_eq!(
        said.done(),
        "app is upgraded from 1.0.0 to 2.0.0 (id other, RUNNING)\n"
    );
}

#[test]
fn a_config_that_a_deploy_drops_is_named() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let echo = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    let toml = "[env]\nROOM = 'kitchen'\n[limits]\nmax_mailbox = 7\n";
    let config = file(&dir, "app.toml", toml.as_bytes());
    let with = ["--config", shown(&config)];
    deploy(&node, "app", &echo, &with).done();
    deploy(
        &node,
        "app",
        &echo,
        &[&with[..], &["--version", "1.1.0"]].concat(),
    )
    .done();
    let check = |more: &[&str], keys: &str| {
        let said = deploy(&node, "app", &echo, more);
        assert_eq!(said.code, 0, "{said:?}");
        let words =
            format!("drops it: what it set of {keys} has its default again; deploy with --config");
        assert!(said.err.contains(&words), "{said:?}");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    };
    check(&["--version", "2.0.0", "--dry-run"], "env, limits");
    check(&["--version", "2.0.0"], "env, limits");
    // There is nothing left to drop.
    deploy(&node, "app", &echo, &["--version", "3.0.0"]).done();
}

#[test]
fn a_namespace_that_a_deploy_forgets_is_refused_with_the_config_that_is_missing() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let echo = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    let config = file(&dir, "app.toml", b"namespace = 'factory'\n");
    let with = ["--config", shown(&config)];
    deploy(&node, "app", &echo, &with).done();
    let words = [
        "application app is in tenant default, namespace factory, and this deploy says tenant default, namespace default",
        "--config FILE",
        "to move it, undeploy it first",
    ];
    let other = ["--version", "2.0.0"];
    deploy(&node, "app", &echo, &other).fails(1, &words);
    let rehearsed = [&other[..], &["--dry-run"]].concat();
    deploy(&node, "app", &echo, &rehearsed).fails(1, &words);
    deploy(&node, "app", &echo, &[&rehearsed[..], &with].concat()).done();
    deploy(&node, "app", &echo, &[&other[..], &with].concat()).done();
}

#[test]
fn a_library_is_shown_as_one() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let echo = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    let config = file(&dir, "app.toml", b"type = 'library'\n");
    deploy(&node, "tools", &echo, &["--config", shown(&config)]).done();
    let said = to(&node, &["status", "tools"]);
    let line = "kind      core, a library: it runs no actors of its own\n";
    assert!(said.done().contains(line), "{said:?}");
}

#[test]
fn both_ways_make_the_same_application() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let bytes = guest(Kind::Component, COUNTER);
    let wasm = file(&dir, "counter.wasm", &bytes);
    let shape = || {
        let mut json = node.get("/api/v1/applications/counter").json();
        json.as_object_mut().unwrap().remove("deployed_at");
        json["metrics"]
            .as_object_mut()
            .unwrap()
            .remove("uptime_seconds");
        json
    };
    deploy(&node, "counter", &wasm, &["--app-id", "counter-app"]).done();
    let by_grpc = shape();
    to(&node, &["undeploy", "--app-id", "counter-app"]).done();
    node.deploy("counter", &bytes).is_deployed();
    assert_eq!(by_grpc, shape());
}

#[test]
fn a_refusal_by_either_way_is_one_line_in_the_nodes_words() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let deaf = file(&dir, "deaf.wasm", &wat::parse_str("(module)").unwrap());
    deploy(&node, "deaf", &deaf, &[]).fails(1, &["export"]);
    let mut padded = wat::parse_str("(module)").unwrap();
    // A custom section of 6 MiB, its length in LEB128.
    padded.extend_from_slice(&[0, 0x81, 0x80, 0x80, 0x03, 0]);
    padded.resize(padded.len() + 6 * 1024 * 1024, 0);
    let padded = file(&dir, "padded.wasm", &padded);
    let said = deploy(&node, "deaf", &padded, &["--output", "json"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(
        said.err.lines().last().unwrap().contains("export"),
        "{said:?}"
    );
    deploy(&node, "-dash", &deaf, &[]).fails(2, &["--name"]);
    assert_eq!(node.total_applications(), 0);
}

#[test]
fn a_right_sha256_is_no_hindrance() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let wasm = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    deploy(&node, "echo", &wasm, &[]).done();
    let digest = digest_of(&node, "echo").to_uppercase();
    deploy(&node, "echo", &wasm, &["--sha256", &digest]).done();
}

#[test]
fn an_upload_takes_no_more_memory_for_a_larger_file() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let peak = |bytes: u64| {
        let wasm = file(&dir, "large.wasm", &echo_of(bytes));
        let mut child =
            crate::cli::plexspaces(&["deploy", "--name", "large", "--wasm", shown(&wasm)])
                .args(["--dry-run", "--node", &node.grpc.to_string()])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|it| it.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0));
            std::thread::yield_now();
        }
        assert!(child.wait().unwrap().success());
        peak
    };
    let (small, large) = (peak(6 << 20), peak(60 << 20));
    assert!(
        large < small + 8 * 1024,
        "{small} KiB for 6 MiB, {large} KiB for 60 MiB"
    );
}
