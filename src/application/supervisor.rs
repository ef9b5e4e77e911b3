//! A supervision tree as a config, a protobuf message or a guest writes it: three spellings of one written form, which
//! is checked once.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use serde::Deserialize;

use crate::actor::{ChildSpec, Restart, Strategy, SupervisorSpec, TreeSpec};
use crate::clock::Span;
use crate::id::ChildId;
use crate::limits;
use crate::toml_text::KeyPath;

/// A supervisor as it is written. What is not there has its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    strategy: Option<Strategy>,
    max_restarts: Option<i64>,
    max_restart_window: Option<Span>,
    #[serde(default)]
    children: Vec<WrittenChild>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenChild {
    id: String,
    #[serde(rename = "type")]
    kind: Option<Kind>,
    #[serde(default)]
    restart: Restart,
    shutdown_timeout: Option<Span>,
    #[serde(default)]
    args: BTreeMap<String, String>,
    supervisor: Option<Written>,
    /// Read and left alone: no facet means anything to this node.
    #[serde(default, rename = "facets")]
    _facets: Vec<toml::Table>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Worker,
    Supervisor,
}

/// What is wrong with a tree, and under which key.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    key: KeyPath,
    problem: String,
}

impl Wrong {
    fn at(key: KeyPath, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self { key, problem }
    }

    /// With the line of the text in which it is written, where there is one.
    pub fn within(&self, text: &str) -> String {
        self.key.says(text, &self.problem)
    }
}

impl Written {
    /// The tree, if it can be one. It stands under `key`.
    pub fn checked(self, key: &KeyPath) -> Result<TreeSpec, Wrong> {
        let mut places = BTreeMap::new();
        let root = self.supervisor(key, 1, &mut places)?;
        TreeSpec::checked(root).map_err(|error| {
            let child = error.child().and_then(|id| places.get(id).cloned());
            let key = child.unwrap_or_else(|| key.key("children"));
            Wrong::at(key, format!(": {error}"))
        })
    }

    /// Supervisors one below the other, this one among them.
    fn levels(&self) -> usize {
        let below = self.children.iter().filter_map(|it| it.supervisor.as_ref());
        1 + below.map(Self::levels).max().unwrap_or_default()
    }

    fn supervisor(
        self,
        key: &KeyPath,
        depth: usize,
        places: &mut BTreeMap<ChildId, KeyPath>,
    ) -> Result<SupervisorSpec, Wrong> {
        let defaults = SupervisorSpec::default();
        let restarts_max = match self.max_restarts {
            Some(given) => restarts(given).map_err(|it| Wrong::at(key.key("max_restarts"), it))?,
            None => defaults.restarts_max,
        };
        let window = self.max_restart_window;
        let restart_window = window.map_or(defaults.restart_window, |Span(window)| window);
        let allowed = Duration::from_millis(1)..=limits::RESTART_WINDOW_MAX;
        if !allowed.contains(&restart_window) {
            let problem = out_of_span(restart_window, "1ms", limits::RESTART_WINDOW_MAX);
            return Err(Wrong::at(key.key("max_restart_window"), problem));
        }
        let (list, mut children) = (key.key("children"), Vec::new());
        for (index, child) in self.children.into_iter().enumerate() {
            children.push(child.checked(&list, index, depth, places)?);
        }
        Ok(SupervisorSpec {
            strategy: self.strategy.unwrap_or_default(),
            restarts_max,
            restart_window,
            children,
        })
    }
}

fn restarts(given: i64) -> Result<usize, String> {
    let most = limits::RESTARTS_MAX;
    let restarts = usize::try_from(given).ok().filter(|it| *it <= most);
    restarts.ok_or_else(|| format!(" is {given}; it must lie between 0 and {most}"))
}

fn out_of_span(given: Duration, least: &str, most: Duration) -> String {
    let (given, most) = (Span(given), Span(most));
    format!(" is {given}; it must lie between {least} and {most}")
}

impl WrittenChild {
    fn checked(
        self,
        list: &KeyPath,
        index: usize,
        depth: usize,
        places: &mut BTreeMap<ChildId, KeyPath>,
    ) -> Result<ChildSpec, Wrong> {
        let id = ChildId::parse(&self.id).map_err(|error| {
            let key = list.item(index, &index).key("id");
            Wrong::at(key, format!(": {error}"))
        })?;
        let key = list.item(index, &id);
        // Of two alike the second one is shown.
        places.insert(id.clone(), key.key("id"));
        let wrong = |name: &str, problem: String| Err(Wrong::at(key.key(name), problem));
        match (self.kind, &self.supervisor) {
            (Some(Kind::Worker), Some(_)) => {
                let text = " is worker, and a worker has no [supervisor] of its own";
                return wrong("type", text.into());
            }
            (Some(Kind::Supervisor), None) => {
                let text = " is supervisor, and its own supervisor table is missing";
                return wrong("type", text.into());
            }
            _ => {}
        }
        let shutdown_timeout = self.shutdown_timeout.map(|Span(timeout)| timeout);
        if let Some(given) = shutdown_timeout.filter(|it| *it > limits::SHUTDOWN_TIMEOUT_MAX) {
            let problem = out_of_span(given, "0s", limits::SHUTDOWN_TIMEOUT_MAX);
            return wrong("shutdown_timeout", problem);
        }
        let args: usize = self.args.iter().map(|(key, it)| key.len() + it.len()).sum();
        let most = limits::CHILD_ARGS_BYTES_MAX;
        if args > most {
            return wrong("args", format!(" has {args} bytes, the most is {most}"));
        }
        let supervisor = match self.supervisor {
            Some(written) if depth >= limits::TREE_DEPTH_MAX => {
                let (most, found) = (limits::TREE_DEPTH_MAX, depth + written.levels());
                let problem = format!(
                    " is one too deep: a tree may have {most} supervisors one below the other, its root among them, and here are {found}"
                );
                return wrong("supervisor", problem);
            }
            Some(written) => Some(written.supervisor(&key.key("supervisor"), depth + 1, places)?),
            None => None,
        };
        Ok(ChildSpec {
            id,
            restart: self.restart,
            shutdown_timeout,
            args: self.args,
            supervisor,
        })
    }
}

/// Reads a protobuf `SupervisorSpec`, as a guest or a door gives it. What is 0 or absent there has its default.
pub fn of_protobuf(bytes: &[u8]) -> Result<TreeSpec, String> {
    let message = SupervisorMessage::decode(bytes)
        .map_err(|error| format!("it is no plexspaces.application.v1.SupervisorSpec: {error}"))?;
    let tree = message.written()?.checked(&KeyPath::of("supervisor"));
    tree.map_err(|wrong| wrong.within(""))
}

/// The same message as the doors' generated one, for guests that say it themselves.
#[derive(Clone, PartialEq, Message)]
struct SupervisorMessage {
    #[prost(int32, tag = "1")]
    strategy: i32,
    #[prost(uint32, tag = "2")]
    max_restarts: u32,
    #[prost(message, optional, tag = "3")]
    max_restart_window: Option<prost_types::Duration>,
    #[prost(message, repeated, tag = "4")]
    children: Vec<ChildMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ChildMessage {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(int32, tag = "2")]
    kind: i32,
    #[prost(btree_map = "string, string", tag = "3")]
    args: BTreeMap<String, String>,
    #[prost(int32, tag = "4")]
    restart: i32,
    #[prost(message, optional, tag = "5")]
    shutdown_timeout: Option<prost_types::Duration>,
    #[prost(message, optional, boxed, tag = "6")]
    supervisor: Option<Box<SupervisorMessage>>,
}

impl SupervisorMessage {
    fn written(self) -> Result<Written, String> {
        let strategy = match self.strategy {
            0 => None,
            1 => Some(Strategy::OneForOne),
            2 => Some(Strategy::OneForAll),
            3 => Some(Strategy::RestForOne),
            other => return Err(format!("strategy {other} is none of 1, 2 and 3")),
        };
        let children = self.children.into_iter().map(ChildMessage::written);
        Ok(Written {
            strategy,
            max_restarts: (self.max_restarts > 0).then_some(self.max_restarts.into()),
            max_restart_window: self.max_restart_window.map(span).transpose()?,
            children: children.collect::<Result<_, _>>()?,
        })
    }
}

impl ChildMessage {
    fn written(self) -> Result<WrittenChild, String> {
        let kind = match self.kind {
            0 => None,
            1 => Some(Kind::Worker),
            2 => Some(Kind::Supervisor),
            other => return Err(format!("child {:?} has the type {other}", self.id)),
        };
        let restart = match self.restart {
            0 | 1 => Restart::Permanent,
            2 => Restart::Transient,
            3 => Restart::Temporary,
            other => return Err(format!("child {:?} has the restart {other}", self.id)),
        };
        let supervisor = self.supervisor.map(|it| it.written()).transpose()?;
        Ok(WrittenChild {
            id: self.id,
            kind,
            restart,
            shutdown_timeout: self.shutdown_timeout.map(span).transpose()?,
            args: self.args,
            supervisor,
            _facets: Vec::new(),
        })
    }
}

fn span(duration: prost_types::Duration) -> Result<Span, String> {
    Duration::try_from(duration)
        .map(Span)
        .map_err(|error| format!("a length of time is not one: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_toml(text: &str) -> Result<TreeSpec, String> {
        let written: Written = crate::strict::of_toml(text).map_err(|error| error.to_string())?;
        let tree = written.checked(&KeyPath::default());
        tree.map_err(|wrong| wrong.within(text))
    }

    const TREE: &str = r#"
        strategy = "rest_for_one"
        max_restarts = 7
        max_restart_window = "30s"
        [[children]]
        id = "first"
        restart = "transient"
        shutdown_timeout = 2
        args = { room = "kitchen" }
        [[children]]
        id = "pool"
        type = "supervisor"
        [children.supervisor]
        strategy = "one_for_all"
        [[children.supervisor.children]]
        id = "worker-1"
        type = "worker"
        restart = "temporary"
        facets = [{ type = "metrics" }]
    "#;

    fn message() -> SupervisorMessage {
        let worker = |id: &str| ChildMessage {
            id: id.into(),
            ..Default::default()
        };
        let pool = SupervisorMessage {
            strategy: 2,
            children: vec![ChildMessage {
                kind: 1,
                restart: 3,
                ..worker("worker-1")
            }],
            ..Default::default()
        };
        SupervisorMessage {
            strategy: 3,
            max_restarts: 7,
            max_restart_window: Some(Duration::from_secs(30).try_into().unwrap()),
            children: vec![
                ChildMessage {
                    restart: 2,
                    shutdown_timeout: Some(Duration::from_secs(2).try_into().unwrap()),
                    args: [("room".to_owned(), "kitchen".to_owned())].into(),
                    ..worker("first")
                },
                ChildMessage {
                    kind: 2,
                    supervisor: Some(Box::new(pool)),
                    ..worker("pool")
                },
            ],
        }
    }

    #[test]
    fn toml_and_protobuf_write_the_same_tree() {
        let tree = of_toml(TREE).unwrap();
        assert_eq!(of_protobuf(&message().encode_to_vec()).unwrap(), tree);
        let root = tree.root();
        assert_eq!(
            (root.strategy, root.restarts_max),
            (Strategy::RestForOne, 7)
        );
        let pool = root.children[1].supervisor.as_ref().unwrap();
        assert_eq!(
            (pool.restarts_max, pool.restart_window),
            (limits::RESTARTS_DEFAULT, limits::RESTART_WINDOW_DEFAULT)
        );
        assert_eq!(pool.children[0].restart, Restart::Temporary);
        // What is stored is read back, and checked again.
        let stored = serde_json::to_string(&tree).unwrap();
        assert_eq!(serde_json::from_str::<TreeSpec>(&stored).unwrap(), tree);
    }

    #[test]
    fn an_impossible_tree_says_where_and_why() {
        let check = |text: &str, words: &[&str]| {
            let error = of_toml(text).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{word:?} is missing in {error:?}");
            }
        };
        check("strategy = 'simple'", &["line 1", "one_for_one"]);
        check(
            "max_restarts = -1",
            &["line 1: max_restarts is -1", "between 0 and 1000"],
        );
        check("max_restarts = 1001", &["line 1: max_restarts is 1001"]);
        check(
            "\nmax_restart_window = 0",
            &["line 2: max_restart_window is 0s", "between 1ms and 1day"],
        );
        check(
            "[[children]]\nid = 'a/b'",
            &["line 2: children[0].id", "a/b"],
        );
        check("[[children]]\nrestart = 'permanent'", &["id"]);
        check(
            "[[children]]\nid = 'a'\n[[children]]\nid = 'a'",
            &["line 4: children[a].id", "two children"],
        );
        check(
            "[[children]]\nid = 'a'\ntype = 'supervisor'",
            &["line 3: children[a].type", "supervisor table is missing"],
        );
        check(
            "[[children]]\nid = 'a'\ntype = 'worker'\n[children.supervisor]",
            &["line 3: children[a].type", "worker"],
        );
        check(
            "[[children]]\nid = 'a'\nshutdown_timeout = '11m'",
            &["line 3: children[a].shutdown_timeout is 11m", "0s and 10m"],
        );
        check(
            "[[children]]\nid = 'a'\n[children.supervisor]\nmax_restarts = 7000",
            &["line 4: children[a].supervisor.max_restarts is 7000"],
        );
        check("[[children]]\nid = 'a'\nage = 3", &["line 3", "age"]);
        let deep = |levels: usize| {
            let level = |level| {
                let path = "children.supervisor.".repeat(level);
                format!("[[{path}children]]\nid = 's{level}'\n[{path}children.supervisor]\n")
            };
            (1..levels)
                .map(|below| level(below - 1))
                .collect::<String>()
        };
        assert!(of_toml(&deep(limits::TREE_DEPTH_MAX)).is_ok());
        for found in [limits::TREE_DEPTH_MAX + 1, limits::TREE_DEPTH_MAX + 3] {
            let counted = format!("and here are {found}");
            check(
                &deep(found),
                &[
                    "children[s7].supervisor is one too deep",
                    "may have 8",
                    &counted,
                ],
            );
        }
    }

    #[test]
    fn a_protobuf_tree_is_held_to_the_same_rules() {
        let check = |change: fn(&mut SupervisorMessage), word: &str| {
            let mut message = message();
            change(&mut message);
            let error = of_protobuf(&message.encode_to_vec()).unwrap_err();
            assert!(error.contains(word), "{word:?} is missing in {error:?}");
        };
        check(|it| it.strategy = 9, "strategy 9");
        check(|it| it.children[0].restart = 4, "restart 4");
        check(|it| it.children[0].kind = 3, "type 3");
        check(|it| it.children[0].id = "pool".into(), "two children");
        check(|it| it.children[1].supervisor = None, "missing");
        check(
            |it| it.max_restart_window.as_mut().unwrap().seconds = -1,
            "length of time",
        );
        assert!(
            of_protobuf(b"\xff\xff")
                .unwrap_err()
                .contains("SupervisorSpec")
        );
    }
}
