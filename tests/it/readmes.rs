//! The commands of the examples' READMEs, run as they are printed, with the answers that stand below them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::Node;

/// A command, and the answer that the page promises, if it does.
struct Step {
    command: String,
    answer: Option<String>,
}

/// What stands below this heading, up to the next of its kind.
fn section(page: &str, heading: &str) -> String {
    let (_, rest) = page
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("no section {heading}"));
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The commands in the shell blocks of a text, but for those that start a node: there is one.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let blocks = text.split("```bash\n").skip(1);
    for block in blocks.map(|rest| rest.split("```").next().unwrap()) {
        let mut open = false;
        for line in block.lines() {
            // An empty line of an answer is a bare mark.
            let answer = line.strip_prefix("# ").or((line == "#").then_some(""));
            match answer {
                Some(answer) => {
                    let step = steps.last_mut().expect("a command stands before an answer");
                    let above = step.answer.take().map(|it| it + "\n").unwrap_or_default();
                    step.answer = Some(above + answer);
                }
                None if open => {
                    let step = steps.last_mut().unwrap();
                    step.command += &format!("\n{line}");
                }
                None if line.is_empty() => {}
                None => steps.push(Step {
                    command: line.to_owned(),
                    answer: None,
                }),
            }
            open = line.ends_with('\\');
        }
    }
    steps.retain(|step| !step.command.starts_with("cargo run"));
    steps
}

/// Whether an answer is what a page shows, where `…` stands for what differs from time to time.
fn fits(answer: &str, shown: &str) -> bool {
    let mut rest = answer;
    for (index, part) in shown.split('…').enumerate() {
        match rest.find(part) {
            Some(at) if index > 0 || at == 0 => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || shown.ends_with('…')
}

impl Step {
    /// Whether it only asks, so that it may be asked until the answer is there.
    fn looks(&self) -> bool {
        let curl = self.command.starts_with("curl ")
            && ![" -X ", " -d ", " -F ", " --data-binary "]
                .iter()
                .any(|flag| self.command.contains(flag));
        curl || self.command.starts_with("plexspaces workflow status ")
    }

    /// Runs it in this folder, and gives what it printed.
    fn run(&self, node: &Node, folder: &Path) -> String {
        let here = format!("http://{}", node.http);
        let command = self.command.replace("http://localhost:8001", &here);
        let programs = Path::new(env!("CARGO_BIN_EXE_plexspaces")).parent();
        let output = Command::new("bash")
            .args(["-c", &format!("PATH=$PROGRAMS:$PATH\n{command}")])
            .current_dir(folder)
            .env("PROGRAMS", programs.unwrap())
            .env("PLEXSPACES_NODE", node.grpc.to_string())
            .env_remove("PLEXSPACES_TOKEN")
            .env_remove("PLEXSPACES_TOKEN_FILE")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}: {said}");
        let refused = said.contains(r#""success":false"#);
        assert!(
            !refused || self.answer.is_some(),
            "{command} is refused: {said}"
        );
        said.trim_end().to_owned()
    }
}

/// Runs what a section of a README says, in the folder of the README, against this node. How many commands that were.
pub fn follow(node: &Node, readme: &Path, heading: &str) -> usize {
    let page = fs::read_to_string(readme).unwrap();
    let steps = steps(&section(&page, heading));
    for step in &steps {
        let folder = readme.parent().unwrap();
        let fit = |said: &str| step.answer.as_ref().is_none_or(|shown| fits(said, shown));
        let said = step.run(node, folder);
        if fit(&said) {
            continue;
        }
        assert!(step.looks(), "{}: {said}", step.command);
        let what = format!("{} to answer as shown, not {said}", step.command);
        node.waits_for(&what, || fit(&step.run(node, folder)));
    }
    steps.len()
}

#[test]
fn an_answer_fits_what_is_shown_of_it() {
    assert!(fits("abc", "abc") && fits("abc", "a…c") && fits("abc", "…c") && fits("abc", "a…"));
    for (answer, shown) in [("abc", "ab"), ("abc", "bc"), ("abc", "a…b"), ("ab", "abc")] {
        assert!(!fits(answer, shown), "{answer} {shown}");
    }
}
