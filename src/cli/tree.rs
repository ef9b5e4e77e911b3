//! A supervision tree drawn as text: one row for each supervisor and worker, children below their supervisor.

use std::time::Duration;

use serde::Deserialize;

use crate::clock::Span;

/// A supervisor or a worker, as the node's JSON has it.
#[derive(Deserialize)]
pub struct Branch {
    id: String,
    state: String,
    restarts: u64,
    #[serde(flatten)]
    node: Node,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Node {
    Supervisor {
        strategy: String,
        /// Those left out here are below in another page.
        child_count: usize,
        children: Vec<Branch>,
    },
    Worker {
        mailbox_depth: u64,
        busy_seconds: Option<f64>,
        messages_handled: u64,
        memory_bytes: u64,
    },
}

pub const HEADS: [&str; 6] = [
    "ACTOR", "STATE", "RESTARTS", "MAILBOX", "MESSAGES", "MEMORY",
];
pub type Row = [String; HEADS.len()];

impl Branch {
    /// The rows of the tree from its root on. `None` where a part of it was left out.
    pub fn rows(&self) -> Option<Vec<Row>> {
        let mut rows = Vec::new();
        self.draw(Lines::default(), &mut rows).then_some(rows)
    }

    fn draw(&self, lines: Lines<'_>, rows: &mut Vec<Row>) -> bool {
        let label = format!("{}{}", lines.own, self.id);
        match &self.node {
            Node::Worker {
                mailbox_depth,
                busy_seconds,
                messages_handled,
                memory_bytes,
            } => {
                rows.push([
                    label,
                    state(&self.state, *busy_seconds),
                    self.restarts.to_string(),
                    mailbox_depth.to_string(),
                    messages_handled.to_string(),
                    format!("{} KiB", memory_bytes / 1024),
                ]);
                true
            }
            Node::Supervisor {
                strategy,
                child_count,
                children,
            } => {
                let (label, none) = (format!("{label} ({strategy})"), String::new);
                let (state, restarts) = (self.state.clone(), self.restarts.to_string());
                rows.push([label, state, restarts, none(), none(), none()]);
                let mut whole = *child_count == children.len();
                for (number, child) in children.iter().enumerate() {
                    let (own, below) = match number + 1 == children.len() {
                        true => ("└─ ", "   "),
                        false => ("├─ ", "│  "),
                    };
                    let own = format!("{}{own}", lines.below);
                    let below = format!("{}{below}", lines.below);
                    let (own, below) = (own.as_str(), below.as_str());
                    whole &= child.draw(Lines { own, below }, rows);
                }
                whole
            }
        }
    }
}

/// A worker's state, and for how long it is busy with one message, where that is long.
pub fn state(state: &str, busy_seconds: Option<f64>) -> String {
    match busy_seconds {
        Some(seconds) => format!("busy {}", Span(Duration::from_secs(seconds as u64))),
        None => state.to_owned(),
    }
}

/// What stands left of a branch, and left of those below it.
#[derive(Clone, Copy, Default)]
struct Lines<'a> {
    own: &'a str,
    below: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(id: &str) -> String {
        format!(
            r#"{{"id":"{id}","state":"running","restarts":1,"mailbox_depth":2,"messages_handled":3,"memory_bytes":4096}}"#
        )
    }

    fn supervisor(id: &str, child_count: usize, children: &[String]) -> String {
        let children = children.join(",");
        format!(
            r#"{{"id":"{id}","state":"running","restarts":0,"strategy":"one_for_one","child_count":{child_count},"children":[{children}]}}"#
        )
    }

    fn drawn(json: &str) -> Option<Vec<Row>> {
        serde_json::from_str::<Branch>(json).unwrap().rows()
    }

    #[test]
    fn children_stand_below_their_supervisor() {
        let pool = supervisor("pool", 2, &[worker("a"), worker("b")]);
        let rows = drawn(&supervisor("orders", 2, &[pool, worker("clerk")])).unwrap();
        let labels: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(
            labels,
            [
                "orders (one_for_one)",
                "├─ pool (one_for_one)",
                "│  ├─ a",
                "│  └─ b",
                "└─ clerk",
            ]
        );
        assert_eq!(rows[2][1..], ["running", "1", "2", "3", "4 KiB"]);
        assert_eq!(state("running", Some(75.5)), "busy 1m 15s");
    }

    #[test]
    fn a_tree_of_which_a_part_is_left_out_is_not_drawn() {
        assert_eq!(drawn(&supervisor("orders", 2, &[worker("a")])), None);
    }
}
