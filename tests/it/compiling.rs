//! Compiling: once per module, in a child, from a cache that trusts nothing it did not write.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use sha2::{Digest, Sha256};

use crate::guests::{COUNTER, ECHO, for_both_kinds, guest};
use crate::harness::{Node, node};
use plexspaces_node::wasm::Kind;

for_both_kinds! {
    fn the_same_bytes_are_compiled_once(node, kind) {
        let echo = guest(kind, ECHO);
        node.deploy("echo", &echo).is_deployed();
        assert_eq!(node.undeploy("echo").status, 200);
        node.deploy("echo", &echo).is_deployed();
        node.deploy("twin", &echo).is_deployed();
        assert_eq!(node.log_count("compiled in"), 1);
        // Nor does another node on the same directory compile.
        let node = Node::start(node.kill(), &[]);
        node.deploy("echo", &echo).is_deployed();
        assert_eq!(node.ask("echo", b"1").body_payload(), "1");
        assert_eq!(node.log_count("compiled in"), 0);
    }

    fn compiled_code_that_was_tampered_with_is_never_loaded(node, kind) {
        let (echo, other) = (guest(kind, ECHO), guest(kind, COUNTER));
        node.deploy("other", &other).is_deployed();
        let others = only_code(&node, &[]);
        node.deploy("echo", &echo).is_deployed();
        let code = only_code(&node, &[&others]);
        assert_eq!(node.undeploy("echo").status, 200);
        let change = |file: &Path, change: fn(&mut Vec<u8>)| {
            let mut bytes = fs::read(file).unwrap();
            change(&mut bytes);
            fs::write(file, bytes).unwrap();
        };
        let harms: [&dyn Fn(); 9] = [
            &|| change(&code, |code| code.truncate(code.len() / 2)),
            &|| change(&code, |code| code[5000] ^= 1),
            &|| change(&code, Vec::clear),
            &|| change(&code, |code| code.push(0)),
            &|| change(&seal(&code), |seal| seal[0] ^= 1),
            &|| change(&seal(&code), |seal| seal.truncate(31)),
            &|| change(&seal(&code), Vec::clear),
            &|| replace(&code, &others),
            // Another module's, with its own good seal.
            &|| {
                replace(&code, &others);
                replace(&seal(&code), &seal(&others));
            },
        ];
        for harm in harms {
            harm();
            node.deploy("twin", &echo).is_deployed();
            assert_eq!(node.ask("twin", b"hello").body_payload(), "hello");
            assert_eq!(node.undeploy("twin").status, 200);
        }
        was_compiled(&node, 2 + harms.len());
        assert_eq!(node.log_count("its seal is broken"), harms.len());
    }

    fn compiled_code_of_which_a_part_is_missing_is_made_anew_without_a_word(node, kind) {
        let echo = guest(kind, ECHO);
        node.deploy("echo", &echo).is_deployed();
        let code = only_code(&node, &[]);
        assert_eq!(node.undeploy("echo").status, 200);
        let harms: [&dyn Fn(); 2] = [
            &|| fs::remove_file(seal(&code)).unwrap(),
            &|| fs::remove_file(&code).unwrap(),
        ];
        for harm in harms {
            harm();
            node.deploy("twin", &echo).is_deployed();
            assert_eq!(node.ask("twin", b"hello").body_payload(), "hello");
            assert_eq!(node.undeploy("twin").status, 200);
        }
        was_compiled(&node, 3);
        assert_eq!(node.log_count("made anew"), 0);
    }
}

/// Waits for the log to say it so often, and with it all that was said before.
fn was_compiled(node: &Node, times: usize) {
    while node.log_count("compiled in") < times {
        thread::yield_now();
    }
    assert_eq!(node.log_count("compiled in"), times);
}

/// The one file of compiled code beside these.
fn only_code(node: &Node, beside: &[&PathBuf]) -> PathBuf {
    let files = fs::read_dir(node.data_dir().join("compiled")).unwrap();
    let mut files = files.map(|entry| entry.unwrap().path());
    let is_code = |file: &PathBuf| file.extension().is_none_or(|it| it != "seal");
    files
        .find(|file| is_code(file) && !beside.contains(&file))
        .unwrap()
}

fn replace(file: &Path, other: &Path) {
    fs::copy(other, file).unwrap();
}

fn seal(code: &Path) -> PathBuf {
    PathBuf::from(format!("{}.seal", code.display()))
}

/// A full disk is not the module's fault.
#[test]
fn code_that_does_not_fit_on_the_disk_is_a_507_and_leaves_nothing() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    let digest = format!("{:x}", Sha256::digest(&echo));
    let draft = node.data_dir().join(format!("compiled/{digest}.draft"));
    std::os::unix::fs::symlink("/dev/full", &draft).unwrap();
    let words = ["no space left", "writing compiled code"];
    node.deploy("echo", &echo)
        .is_refused(507, "RESOURCE_EXHAUSTED", &words);
    // The link went with the draft.
    node.deploy("echo", &echo).is_deployed();
    assert_eq!(node.ask("echo", b"1").body_payload(), "1");
}

#[test]
fn a_module_that_asks_for_too_much_is_refused_before_it_is_compiled() {
    let node = node();
    let check = |wat: &str, words: &[&str]| {
        let wasm = wat::parse_str(wat).unwrap();
        node.deploy("odd", &wasm)
            .is_refused(422, "INVALID_ARGUMENT", words);
    };
    check(
        "(module (memory 2000))",
        &["starts with 125 MiB", "64 MiB", "max_memory_bytes"],
    );
    check("(module (table 10000000 funcref))", &["10000000 elements"]);
    let elements = "0 ".repeat(100_001);
    check(
        &format!("(module (func) (table 1 funcref) (elem func {elements}))"),
        &["100000 elements", "split"],
    );
    let functions = "(func)".repeat(200_001);
    check(&format!("(module {functions})"), &["functions", "split"]);
    let long = "(drop (i32.const 1))".repeat(800_000);
    check(&format!("(module (func {long}))"), &["bytes", "split"]);
    assert_eq!(node.log_count("compiled in"), 0);
}

#[test]
fn a_module_may_start_large_and_grow_larger() {
    let node = node();
    let large = ECHO.to_owned() + "(func (export \"shutdown\"))";
    let wasm = guest(
        Kind::Core,
        &large.replace(
            "(func (export",
            "(global (mut i32) (i32.const 0)) (func (export",
        ),
    );
    let config = "[limits]\nmax_memory_bytes = 268435456";
    node.form("large", &wasm)
        .config(config)
        .send()
        .is_deployed();
    node.log_says("for large slots");
    assert_eq!(node.ask("large", b"1").body_payload(), "1");
    node.deploy("small", &wasm).is_deployed();
    assert_eq!(node.ask("small", b"1").body_payload(), "1");
}
