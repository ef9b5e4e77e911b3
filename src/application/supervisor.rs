//! A supervision tree as a config, a protobuf message or a guest writes it: three spellings of one written form, which
//! is checked once.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use serde::Deserialize;
use toml::Spanned;

use crate::actor::{ChildSpec, Restart, Strategy, SupervisorSpec, TreeSpec};
use crate::clock::Span;
use crate::id::ChildId;
use crate::limits;

/// A supervisor as it is written. What is not there has its default. An id in a text knows where it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "I: Deserialize<'de>")]
pub struct Written<I> {
    strategy: Option<Strategy>,
    max_restarts: Option<usize>,
    max_restart_window: Option<Span>,
    #[serde(default)]
    children: Vec<WrittenChild<I>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "I: Deserialize<'de>")]
struct WrittenChild<I> {
    id: I,
    #[serde(rename = "type")]
    kind: Option<Kind>,
    #[serde(default)]
    restart: Restart,
    shutdown_timeout: Option<Span>,
    #[serde(default)]
    args: BTreeMap<String, String>,
    supervisor: Option<Written<I>>,
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

/// A child's id, and the byte at which it stands where it stands in a text.
pub trait Id {
    fn parts(self) -> (String, Option<usize>);
}

impl Id for Spanned<String> {
    fn parts(self) -> (String, Option<usize>) {
        let at = self.span().start;
        (self.into_inner(), Some(at))
    }
}

impl Id for String {
    fn parts(self) -> (String, Option<usize>) {
        (self, None)
    }
}

/// What is wrong with a tree, and where it is written, where that is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub text: String,
    pub at: Option<usize>,
}

impl Wrong {
    /// With the line of the text in which it is written.
    pub fn within(self, text: &str) -> String {
        match self.at {
            Some(at) => {
                let line = text[..at.min(text.len())].matches('\n').count() + 1;
                format!("line {line}: {}", self.text)
            }
            None => self.text,
        }
    }
}

impl<I: Id> Written<I> {
    /// The tree, if it can be one.
    pub fn checked(self) -> Result<TreeSpec, Wrong> {
        let mut places = BTreeMap::new();
        let root = self.supervisor("supervisor", 1, &mut places)?;
        TreeSpec::checked(root).map_err(|error| {
            let at = error.child().and_then(|id| places.get(id).copied());
            Wrong {
                text: format!("supervisor.children: {error}"),
                at: at.flatten(),
            }
        })
    }

    fn supervisor(
        self,
        key: &str,
        depth: usize,
        places: &mut BTreeMap<ChildId, Option<usize>>,
    ) -> Result<SupervisorSpec, Wrong> {
        let whole = |text| Wrong { text, at: None };
        let defaults = SupervisorSpec::default();
        let restarts_max = self.max_restarts.unwrap_or(defaults.restarts_max);
        if restarts_max > limits::RESTARTS_MAX {
            return Err(whole(format!(
                "{key}.max_restarts is {restarts_max}; it must lie between 0 and {}",
                limits::RESTARTS_MAX
            )));
        }
        let window = self.max_restart_window;
        let restart_window = window.map_or(defaults.restart_window, |Span(window)| window);
        if restart_window.is_zero() || restart_window > limits::RESTART_WINDOW_MAX {
            return Err(whole(format!(
                "{key}.max_restart_window must lie between 1ms and {:?}",
                limits::RESTART_WINDOW_MAX
            )));
        }
        let children = self.children.into_iter();
        let children = children.map(|child| child.checked(key, depth, places));
        Ok(SupervisorSpec {
            strategy: self.strategy.unwrap_or_default(),
            restarts_max,
            restart_window,
            children: children.collect::<Result<_, _>>()?,
        })
    }
}

impl<I: Id> WrittenChild<I> {
    fn checked(
        self,
        key: &str,
        depth: usize,
        places: &mut BTreeMap<ChildId, Option<usize>>,
    ) -> Result<ChildSpec, Wrong> {
        let (text, at) = self.id.parts();
        let wrong = |text: String| Wrong { text, at };
        let id =
            ChildId::parse(&text).map_err(|error| wrong(format!("{key}.children: {error}")))?;
        // Of two alike the second one is shown.
        places.insert(id.clone(), at);
        let wrong_with = |text: String| wrong(format!("{key}.children, id {id}: {text}"));
        match (self.kind, &self.supervisor) {
            (Some(Kind::Worker), Some(_)) => {
                let text = "type is worker, and a worker has no [supervisor] of its own";
                return Err(wrong_with(text.into()));
            }
            (Some(Kind::Supervisor), None) => {
                let text = "type is supervisor, and its own supervisor table is missing";
                return Err(wrong_with(text.into()));
            }
            _ => {}
        }
        let shutdown_timeout = self.shutdown_timeout.map(|Span(timeout)| timeout);
        if shutdown_timeout.is_some_and(|it| it > limits::SHUTDOWN_TIMEOUT_MAX) {
            let text = format!(
                "shutdown_timeout must lie between 0s and {:?}",
                limits::SHUTDOWN_TIMEOUT_MAX
            );
            return Err(wrong_with(text));
        }
        let args: usize = self.args.iter().map(|(key, it)| key.len() + it.len()).sum();
        if args > limits::CHILD_ARGS_BYTES_MAX {
            let text = format!(
                "args has {args} bytes, the most is {}",
                limits::CHILD_ARGS_BYTES_MAX
            );
            return Err(wrong_with(text));
        }
        let supervisor = match self.supervisor {
            Some(_) if depth >= limits::TREE_DEPTH_MAX => {
                let text = format!(
                    "it lies {} supervisors deep, the most",
                    limits::TREE_DEPTH_MAX
                );
                return Err(wrong_with(text));
            }
            Some(written) => {
                let key = format!("{key}.children.supervisor");
                Some(written.supervisor(&key, depth + 1, places)?)
            }
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
    let written = message.written().map_err(|text| Wrong { text, at: None });
    let tree = written.and_then(Written::checked);
    tree.map_err(|wrong| wrong.text)
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
    fn written(self) -> Result<Written<String>, String> {
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
            max_restarts: (self.max_restarts > 0).then_some(self.max_restarts as usize),
            max_restart_window: self.max_restart_window.map(span).transpose()?,
            children: children.collect::<Result<_, _>>()?,
        })
    }
}

impl ChildMessage {
    fn written(self) -> Result<WrittenChild<String>, String> {
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
        let written: Written<Spanned<String>> =
            toml::from_str(text).map_err(|error| error.to_string())?;
        written.checked().map_err(|wrong| wrong.within(text))
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
        check("max_restarts = -1", &["line 1", "max_restarts"]);
        check("max_restarts = 1001", &["max_restarts", "1000"]);
        check("max_restart_window = 0", &["max_restart_window"]);
        check("[[children]]\nid = 'a/b'", &["line 2", "a/b", "children"]);
        check("[[children]]\nrestart = 'permanent'", &["id"]);
        check(
            "[[children]]\nid = 'a'\n[[children]]\nid = 'a'",
            &["line 4", "two children", "a"],
        );
        check(
            "[[children]]\nid = 'a'\ntype = 'supervisor'",
            &["line 2", "supervisor table is missing"],
        );
        check(
            "[[children]]\nid = 'a'\ntype = 'worker'\n[children.supervisor]",
            &["line 2", "worker"],
        );
        check(
            "[[children]]\nid = 'a'\nshutdown_timeout = '11m'",
            &["line 2", "shutdown_timeout"],
        );
        check("[[children]]\nid = 'a'\nage = 3", &["line 3", "age"]);
        let mut deep = String::new();
        for level in 0..limits::TREE_DEPTH_MAX {
            let path = "children.supervisor.".repeat(level);
            deep += &format!("[[{path}children]]\nid = 's{level}'\n[{path}children.supervisor]\n");
        }
        check(&deep, &["deep"]);
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
