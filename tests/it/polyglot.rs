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

/// Each of the page's examples in this language is in the guest's file.
fn all_stand_in(file: &str, language: &str, at_least: usize) {
    let source = read(file);
    let examples = blocks(&read("docs/polyglot.md"), language);
    assert!(examples.len() >= at_least, "{} examples", examples.len());
    for example in examples {
        assert!(source.contains(&example), "not in {file}:\n{example}");
    }
}

#[test]
fn every_example_in_rust_and_python_is_one_that_a_guest_calls() {
    all_stand_in("tests/guests/conformance/src/examples.rs", "rust", 9);
    all_stand_in("tests/guests/conformance_python/examples.py", "python", 9);
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
