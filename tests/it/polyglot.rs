//! The examples of docs/polyglot.md: those in Rust and Python are of the guests that call them, the modules run.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::harness::node;

fn read(path: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The blocks of this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    let blocks = page.split(&open).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// Each of the page's examples in this language is in one of the guests' files.
fn all_stand_in(files: &[&str], language: &str, at_least: usize) {
    let source: String = files.iter().map(|file| read(file)).collect();
    let examples = blocks(&read("docs/polyglot.md"), language);
    assert!(examples.len() >= at_least, "{} examples", examples.len());
    for example in examples {
        assert!(source.contains(&example), "not in {files:?}:\n{example}");
    }
}

#[test]
fn every_example_in_rust_and_python_is_one_that_a_guest_calls() {
    let in_rust = [
        "tests/guests/counter/src/lib.rs",
        "tests/guests/conformance/src/examples.rs",
    ];
    all_stand_in(&in_rust, "rust", 11);
    all_stand_in(
        &["tests/guests/conformance_python/examples.py"],
        "python",
        10,
    );
}

#[test]
fn every_service_has_an_example_in_two_languages() {
    let page = read("docs/polyglot.md");
    for heading in [
        "Tuple space",
        "Locks",
        "Process groups",
        "Keys and values",
        "Queues",
        "Topics",
        "Blobs",
        "The journal",
        "Workflows",
    ] {
        let (_, rest) = page
            .split_once(&format!("\n## {heading}\n"))
            .unwrap_or_else(|| panic!("no section {heading}"));
        let section = rest.split("\n## ").next().unwrap();
        for language in ["rust", "python"] {
            assert!(!blocks(section, language).is_empty(), "{heading}");
        }
    }
}

#[test]
fn the_counter_counts_and_keeps_its_count_over_an_upgrade() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/guests/built/counter.wasm");
    let Ok(wasm) = fs::read(path) else {
        assert!(std::env::var_os("CI").is_none(), "it is not built");
        eprintln!("skipped: counter.wasm is not built; see tests/guests/build.sh");
        return;
    };
    let node = node();
    node.deploy("counter", &wasm).is_deployed();
    assert_eq!(node.ask("counter", b"").body_payload(), "1");
    let newer = node.form("counter", &wasm).field("version", "2");
    newer.send().is_deployed();
    assert_eq!(node.ask("counter", b"").body_payload(), "2");
}

#[test]
fn every_module_does_what_the_page_says() {
    let node = node();
    let page = read("docs/polyglot.md");
    for (name, import) in [
        ("taker", "tuple_take_blocking"),
        ("leader", "lock_try_acquire"),
        ("sensor", "group_join"),
    ] {
        let modules = blocks(&page, "wat");
        let module = modules
            .iter()
            .find(|module| module.contains(import))
            .unwrap();
        node.deploy(name, &wat::parse_str(module).unwrap())
            .is_deployed();
    }
    assert_eq!(
        node.ask("taker", br#"["job",7]"#).payload(),
        json!(["job", 7])
    );
    assert_eq!(
        node.ask("leader", b"").payload()["holder_id"],
        "leader@test-node"
    );
    assert_eq!(node.ask("sensor", b"heat").status, 200);
    node.log_says(r#""group":"sensors","topic":null,"from":"sensor@test-node","payload":"heat""#);
}
