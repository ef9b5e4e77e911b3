//! Compiling: once per module, in a child, from a cache that trusts nothing it did not write.

use std::fs;

use rustix::process::{Resource, Rlimit, prlimit};

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

    fn code_without_its_seal_or_with_anothers_is_made_anew_in_silence(node, kind) {
        let (echo, counter) = (guest(kind, ECHO), guest(kind, COUNTER));
        let code = |node: &Node| {
            let files = node.files().into_iter().filter(|it| it.parent().unwrap().ends_with("compiled"));
            files.filter(|it| it.extension().is_none_or(|it| it != "seal")).collect::<Vec<_>>()
        };
        let seal = |code: &std::path::Path| std::path::PathBuf::from(format!("{}.seal", code.display()));
        node.deploy("echo", &echo).is_deployed();
        let [echo_code] = &code(&node)[..] else { panic!("one module, one file") };
        node.deploy("counter", &counter).is_deployed();
        let others = code(&node).into_iter().find(|it| it != echo_code).unwrap();
        assert_eq!(node.undeploy("echo").status, 200);

        fs::remove_file(seal(echo_code)).unwrap();
        node.deploy("twin", &echo).is_deployed();
        assert_eq!(node.ask("twin", b"7").body_payload(), "7");
        assert_eq!(node.undeploy("twin").status, 200);

        // Another module's code, whole and with its own seal.
        fs::copy(&others, echo_code).unwrap();
        fs::copy(seal(&others), seal(echo_code)).unwrap();
        node.deploy("echo", &echo).is_deployed();
        assert_eq!(node.ask("echo", b"7").body_payload(), "7");
        assert_eq!(node.log_count("compiled in"), 4);

        // Nor does a node that comes back map what changed while it was away.
        let dir = node.stop();
        let mut bytes = fs::read(echo_code).unwrap();
        bytes[5000] ^= 1;
        fs::write(echo_code, bytes).unwrap();
        let node = Node::again(dir);
        assert_eq!(node.ask("echo", b"7").body_payload(), "7");
        assert_eq!(node.ask("counter", b"").payload(), 1);
        assert_eq!(node.log_count("compiled in"), 1);
    }

    fn compiled_code_that_was_tampered_with_is_never_loaded(node, kind) {
        let echo = guest(kind, ECHO);
        type Harm = fn(&mut Vec<u8>);
        let harms: [Harm; 3] = [|code| code.truncate(code.len() / 2), |code| code[5000] ^= 1, |code| code.clear()];
        for harm in harms {
            node.deploy("echo", &echo).is_deployed();
            assert_eq!(node.undeploy("echo").status, 200);
            let path = node.files().into_iter().find(|file| file.extension().is_some_and(|it| it != "seal")).unwrap();
            let mut code = fs::read(&path).unwrap();
            harm(&mut code);
            fs::write(&path, code).unwrap();
            node.deploy("echo", &echo).is_deployed();
            assert_eq!(node.ask("echo", b"1").body_payload(), "1");
            assert_eq!(node.undeploy("echo").status, 200);
        }
        assert_eq!(node.log_count("its seal is broken"), 3);
        assert_eq!(node.log_count("compiled in"), 4);
    }
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

#[test]
fn code_that_finds_no_room_on_the_disk_is_507_and_leaves_nothing() {
    let node = Node::start_under("trap '' XFSZ", &[]);
    let longest = |bytes: Option<u64>| {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(node.pid()), Resource::Fsize, limit).unwrap();
    };
    // What is compiled of a module is longer than the module, and no file may be.
    let wasm = guest(Kind::Core, ECHO);
    longest(Some(wasm.len() as u64));
    let words = ["compiled code cannot be written", "make room"];
    node.deploy("echo", &wasm)
        .is_refused(507, "RESOURCE_EXHAUSTED", &words);
    assert_eq!(node.files(), Vec::<std::path::PathBuf>::new());
    assert_eq!(node.total_applications(), 0);
    longest(None);
    node.deploy("echo", &wasm).is_deployed();
    assert_eq!(node.ask("echo", b"1").body_payload(), "1");
}
