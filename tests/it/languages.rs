//! Guests in every language, built by `scripts/build_examples.sh`: what they answer, what outlives a stop, and how they break.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Answer, Node, node};
use crate::readmes::follow;

/// A module of the polyglot example, as `application` is deployed of it.
struct Greeter {
    application: &'static str,
    module: &'static str,
    language: &'static str,
    kind: &'static str,
}

const fn greeter(
    application: &'static str,
    module: &'static str,
    language: &'static str,
    kind: &'static str,
) -> Greeter {
    Greeter {
        application,
        module,
        language,
        kind,
    }
}

const RUST: Greeter = greeter("rust", "rust_actor.wasm", "Rust", "component");
const PYTHON: Greeter = greeter("python", "python_actor.wasm", "Python", "component");
const TYPESCRIPT: Greeter = greeter(
    "typescript",
    "typescript_actor.wasm",
    "TypeScript",
    "component",
);
const GO: Greeter = greeter("go", "go_component.wasm", "Go", "component");
/// The published interface, all thirteen functions of it.
const PUBLISHED: Greeter = greeter("published", "python_published.wasm", "Python", "component");
const RUST_CORE: Greeter = greeter("rust-core", "rust_core.wasm", "Rust", "core");
const GO_CORE: Greeter = greeter("go-core", "go_core.wasm", "Go", "core");
const C_CORE: Greeter = greeter("c-core", "c_core.wasm", "C", "core");
const GO_COMMAND: Greeter = greeter("go-command", "go_actor.wasm", "Go", "command");
const JAVASCRIPT_COMMAND: Greeter = greeter(
    "javascript-command",
    "greeter.wasm",
    "TypeScript",
    "command",
);

/// The same program as a core module, on QuickJS.
const JAVASCRIPT_CORE_COMMAND: Greeter = greeter(
    "javascript-core",
    "greeter_core.wasm",
    "TypeScript",
    "command",
);

/// Those whose worlds have all of the node's interfaces.
const COMPONENTS: [&Greeter; 4] = [&RUST, &PYTHON, &TYPESCRIPT, &GO];

impl Greeter {
    fn path(&self) -> PathBuf {
        let modules = "examples/simple/polyglot_wasm_deployment/wasm-modules";
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(modules)
            .join(self.module)
    }

    /// Deploys it; false where it is not built, which `scripts/test.sh` sees to.
    fn runs_on(&self, node: &Node) -> bool {
        self.runs_as(self.application, node)
    }

    /// The same under another name.
    fn runs_as(&self, application: &str, node: &Node) -> bool {
        let Ok(wasm) = fs::read(self.path()) else {
            let module = self.module;
            assert!(std::env::var_os("CI").is_none(), "{module} is not built");
            eprintln!("skipped: {module} is not built; see scripts/build_examples.sh");
            return false;
        };
        node.deploy(application, &wasm).is_deployed();
        true
    }

    fn ask(&self, node: &Node, message_type: &str, payload: &str) -> Answer {
        let headers = [("x-message-type", message_type)];
        node.ask_with(self.application, &headers, payload.as_bytes())
    }

    #[track_caller]
    fn says(&self, node: &Node, message_type: &str, payload: &str, expected: &str) {
        let answer = self.ask(node, message_type, payload);
        assert_eq!(
            answer.body_payload(),
            expected,
            "{} on {message_type}",
            self.module
        );
    }

    /// Fails a message with this text, which its log then has in a line of its own.
    #[track_caller]
    fn breaks(&self, node: &Node, told: &str, logged: &[&str]) {
        let answer = self.ask(node, "crash", "as you wished");
        answer.is_refused(502, "ABORTED", &[]);
        let text = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(text.starts_with(told), "{text:?} begins otherwise");
        let log = self.log(node);
        for line in logged {
            assert!(
                log.iter().any(|it| it.contains(line)),
                "{line:?} is not in {log:#?}"
            );
        }
    }

    fn log(&self, node: &Node) -> Vec<String> {
        let answer = node.get(&format!("/api/v1/applications/{}/logs", self.application));
        let lines = answer.json()["lines"].as_array().unwrap().clone();
        let text = |line: &serde_json::Value| line["message"].as_str().unwrap().to_owned();
        lines.iter().map(text).collect()
    }
}

/// The example's list of cases: a message type, its payload, the reply in this language.
fn cases(language: &str) -> Vec<(String, String, String)> {
    let path = "examples/simple/polyglot_wasm_deployment/actors/cases.txt";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let cases: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (message, reply) = line.split_once(" => ").unwrap();
            let (kind, payload) = message.split_once(' ').unwrap_or((message, ""));
            (kind.into(), payload.into(), reply.replace("LANG", language))
        })
        .collect();
    assert!(cases.len() >= 5, "only {} cases", cases.len());
    cases
}

/// Deploys one greeter, has it answer every case, and stops it and starts it, and the node too.
fn greets_and_remembers(greeter: &Greeter) {
    let node = node();
    if !greeter.runs_on(&node) {
        return;
    }
    let shown = node.get(&format!("/api/v1/applications/{}", greeter.application));
    assert_eq!(shown.json()["kind"], greeter.kind);
    for (message_type, payload, reply) in cases(greeter.language) {
        greeter.says(&node, &message_type, &payload, &reply);
    }
    let unknown = greeter.ask(&node, "nonsense", "");
    unknown.is_refused(502, "ABORTED", &["unknown message type: nonsense"]);

    assert_eq!(node.wish(greeter.application, "stop").status, 200);
    assert_eq!(node.wish(greeter.application, "start").status, 200);
    greeter.says(&node, "count", "", "4");
    let node = Node::again(node.stop());
    greeter.says(&node, "count", "", "4");
    assert_eq!(node.undeploy(greeter.application).status, 200);
    assert!(greeter.runs_on(&node));
    greeter.says(&node, "count", "", "0");
}

#[test]
fn a_rust_component_greets_and_remembers() {
    greets_and_remembers(&RUST);
}

#[test]
fn a_python_component_greets_and_remembers() {
    greets_and_remembers(&PYTHON);
}

#[test]
fn a_typescript_component_greets_and_remembers() {
    greets_and_remembers(&TYPESCRIPT);
}

#[test]
fn a_go_component_greets_and_remembers() {
    greets_and_remembers(&GO);
}

#[test]
fn a_component_of_the_published_interface_greets_and_remembers() {
    greets_and_remembers(&PUBLISHED);
}

#[test]
fn a_rust_core_module_greets_and_remembers() {
    greets_and_remembers(&RUST_CORE);
}

#[test]
fn a_go_core_module_greets_and_remembers() {
    greets_and_remembers(&GO_CORE);
}

#[test]
fn a_c_core_module_greets_and_remembers() {
    greets_and_remembers(&C_CORE);
}

#[test]
fn commands_in_go_and_javascript_answer() {
    let node = node();
    for greeter in [&GO_COMMAND, &JAVASCRIPT_COMMAND, &JAVASCRIPT_CORE_COMMAND] {
        if !greeter.runs_on(&node) {
            continue;
        }
        let shown = node.get(&format!("/api/v1/applications/{}", greeter.application));
        assert_eq!(shown.json()["kind"], greeter.kind);
        for name in ["Ada", "Zo\u{eb} \u{1f980}"] {
            let expected = format!("Hello, {name}, from {}!", greeter.language);
            greeter.says(&node, "call", name, &expected);
        }
    }
}

#[test]
fn messages_and_notes_pass_between_languages_and_what_breaks_one_is_said_first() {
    let node = node();
    // One node for both: a Python component takes longer to compile than all the rest of this file.
    if COMPONENTS.iter().all(|greeter| greeter.runs_on(&node)) {
        messages_pass(&node);
        notes_pass(&node);
        what_breaks_is_said_first_and_logged_whole(&node);
    }
}

fn messages_pass(node: &Node) {
    let number_one = |who: &str, by: &str| format!("Hello, {who}, from {by}! You are number 1.");
    RUST.says(node, "ask", "python", &number_one("Rust", "Python"));
    PYTHON.says(node, "ask", "go", &number_one("Python", "Go"));
    TYPESCRIPT.says(node, "ask", "rust", &number_one("TypeScript", "Rust"));
    // What is told lies in the mailbox before what is asked after.
    GO.says(node, "tell", "typescript", "told typescript");
    TYPESCRIPT.says(node, "count", "", "1");
    for greeter in COMPONENTS {
        let nobody = greeter.ask(node, "ask", "nobody");
        nobody.is_refused(502, "ABORTED", &["no actor \"nobody\""]);
    }
}

/// Everybody leaves a note, and another one takes it.
fn notes_pass(node: &Node) {
    for (index, leaves) in COMPONENTS.iter().enumerate() {
        let takes = COMPONENTS[(index + 1) % COMPONENTS.len()];
        leaves.says(node, "leave", "for you \u{1f980}", "left a note");
        let expected = format!("{} left: for you \u{1f980}", leaves.language);
        takes.says(node, "take", "", &expected);
        leaves.says(node, "take", "", "no note");
    }
}

fn what_breaks_is_said_first_and_logged_whole(node: &Node) {
    RUST.breaks(
        node,
        "panicked at src/lib.rs:",
        &["panicked at src/lib.rs:", "as you wished"],
    );
    PYTHON.breaks(
        node,
        "RuntimeError: as you wished (",
        &[
            "Traceback (most recent call last):",
            "greeter_actor.py\", line",
            "RuntimeError: as you wished",
        ],
    );
    TYPESCRIPT.breaks(
        node,
        "Error: as you wished",
        &["Error: as you wished", "at answer (", "at handleRequest ("],
    );
    GO.breaks(
        node,
        "panic: as you wished (",
        &["panic: as you wished", "goroutine 1 [running]:"],
    );
    // A trap ends the actor, and another begins; what JavaScript throws is an error like any other.
    for greeter in [&RUST, &PYTHON, &GO] {
        greeter.says(node, "count", "", "0");
    }
    TYPESCRIPT.says(node, "count", "", "1");
    // The node's log has what went wrong in a line of its own, and no frame of it.
    node.log_says("of application rust trapped while handling a message: panicked at src/lib.rs:");
    node.log_says(
        "of application python trapped while handling a message: RuntimeError: as you wished (",
    );
    for frame in ["greeter_actor.py\", line", "greeter.go:", "wasm backtrace"] {
        let guests = node.log_lines(frame);
        assert!(guests.is_empty(), "{frame}: {guests:?}");
    }
}

#[test]
fn core_modules_tell_other_languages() {
    let node = node();
    let all = [&RUST, &RUST_CORE, &GO_CORE, &C_CORE];
    if !all.iter().all(|greeter| greeter.runs_on(&node)) {
        return;
    }
    for (index, greeter) in all[1..].iter().enumerate() {
        greeter.says(&node, "tell", "rust", "told rust");
        RUST.says(&node, "count", "", &(index + 1).to_string());
    }
}

#[test]
fn a_javascript_command_that_throws_says_where() {
    let node = node();
    for greeter in [&JAVASCRIPT_COMMAND, &JAVASCRIPT_CORE_COMMAND] {
        if greeter.runs_on(&node) {
            let answer = greeter.ask(&node, "call", "[1, 2]");
            answer.is_refused(502, "ABORTED", &["TypeError: a name is a text", " at "]);
        }
    }
}

#[test]
fn state_passes_from_one_language_to_another() {
    let node = node();
    let initial = |greeter: &Greeter| fs::read(greeter.path());
    let (Ok(rust), Ok(c)) = (initial(&RUST), initial(&C_CORE)) else {
        assert!(std::env::var_os("CI").is_none(), "not all are built");
        return;
    };
    node.deploy("greeter", &rust).is_deployed();
    let greet = |expected: &str| assert_eq!(node.ask("greeter", b"Ada").body_payload(), expected);
    greet("Hello, Ada, from Rust! You are number 1.");
    node.form("greeter", &c)
        .field("version", "2.0.0")
        .send()
        .is_deployed();
    greet("Hello, Ada, from C! You are number 2.");
}

#[test]
fn each_language_is_deployed_and_asked_as_the_page_says_with_curl_and_from_the_command_line() {
    let node = node();
    let readme = RUST.path().with_file_name("../README.md");
    let all = [&RUST, &PYTHON, &JAVASCRIPT_COMMAND, &GO, &C_CORE];
    // Each module is compiled once, since an application of it stays.
    let stays =
        |greeter: &&Greeter| greeter.runs_as(&format!("kept-{}", greeter.application), &node);
    if !all.iter().all(stays) {
        return;
    }
    for heading in ["Deploy", "Deploy from the command line"] {
        assert_eq!(follow(&node, &readme, heading), all.len());
        assert!(follow(&node, &readme, "Ask") > all.len());
        assert_eq!(node.total_applications(), 2 * all.len() as u64);
        for name in [
            "rust-actor",
            "python-actor",
            "greeter",
            "go-actor",
            "c-actor",
        ] {
            assert_eq!(node.undeploy(name).status, 200, "{name}");
        }
    }
}

/// A component that imports this instance, and answers nothing.
fn importing(name: &str, functions: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "{name}" (instance {functions}))
            (core module $guest
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                (func (export "act") (param i32 i32) (result i32) (i32.const 0)))
            (core instance $guest (instantiate $guest))
            (alias core export $guest "memory" (core memory $memory))
            (alias core export $guest "realloc" (core func $realloc))
            (func (export "handle-request") (param "payload" (list u8)) (result (list u8))
                (canon lift (core func $guest "act") (memory $memory) (realloc $realloc))))"#
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn components_import_wasi_of_every_version_0_2_and_unknown_functions_are_named_one_by_one() {
    let node = node();
    let random = r#"(export "get-random-u64" (func (result u64)))"#;
    for patch in 0..=12 {
        let wasm = importing(&format!("wasi:random/random@0.2.{patch}"), random);
        node.deploy("random", &wasm).is_deployed();
        assert_eq!(node.undeploy("random").status, 200);
    }
    let later = importing("wasi:random/random@0.3.0", random);
    node.deploy("random", &later).is_refused(
        422,
        "INVALID_ARGUMENT",
        &["wasi:random/random@0.3.0#get-random-u64"],
    );
    let made_up = r#"(export "dig" (func)) (export "fill" (func))"#;
    let unknown = importing("plexspaces:actor/shovel@0.1.0", made_up);
    node.deploy("digger", &unknown).is_refused(
        422,
        "INVALID_ARGUMENT",
        &["plexspaces:actor/shovel@0.1.0#dig", "shovel@0.1.0#fill"],
    );
}
