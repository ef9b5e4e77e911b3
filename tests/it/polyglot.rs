//! The examples of docs/polyglot.md: the Rust ones are those that the conformance guest compiles, the modules run.

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

#[test]
fn every_rust_example_is_one_that_is_compiled() {
    let compiled = read("tests/guests/conformance/src/examples.rs");
    let examples = blocks(&read("docs/polyglot.md"), "rust");
    assert!(examples.len() >= 4, "{} examples", examples.len());
    for example in examples {
        assert!(compiled.contains(&example), "not compiled:\n{example}");
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
