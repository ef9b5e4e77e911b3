//! `plexspaces new`: what it writes, and when it refuses. `scripts/first-actor.sh` builds, deploys and asks it.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Runs it in this folder: the exit code, and all that it said.
fn new(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_plexspaces"))
        .arg("new")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn an_actor_is_written_in_each_language_with_its_commands() {
    let dir = TempDir::new().unwrap();
    let check = |language: &str, source: &str, build: &str, has_wit: bool| {
        let name = format!("wave_to-{language}");
        let (code, said) = new(dir.path(), &["--lang", language, &name]);
        assert_eq!(code, Some(0), "{said}");
        let folder = dir.path().join(&name);
        assert!(folder.join(source).is_file(), "no {source}");
        assert!(folder.join(".gitignore").is_file());
        assert_eq!(folder.join("wit/world.wit").is_file(), has_wit);
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        for command in [build, &format!("\"name={name}\"")] {
            assert!(said.contains(command), "{command} is not in {said}");
            assert!(readme.contains(command), "{command} is not in {readme}");
        }
        assert!(!readme.contains("my-actor") && !readme.contains("my_actor"));
    };
    check(
        "rust",
        "src/lib.rs",
        "cargo build --target wasm32-wasip2 --release",
        true,
    );
    check("python", "actor.py", "componentize-py --wit-path wit", true);
    check("typescript", "actor.ts", "npm run build", true);
    check("go", "actor.go", "go build -buildmode=c-shared", false);
    let cargo = fs::read_to_string(dir.path().join("wave_to-rust/README.md")).unwrap();
    assert!(cargo.contains("release/wave_to_rust.wasm"), "{cargo}");
}

#[test]
fn what_is_there_is_left_alone() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("greeter"), "mine").unwrap();
    let (code, said) = new(dir.path(), &["--lang", "go", "greeter"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("greeter; choose another name"), "{said}");
    assert_eq!(fs::read(dir.path().join("greeter")).unwrap(), b"mine");
}

#[test]
fn other_languages_and_names_are_refused_with_those_that_fit() {
    let dir = TempDir::new().unwrap();
    let (code, said) = new(dir.path(), &["--lang", "cobol", "greeter"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("rust, python, typescript or go"), "{said}");
    for name in ["../greeter", "2nd", "a b", ""] {
        let (code, said) = new(dir.path(), &["--lang", "rust", name]);
        assert_eq!(code, Some(1), "{name:?}");
        assert!(said.contains("use 1 to 64 letters"), "{said}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
