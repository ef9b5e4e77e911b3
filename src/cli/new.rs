//! `plexspaces new`: writes an actor to begin with, in one of four languages, and the WIT that it is compiled against.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, bail};
use argh::{ArgsInfo, FromArgs};

use super::output;

/// Write a new actor into a folder of its own.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "new",
    example = "plexspaces new --lang rust greeter"
)]
pub struct New {
    /// rust, python, typescript or go
    #[argh(option)]
    lang: Language,
    /// the actor's name: 1 to 64 letters, digits, - and _, the first one a letter
    #[argh(positional)]
    name: String,
}

#[derive(Clone, Copy)]
enum Language {
    Rust,
    Python,
    TypeScript,
    Go,
}

/// A file's path in the new folder, and its text.
type File = (&'static str, &'static str);

/// What stands in the templates for the name, as it is and as Rust spells files.
const PLACEHOLDER: &str = "my-actor";
const PLACEHOLDER_IN_FILES: &str = "my_actor";

macro_rules! template {
    ($language:literal: $($path:literal)*) => {
        &[$((
            $path,
            include_str!(concat!("../../examples/templates/", $language, "/", $path)),
        )),*]
    };
}

macro_rules! wit {
    ($($name:literal)*) => {
        &[$((
            concat!("wit/", $name, ".wit"),
            include_str!(concat!("../../wit/plexspaces-actor/", $name, ".wit")),
        )),*]
    };
}

const RUST: &[File] = template!("rust": "Cargo.toml" "src/lib.rs" "README.md" "gitignore");
const PYTHON: &[File] = template!("python": "actor.py" "README.md" "gitignore");
const TYPESCRIPT: &[File] =
    template!("typescript": "actor.ts" "package.json" "README.md" "gitignore");
const GO: &[File] = template!("go": "actor.go" "go.mod" "README.md" "gitignore");

#[rustfmt::skip]
const WIT: &[File] = wit!(
    "actor" "blob" "channels" "conversation" "durability" "keyvalue" "locks" "logging" "messaging" "process-groups"
    "registry" "tuplespace" "types" "workflow" "world"
);

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "rust" => Ok(Self::Rust),
            "python" => Ok(Self::Python),
            "typescript" => Ok(Self::TypeScript),
            "go" => Ok(Self::Go),
            _ => Err(format!(
                "{text:?} is no language known here; use rust, python, typescript or go"
            )),
        }
    }
}

impl Language {
    fn files(self) -> impl Iterator<Item = &'static File> {
        let (template, wit) = match self {
            Self::Rust => (RUST, WIT),
            Self::Python => (PYTHON, WIT),
            Self::TypeScript => (TYPESCRIPT, WIT),
            // A core module needs none.
            Self::Go => (GO, &[][..]),
        };
        template.iter().chain(wit)
    }
}

impl New {
    pub fn run(&self) -> anyhow::Result<()> {
        check_name(&self.name)?;
        self.write(Path::new(&self.name))?;
        output::text(&format!(
            "{0}/ is there; {0}/README.md says how to build, deploy and ask it:\n\n{1}",
            self.name,
            self.commands()
        ))
    }

    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir(folder).with_context(|| {
            format!(
                "cannot make the folder {}; choose another name, or remove what is there",
                folder.display()
            )
        })?;
        for (path, text) in self.lang.files() {
            let hidden = path.replace("gitignore", ".gitignore");
            let file = folder.join(hidden);
            let inner = file.parent().expect("it lies in the folder");
            fs::create_dir_all(inner)
                .and_then(|()| fs::write(&file, self.named(text)))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }

    fn named(&self, text: &str) -> String {
        text.replace(PLACEHOLDER_IN_FILES, &self.name.replace('-', "_"))
            .replace(PLACEHOLDER, &self.name)
    }

    /// The README's commands: what stands between its fences, behind the way into the folder.
    fn commands(&self) -> String {
        let readme = self.lang.files().find(|(path, _)| *path == "README.md");
        let (_, readme) = readme.expect("every template has one");
        let fenced = readme.split("```bash\n").skip(1);
        let blocks = fenced.filter_map(|rest| rest.split_once("```"));
        let blocks: Vec<&str> = blocks.map(|(block, _)| block).collect();
        self.named(&format!("cd {PLACEHOLDER}\n{}", blocks.join("")))
    }
}

/// A name that is a folder's, a package's in every language, and an application's.
fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts || name.len() > 64 || !name.chars().all(fits) {
        bail!(
            "{name:?} is no name for an actor; use 1 to 64 letters, digits, - and _, the first one a letter"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_fit_everywhere() {
        let check = |name: &str, fits: bool| assert_eq!(check_name(name).is_ok(), fits, "{name:?}");
        for good in ["a", "greeter", "my-actor_2", &"a".repeat(64)] {
            check(good, true);
        }
        for bad in ["", "2nd", "-a", "..", "a/b", "a b", "é", &"a".repeat(65)] {
            check(bad, false);
        }
    }

    #[test]
    fn every_interface_is_written_out() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/wit/plexspaces-actor");
        let entries = fs::read_dir(folder).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| format!("wit/{}", entry.unwrap().file_name().to_str().unwrap()))
            .collect();
        files.sort();
        let embedded: Vec<_> = WIT.iter().map(|(path, _)| *path).collect();
        assert_eq!(files, embedded);
    }
}
