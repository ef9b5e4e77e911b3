//! Every function that a guest may import, counted: in `wit/`, in the node's catalogue, in the guests that call it.
//!
//! The table in `docs/polyglot.md` is made here: `UPDATE=1 cargo test --test it published` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use wit_component::{DecodedWasm, decode};
use wit_parser::{Resolve, WorldId, WorldItem};

/// The functions of each interface.
type Functions = BTreeMap<String, BTreeSet<String>>;

/// Interfaces that the node does not provide. What is provided leaves this list, and gets a line in `TESTS`.
const NOT_PROVIDED: &[&str] = &[];

/// The interfaces that the guest in Python calls too, each in a file of its name.
const IN_PYTHON: &[&str] = &[
    "channels",
    "keyvalue",
    "locks",
    "messaging",
    "process-groups",
    "tuplespace",
];

/// Reads what that guest reports.
const PYTHON_TEST: &str =
    "conformance::every_function_that_most_actors_use_keeps_its_word_in_python";

/// The test that reads what a guest reports of an interface.
struct Tested {
    interface: &'static str,
    /// The guest, built by `tests/guests/build.sh`.
    guest: &'static str,
    /// The message by which the report is asked for.
    asked: &'static str,
    test: &'static str,
}

const fn tested(
    interface: &'static str,
    guest: &'static str,
    asked: &'static str,
    test: &'static str,
) -> Tested {
    Tested {
        interface,
        guest,
        asked,
        test,
    }
}

#[rustfmt::skip]
const TESTS: &[Tested] = &[
    tested("logging", "conformance", "logging", "conformance::spans_are_timed_and_counted_and_stand_in_the_log"),
    tested("messaging", "conformance", "messaging", "conformance::every_function_of_messaging_and_of_the_conversation_keeps_its_word"),
    tested("tuplespace", "conformance", "tuplespace", "conformance::every_function_of_the_tuple_space_keeps_its_word"),
    tested("channels", "conformance", "channels", "conformance::every_function_of_the_channels_keeps_its_word"),
    tested("durability", "conformance", "durability", "conformance::every_function_of_the_journal_keeps_its_word"),
    tested("blob", "conformance", "blob", "conformance::every_function_of_the_blobs_keeps_its_word"),
    tested("keyvalue", "conformance", "keyvalue", "conformance::every_function_of_the_keys_keeps_its_word"),
    tested("process-groups", "conformance", "process-groups", "conformance::every_function_of_the_process_groups_keeps_its_word"),
    tested("locks", "conformance", "locks", "conformance::every_function_of_the_locks_keeps_its_word"),
    tested("registry", "conformance", "registry", "conformance::every_function_of_the_registry_keeps_its_word"),
    tested("conversation", "conformance", "messaging", "conformance::every_function_of_messaging_and_of_the_conversation_keeps_its_word"),
    tested("workflow", "conformance", "workflow", "workflows::every_function_of_the_workflows_keeps_its_word"),
    tested("host", "older", "check", "older::every_function_of_the_older_interface_keeps_its_word"),
];

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What a world imports of `plexspaces:actor`.
fn imports(resolve: &Resolve, world: WorldId) -> Functions {
    let interfaces = resolve.worlds[world].imports.values().filter_map(|item| {
        let WorldItem::Interface { id, .. } = item else {
            return None;
        };
        let interface = &resolve.interfaces[*id];
        let package = &resolve.packages[interface.package?].name;
        let ours = package.namespace == "plexspaces" && package.name == "actor";
        let functions: BTreeSet<_> = interface.functions.keys().cloned().collect();
        // An interface of types alone is not called.
        (ours && !functions.is_empty()).then(|| (interface.name.clone().unwrap(), functions))
    });
    interfaces.collect()
}

/// What all worlds of a package import together.
fn importable(wit: &str) -> Functions {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(path(wit)).unwrap();
    let worlds = resolve.packages[package].worlds.values();
    worlds.flat_map(|world| imports(&resolve, *world)).collect()
}

/// All there is to import, of the package and of its older edition.
fn published() -> Functions {
    let mut all = importable("wit/plexspaces-actor");
    all.extend(importable("wit/plexspaces-actor-older"));
    all
}

fn count(functions: &Functions) -> usize {
    functions.values().map(BTreeSet::len).sum()
}

/// Without what is not provided.
fn provided(mut functions: Functions) -> Functions {
    for interface in NOT_PROVIDED {
        let removed = functions.remove(*interface);
        assert!(removed.is_some(), "no interface {interface}");
    }
    functions
}

/// The texts between quotes behind this one, up to the end of the list that it opens.
fn listed(text: &str, opening: &str) -> BTreeSet<String> {
    let (_, rest) = text
        .split_once(opening)
        .unwrap_or_else(|| panic!("no {opening}"));
    let list = rest.split("];").next().unwrap();
    let quoted = list.split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// What the node's catalogue says it provides: interface by interface, the list that its file has.
fn catalogue() -> Functions {
    let text = read("src/wasm/host/catalogue.rs");
    let entries = text.split("Interface {\n        name: \"").skip(1);
    let interface = |entry: &str| {
        let (name, rest) = entry.split_once('"').unwrap();
        let (_, rest) = rest.split_once(" functions: ").unwrap();
        let (room, _) = rest.split_once("::FUNCTIONS").unwrap();
        let file = read(&format!("src/wasm/host/{room}.rs"));
        let functions = listed(&file, "pub const FUNCTIONS: &[&str] = &[");
        (name.to_owned(), functions)
    };
    entries.map(interface).collect()
}

#[test]
fn the_published_package_has_ninety_nine_functions_to_import() {
    let mut newer = importable("wit/plexspaces-actor");
    let own = newer.remove("conversation").unwrap();
    assert_eq!((newer.len(), count(&newer)), (11, 99), "{newer:#?}");
    assert_eq!(own.len(), 2, "this node's own addition");
    let older = importable("wit/plexspaces-actor-older");
    assert_eq!((older.len(), older["host"].len()), (1, 15), "{older:#?}");
}

#[test]
fn the_catalogue_provides_every_function_but_those_known_to_be_missing() {
    assert_eq!(catalogue(), provided(published()));
}

#[test]
fn every_function_that_is_provided_is_called_by_a_guest_of_the_tests() {
    let mut called = Functions::new();
    for guest in ["conformance", "older"] {
        let Ok(wasm) = fs::read(path(&format!("tests/guests/built/{guest}.wasm"))) else {
            // `scripts/test.sh` builds it where it can, and says so where it cannot.
            assert!(
                std::env::var_os("CI").is_none(),
                "tests/guests/build.sh has not run"
            );
            eprintln!("skipped: tests/guests/build.sh has not run");
            return;
        };
        // What a guest of Rust never calls, its linker leaves out.
        let Ok(DecodedWasm::Component(resolve, world)) = decode(&wasm) else {
            panic!("{guest} is no component");
        };
        called.extend(imports(&resolve, world));
    }
    assert_eq!(called, provided(published()));
}

/// The text of a test, from its attribute to its end.
fn text_of(test: &str) -> String {
    let (file, function) = test.split_once("::").unwrap();
    let text = read(&format!("tests/it/{file}.rs"));
    let opening = format!("#[test]\nfn {function}() {{\n");
    let (_, rest) = text
        .split_once(&opening)
        .unwrap_or_else(|| panic!("no test {test}"));
    rest.split("\n}\n").next().unwrap().to_owned()
}

#[test]
fn each_interface_has_a_test_that_reads_the_report() {
    let of: BTreeSet<_> = TESTS.iter().map(|it| it.interface.to_owned()).collect();
    let wanted: BTreeSet<_> = provided(published()).into_keys().collect();
    assert_eq!(of, wanted);
    for tested in TESTS {
        let text = text_of(tested.test);
        let asked = format!("{:?}", tested.asked);
        assert!(
            text.contains(&asked),
            "{} does not ask for {asked}",
            tested.test
        );
        let source = read(&format!("tests/guests/{}/src/lib.rs", tested.guest));
        assert!(
            source.contains(&format!("{asked} =>")),
            "{} does not know {asked}",
            tested.guest
        );
    }
}

#[test]
fn the_guest_in_python_calls_every_function_of_its_interfaces() {
    let read_by = text_of(PYTHON_TEST);
    for &interface in IN_PYTHON {
        let file = interface.replace('-', "_");
        let source = read(&format!("tests/guests/conformance_python/checks/{file}.py"));
        for function in &published()[interface] {
            let name = function.replace('-', "_");
            let called = source
                .split(&format!(".{name}"))
                .skip(1)
                .any(|rest| rest.starts_with(['(', ',', ')']));
            assert!(called, "{interface}.{function} is not called in Python");
        }
        assert!(read_by.contains(&format!("{interface:?}")), "{interface}");
    }
}

/// A row for each function.
fn table() -> String {
    let mut table = "\n| function | called by | and read by |\n| --- | --- | --- |\n".to_owned();
    for (interface, functions) in published() {
        let tested = TESTS.iter().find(|it| it.interface == interface);
        let (guest, test) = tested.map_or(("", ""), |it| (it.guest, it.test));
        let marked = |text: &str| match text {
            "" => "not provided yet".to_owned(),
            text => format!("`{text}`"),
        };
        let python = IN_PYTHON.contains(&&*interface);
        for function in functions {
            let (mut guest, test) = (marked(guest), marked(test));
            if python {
                guest += " `conformance_python`";
            }
            writeln!(table, "| `{interface}.{function}` | {guest} | {test} |").unwrap();
        }
    }
    table
}

#[test]
fn the_page_lists_every_function_with_its_test() {
    const MARK: &str = "<!-- functions: made by tests/it/published.rs -->\n";
    let page = read("docs/polyglot.md");
    let (above, written) = page.split_once(MARK).expect("the mark of the table");
    let table = table();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path("docs/polyglot.md"), format!("{above}{MARK}{table}")).unwrap();
        return;
    }
    assert!(
        written == table,
        "the table in docs/polyglot.md is not up to date; it should be:\n{table}"
    );
}
