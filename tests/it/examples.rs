//! The example actors, built from source or prebuilt, answer as their list of cases says.

use std::fs;
use std::path::PathBuf;

use crate::harness::node;

fn calculator() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/simple/wasm_calculator")
}

/// Each case is a line: a request, an arrow, the answer.
fn answers_every_case(module: &str) {
    let path = calculator().join("wasm-modules").join(module);
    let Ok(wasm) = fs::read(&path) else {
        // `scripts/test.sh` builds it where it can, and says so where it cannot.
        assert!(std::env::var_os("CI").is_none(), "{module} is not built");
        eprintln!("skipped: {module} is not built; see its README");
        return;
    };
    let node = node();
    node.deploy("calculator", &wasm).is_deployed();
    let cases = fs::read_to_string(calculator().join("actors/cases.txt")).unwrap();
    let cases: Vec<_> = cases
        .lines()
        .filter_map(|line| line.split_once(" => "))
        .collect();
    assert!(cases.len() > 20, "only {} cases", cases.len());
    for (request, expected) in cases {
        let answer = node.request(
            "POST",
            "/api/v1/actors/default/calculator",
            &[],
            request.as_bytes(),
        );
        assert!(
            answer.body.contains(&format!(r#""payload":{expected},"#)),
            "{request}: {expected} is not in {answer:?}"
        );
    }
    assert_eq!(node.undeploy("calculator").status, 200);
    assert_eq!(node.total_applications(), 0);
}

/// Each case once, in its order: a worker's answers depend on what came before.
fn works_through_every_case(module: &str) {
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/simple/core_modules");
    let Ok(wasm) = fs::read(example.join("wasm-modules").join(module)) else {
        assert!(std::env::var_os("CI").is_none(), "{module} is not built");
        eprintln!("skipped: {module} is not built; see its README");
        return;
    };
    let node = node();
    node.deploy("worker", &wasm).is_deployed();
    let cases = fs::read_to_string(example.join("cases.txt")).unwrap();
    let cases: Vec<_> = cases
        .lines()
        .filter_map(|line| line.split_once(" => "))
        .collect();
    assert!(cases.len() > 5, "only {} cases", cases.len());
    for (request, expected) in cases {
        let answer = node.ask("worker", request.as_bytes()).body_payload();
        assert_eq!(answer, expected, "{request}");
    }
    let unknown = node.ask("worker", b"dance");
    unknown.is_refused(502, "ABORTED", &["say: send TEXT, work, or done"]);
}

#[test]
fn the_worker_in_c_works_through_every_case() {
    works_through_every_case("worker_c.wasm");
}

#[test]
fn the_worker_in_rust_works_through_every_case() {
    works_through_every_case("worker_rust.wasm");
}

#[test]
fn the_rust_calculator_answers_every_case() {
    answers_every_case("calculator_rust.wasm");
}

#[test]
fn the_rust_calculator_built_from_source_answers_every_case() {
    answers_every_case("calculator_rust_from_source.wasm");
}

#[test]
fn the_python_calculator_answers_every_case() {
    answers_every_case("calculator_actor.wasm");
}
