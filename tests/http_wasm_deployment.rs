//! The deployment guide's own test: deploy, ask and undeploy over HTTP, with size limits and errors.
//!
//! `cargo test --package plexspaces-node --test http_wasm_deployment`

#[path = "it/guests.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod guests;
#[path = "it/harness.rs"]
mod harness;

use guests::{ECHO, guest};
use harness::node;
use plexspaces_node::wasm::Kind;

#[test]
fn a_module_is_deployed_asked_and_undeployed() {
    let node = node();
    assert_eq!(node.total_applications(), 0);

    let deployed = node
        .form("calculator", &guest(Kind::Core, ECHO))
        .field("application_id", "calculator-app")
        .send();
    let expected = r#"{"success":true,"application_id":"calculator-app","status":"APPLICATION_STATUS_RUNNING","error":null}"#;
    assert_eq!((deployed.status, deployed.body.as_str()), (200, expected));
    assert_eq!(node.total_applications(), 1);

    let answer = node.request("POST", "/api/v1/actors/default/calculator", &[], b"[1,2]");
    assert_eq!(answer.payload(), serde_json::json!([1, 2]));

    let undeployed = node.undeploy("calculator");
    assert_eq!(
        (undeployed.status, undeployed.body.as_str()),
        (200, r#"{"success":true,"application_id":"calculator-app"}"#)
    );
    assert_eq!(node.total_applications(), 0);
}

#[test]
fn the_python_calculator_is_deployed_if_it_is_built() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/simple/wasm_calculator/wasm-modules/calculator_actor.wasm"
    );
    let Ok(wasm) = std::fs::read(path) else {
        assert!(std::env::var_os("CI").is_none(), "{path} is not built");
        eprintln!(
            "skipped: build it with examples/simple/wasm_calculator/scripts/build_python_actors.sh"
        );
        return;
    };
    let node = node();
    node.deploy("calculator", &wasm).is_deployed();
    let request = br#"{"operation":"multiply","operands":[6,7]}"#;
    let answer = node.request("POST", "/api/v1/actors/default/calculator", &[], request);
    assert_eq!(
        answer.payload(),
        serde_json::json!({"result": 42.0, "operation": "multiply"})
    );
}

#[test]
fn a_file_over_the_limit_is_413() {
    let node = node();
    let mut wasm = guest(Kind::Core, ECHO);
    wasm.resize(104_857_601, 0);
    node.deploy("large", &wasm)
        .is_refused(413, "RESOURCE_EXHAUSTED", &["Payload too large"]);
    assert_eq!(node.total_applications(), 0);
}

#[test]
fn errors_say_what_to_do() {
    let node = node();
    node.form("x", b"no module")
        .send()
        .is_refused(422, "INVALID_ARGUMENT", &["not WebAssembly"]);
    let missing = node.form("x", b"").without("application_id").send();
    missing.is_refused(400, "INVALID_ARGUMENT", &["application_id"]);
    node.undeploy("x").is_refused(404, "NOT_FOUND", &["x"]);
    assert_eq!(node.total_applications(), 0);
}
