//! Random guests: whatever a module holds, the node answers it in words of the contract and serves its neighbour on.
//!
//! wasm-smith fills the shape of a guest, its imports and exports, with random code, so that the code is reached by
//! every way into a guest and calls every host function with arguments nobody would write. A few seeds run here;
//! `scripts/fuzz-guests.sh` runs more.

use std::env;

use arbitrary::Unstructured;
use wasm_smith::{Config, Module};
use wasmparser::{Parser, Payload};

use crate::guests::{CAT, ECHO, guest};
use crate::harness::{Answer, Node, node};
use plexspaces_node::wasm::Kind;

/// How many modules of each shape, unless `FUZZ_COUNT` says otherwise; they start at `FUZZ_SEED`.
const COUNT: u64 = 20;

/// Bytes from which one module is made.
const RANDOM_BYTES: usize = 4096;

#[test]
fn random_core_modules_end_in_words_of_the_contract() {
    let shape = guest(Kind::Core, ECHO);
    assert_ne!(attack("core", |bytes| smith(callable(&shape), bytes)), 0);
}

#[test]
fn random_core_modules_without_an_allocator_end_in_words_of_the_contract() {
    let text = r#"(module
        (import "plexspaces" "log" (func (param i32 i32)))
        (import "plexspaces" "ask" (func (param i32 i32 i32 i32 i32 i32 i64 i32) (result i32)))
        (import "plexspaces" "self_id" (func (param i32) (result i32)))
        (import "plexspaces" "fail" (func (param i32 i32)))
        (memory (export "memory") 1)
        (func (export "init") (param i32 i32))
        (func (export "handle_message") (param i32 i32 i32 i32 i32 i32) (result i32 i32) unreachable)
        (func (export "handle_call") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable)
        (func (export "snapshot_state") (result i64) unreachable)
        (func (export "shutdown")))"#;
    let shape = wat::parse_str(text).unwrap();
    assert_ne!(attack("bare", |bytes| smith(callable(&shape), bytes)), 0);
}

#[test]
fn random_components_end_in_words_of_the_contract() {
    let whole = guest(Kind::Component, ECHO);
    let shape = &whole[last_core_module(&whole)];
    let dressed = |bytes: &[u8]| with_last_core_module(&whole, &smith(callable(shape), bytes));
    assert_ne!(attack("component", dressed), 0);
}

#[test]
fn random_commands_end_in_words_of_the_contract() {
    let shape = guest(Kind::Command, CAT);
    assert_ne!(attack("command", |bytes| smith(callable(&shape), bytes)), 0);
}

/// All that WebAssembly has, also what this node's engine does not run; few of these have a handler.
#[test]
fn random_modules_of_any_shape_end_in_words_of_the_contract() {
    attack("any", |bytes| smith(Config::default(), bytes));
}

/// Deploys, asks and undeploys module after module; says how many of them ran.
fn attack(shape: &str, make: impl Fn(&[u8]) -> Vec<u8>) -> usize {
    let node = node();
    node.deploy("neighbour", &guest(Kind::Core, ECHO))
        .is_deployed();
    let setting = |name, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seed, count) = (setting("FUZZ_SEED", 0), setting("FUZZ_COUNT", COUNT));
    let survives = |seed: &u64| {
        let name = format!("{shape}-{seed}");
        // Shown when the test fails: how to see this one again.
        eprintln!("FUZZ_SEED={seed} FUZZ_COUNT=1, shape {shape}");
        let ran = survives(&node, &name, &make(&random(*seed)));
        assert_eq!(node.ask("neighbour", b"fine").body_payload(), "fine");
        ran
    };
    let ran = (seed..seed + count).filter(survives).count();
    eprintln!("{ran} of {count} ran");
    ran
}

/// Whether the module ran at all.
fn survives(node: &Node, name: &str, wasm: &[u8]) -> bool {
    let limits = "[limits]\nmax_execution_time = '20ms'\nmax_memory_bytes = 4194304";
    let deployed = node.form(name, wasm).config(limits).send();
    is_one_of(&deployed, &[200, 422]);
    if deployed.status == 422 {
        return false;
    }
    for payload in [&b""[..], b"{\"operation\":\"add\"}", &[0xff; 5000]] {
        let timeout = [("x-timeout-ms", "200")];
        let answer = node.ask_with(name, &timeout, payload);
        is_one_of(&answer, &[200, 502, 503, 504]);
        if answer.status == 504 {
            // It waits for what does not come. Undeploying it would take its whole grace.
            return true;
        }
    }
    is_one_of(&node.undeploy(name), &[200]);
    true
}

#[track_caller]
fn is_one_of(answer: &Answer, statuses: &[u16]) {
    assert!(statuses.contains(&answer.status), "{answer:?}");
    assert_ne!(answer.json()["code"], "INTERNAL", "{answer:?}");
}

/// Random code within this shape, of what the node's engine runs.
fn callable(shape: &[u8]) -> Config {
    Config {
        module_shape: Some(shape.to_vec()),
        exceptions_enabled: false,
        gc_enabled: false,
        reference_types_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        max_table_elements: 1_000,
        ..Config::default()
    }
}

fn smith(config: Config, bytes: &[u8]) -> Vec<u8> {
    let module = Module::new(config, &mut Unstructured::new(bytes));
    module.unwrap().to_bytes()
}

/// The same for the same seed, on every machine.
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..RANDOM_BYTES).map(|_| byte()).collect()
}

/// Where the last core module of a component lies.
fn last_core_module(component: &[u8]) -> std::ops::Range<usize> {
    let modules = Parser::new(0).parse_all(component);
    let modules = modules.filter_map(|payload| match payload.unwrap() {
        Payload::ModuleSection {
            unchecked_range, ..
        } => Some(unchecked_range),
        _ => None,
    });
    modules.last().unwrap()
}

/// The component with another module in the place of its last one.
fn with_last_core_module(component: &[u8], module: &[u8]) -> Vec<u8> {
    let old = last_core_module(component);
    let head = old.start - 1 - leb128(old.len()).len();
    assert_eq!(component[head], 1, "no core module section starts here");
    let (before, after) = (&component[..=head], &component[old.end..]);
    [before, &leb128(module.len()), module, after].concat()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
