//! The house style, where a test can hold it: floors, and the opening sentence of every file.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        // What cargo built of a guest's workspace is nobody's writing.
        if path.is_dir() && path.file_name().is_some_and(|it| it == "target") {
            continue;
        }
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    files
}

/// The rooms of `lib.rs` with their floors.
fn floors() -> Vec<(String, usize)> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut floors = Vec::new();
    let mut floor = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("// floor ") {
            floor = Some(rest.split(':').next().unwrap().parse().unwrap());
        } else if let Some(room) = line.strip_prefix("pub mod ") {
            floors.push((
                room.trim_end_matches(';').to_owned(),
                floor.expect("a room stands below its floor"),
            ));
        }
    }
    floors
}

/// The rooms that a file's code uses, by `crate::room`.
fn used_rooms(text: &str) -> Vec<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let uses = code.flat_map(|line| line.split("crate::").skip(1));
    uses.map(|rest| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap()
            .to_owned()
    })
    .collect()
}

#[test]
fn a_room_uses_only_its_own_floor_and_those_above_it() {
    let floors = floors();
    let floor_of = |room: &str| {
        floors
            .iter()
            .find(|(known, _)| known == room)
            .map(|(_, floor)| *floor)
    };
    let mut upward = Vec::new();
    for path in rust_files(&root().join("src")) {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let room = inside
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        let Some(floor) = floor_of(room) else {
            continue;
        };
        for used in used_rooms(&fs::read_to_string(&path).unwrap()) {
            let words_or_self = floor == 0 || used == room;
            match floor_of(&used) {
                Some(other) if other < floor || (other == floor && words_or_self) => {}
                Some(_) => upward.push(format!("{} uses {used}", inside.display())),
                None => {}
            }
        }
    }
    assert_eq!(upward, Vec::<String>::new());
}

#[test]
fn every_room_stands_on_a_floor() {
    let floors = floors();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let room = name.trim_end_matches(".rs");
        let listed = floors.iter().any(|(known, _)| known == room);
        assert!(
            listed || ["lib", "main"].contains(&room),
            "src/{name} is not in lib.rs"
        );
    }
}

/// What somebody else wrote is read by its keys alone: `strict` refuses the lists that serde would take for structs.
#[test]
fn toml_is_read_in_one_way() {
    for path in rust_files(&root().join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let reads = ["toml::from_str", "toml::de::from_", "try_into::<Written>"];
        let strict = path.ends_with("src/strict.rs");
        let reads = reads.iter().any(|it| text.contains(it));
        assert!(
            strict || !reads,
            "{} reads TOML past strict.rs",
            path.display()
        );
    }
}

#[test]
fn every_file_opens_with_a_sentence() {
    for dir in ["src", "tests"] {
        for path in rust_files(&root().join(dir)) {
            let text = fs::read_to_string(&path).unwrap();
            let opening: Vec<&str> = text
                .lines()
                .take_while(|line| line.starts_with("//! "))
                .collect();
            let sentence = opening.join(" ");
            let whole =
                sentence.ends_with(['.', '!', '?', '*', '`', ':']) || sentence.contains(". ");
            assert!(
                !opening.is_empty() && whole,
                "{} opens with {opening:?}",
                path.display()
            );
        }
    }
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let output = std::process::Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    let files = String::from_utf8(output.stdout).unwrap();
    for file in files
        .split('\0')
        .filter(|file| !file.is_empty() && !file.ends_with(".wasm"))
    {
        let Ok(text) = fs::read_to_string(root().join(file)) else {
            continue;
        };
        for phrase in [
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("unimplemented", "!("),
        ] {
            assert!(!text.contains(phrase), "{file} holds {phrase}");
        }
    }
}

/// The crates of the lock file, as cargo describes them.
fn packages() -> Vec<serde_json::Value> {
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let output = std::process::Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    metadata["packages"].as_array().unwrap().clone()
}

fn policy() -> toml::Table {
    fs::read_to_string(root().join(".deny.toml"))
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let policy = policy();
    let allowed: Vec<&str> = policy["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it.as_str())
        .collect();
    let permits = |licence: &str| {
        // One way out of several is enough, and all parts of it must be allowed.
        licence
            .replace('/', " OR ")
            .replace(['(', ')'], "")
            .split(" OR ")
            .any(|choice| {
                choice
                    .split(" AND ")
                    .all(|part| allowed.contains(&part.trim()))
            })
    };
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| !permits(package["license"].as_str().unwrap_or("none")))
        .map(|package| format!("{} {}", package["name"], package["license"]))
        .collect();
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn no_banned_crate_comes_in_by_the_back_door() {
    let policy = policy();
    let banned = policy["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["crate"].as_str());
    let packages = packages();
    for name in banned {
        assert!(
            !packages.iter().any(|package| package["name"] == name),
            "{name} is among the dependencies"
        );
    }
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut lines = text
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .peekable();
    let mut previous = "";
    for line in lines.by_ref().take_while(|line| *line != "[profile.dev]") {
        let dependency = line.contains(" = ") && !line.starts_with([' ', '#']);
        assert!(
            !dependency || previous.starts_with('#') || previous.contains(" = "),
            "Cargo.toml: {line} has no reason"
        );
        previous = line;
    }
}

/// The tests that a page names, as `file::function`.
fn named_tests(page: &str) -> Vec<(String, String)> {
    let marked = page.split('`').skip(1).step_by(2);
    let named = marked.filter_map(|name| name.split_once("::"));
    named
        .map(|(file, function)| (file.to_owned(), function.to_owned()))
        .collect()
}

#[test]
fn every_attack_names_a_test_that_is_there() {
    let page = fs::read_to_string(root().join("docs/attacks.md")).unwrap();
    let named = named_tests(&page);
    assert!(named.len() > 50, "the page names {} tests", named.len());
    let missing = named.iter().filter(|(file, function)| {
        let files = ["tests/it", "src"].map(|dir| root().join(dir).join(format!("{file}.rs")));
        let text = files.iter().find_map(|path| fs::read_to_string(path).ok());
        !text.is_some_and(|text| text.contains(&format!("fn {function}(")))
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
