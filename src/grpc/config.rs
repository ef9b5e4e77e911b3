//! An application's spec from the wire, as the configuration that says the same in TOML: so there is one reading of
//! both, and what is refused there is refused here.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::{Table, Value};

use super::proto::application::{
    ApplicationSpec, ApplicationType, ChildSpec, ChildType, RestartPolicy, SupervisionStrategy,
    SupervisorSpec,
};
use super::proto::common::Facet;
use crate::application::spec::Config;
use crate::clock::Span;
use crate::limits;
use crate::refusal::{Kind, Refusal};

/// The configuration of a deploy; none where it brings nothing to configure. Of two environments the spec's wins.
pub fn of(
    spec: Option<ApplicationSpec>,
    release_env: BTreeMap<String, String>,
) -> Result<Option<Config>, Refusal> {
    if spec.is_none() && release_env.is_empty() {
        return Ok(None);
    }
    let mut spec = spec.unwrap_or_default();
    let mut env = release_env;
    env.append(&mut spec.env);
    let mut table = Table::new();
    put(&mut table, "name", spec.name);
    put(&mut table, "version", spec.version);
    put(&mut table, "description", spec.description);
    let application_type = match named(spec.r#type, "config.type")? {
        ApplicationType::Unspecified => "",
        ApplicationType::Library => "library",
        ApplicationType::Active => "active",
    };
    put(&mut table, "type", application_type.into());
    if !spec.dependencies.is_empty() {
        table.insert("dependencies".into(), spec.dependencies.into());
    }
    table.insert("env".into(), strings(env));
    if let Some(supervisor) = spec.supervisor {
        table.insert("supervisor".into(), of_supervisor(supervisor, 1)?.into());
    }
    Ok(Some(Config::Table(table)))
}

fn of_supervisor(supervisor: SupervisorSpec, depth: usize) -> Result<Table, Refusal> {
    if depth > limits::WRITTEN_TREE_DEPTH_MAX {
        let text = format!(
            "config.supervisor is nested more than {} deep; make the tree flatter",
            limits::WRITTEN_TREE_DEPTH_MAX
        );
        return Err(Refusal::new(Kind::Malformed, text));
    }
    let mut table = Table::new();
    let strategy = match named(supervisor.strategy, "config.supervisor.strategy")? {
        SupervisionStrategy::Unspecified => "",
        SupervisionStrategy::OneForOne => "one_for_one",
        SupervisionStrategy::OneForAll => "one_for_all",
        SupervisionStrategy::RestForOne => "rest_for_one",
    };
    put(&mut table, "strategy", strategy.into());
    // A number that is not set is 0 on the wire, and then means the default.
    if supervisor.max_restarts > 0 {
        let max = i64::from(supervisor.max_restarts);
        table.insert("max_restarts".into(), max.into());
    }
    let window = supervisor.max_restart_window;
    put_span(&mut table, "max_restart_window", window)?;
    let children = supervisor.children.into_iter();
    let children = children.map(|child| of_child(child, depth));
    let children = children.collect::<Result<Vec<_>, _>>()?;
    if !children.is_empty() {
        table.insert("children".into(), children.into());
    }
    Ok(table)
}

fn of_child(child: ChildSpec, depth: usize) -> Result<Table, Refusal> {
    let mut table = Table::new();
    put(&mut table, "id", child.id);
    let child_type = match named(child.r#type, "config.supervisor.children.type")? {
        ChildType::Unspecified => "",
        ChildType::Worker => "worker",
        ChildType::Supervisor => "supervisor",
    };
    put(&mut table, "type", child_type.into());
    let restart = match named(child.restart, "config.supervisor.children.restart")? {
        RestartPolicy::Unspecified => "",
        RestartPolicy::Permanent => "permanent",
        RestartPolicy::Transient => "transient",
        RestartPolicy::Temporary => "temporary",
    };
    put(&mut table, "restart", restart.into());
    put_span(&mut table, "shutdown_timeout", child.shutdown_timeout)?;
    if !child.args.is_empty() {
        table.insert("args".into(), strings(child.args));
    }
    if let Some(supervisor) = child.supervisor {
        let below = of_supervisor(supervisor, depth + 1)?;
        table.insert("supervisor".into(), below.into());
    }
    if !child.facets.is_empty() {
        let facets: Vec<Table> = child.facets.into_iter().map(of_facet).collect();
        table.insert("facets".into(), facets.into());
    }
    Ok(table)
}

fn of_facet(facet: Facet) -> Table {
    let mut table = Table::new();
    put(&mut table, "type", facet.r#type);
    if !facet.config.is_empty() {
        table.insert("config".into(), strings(facet.config));
    }
    if facet.priority != 0 {
        table.insert("priority".into(), i64::from(facet.priority).into());
    }
    table
}

/// The value of an enum; a number that it does not have is refused, not taken for another.
pub fn named<E: TryFrom<i32>>(number: i32, field: &str) -> Result<E, Refusal> {
    E::try_from(number).map_err(|_| {
        let text = format!("{field} has no value {number}; proto/ lists those there are");
        Refusal::new(Kind::Malformed, text)
    })
}

/// An empty text is one that was not set.
fn put(table: &mut Table, key: &str, text: String) {
    if !text.is_empty() {
        table.insert(key.into(), text.into());
    }
}

/// A length of time as a configuration writes it.
pub fn put_span(
    table: &mut Table,
    key: &str,
    given: Option<prost_types::Duration>,
) -> Result<(), Refusal> {
    if let Some(given) = given {
        let span = Duration::try_from(given).map_err(|_| {
            let text = format!("{key} is no length of time; it must not be below 0");
            Refusal::new(Kind::Malformed, text)
        })?;
        table.insert(key.into(), Span(span).to_string().into());
    }
    Ok(())
}

fn strings(map: BTreeMap<String, String>) -> Value {
    let entries = map.into_iter().map(|(key, text)| (key, text.into()));
    Value::Table(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_says_what_its_toml_would() {
        let child = |id: &str, supervisor| ChildSpec {
            id: id.into(),
            r#type: ChildType::Worker.into(),
            args: [("size".to_owned(), "3".to_owned())].into(),
            restart: RestartPolicy::Transient.into(),
            shutdown_timeout: Some(prost_types::Duration {
                seconds: 2,
                nanos: 500_000_000,
            }),
            supervisor,
            facets: vec![],
        };
        let below = SupervisorSpec {
            strategy: SupervisionStrategy::RestForOne.into(),
            ..Default::default()
        };
        let spec = ApplicationSpec {
            name: "orders".into(),
            r#type: ApplicationType::Active.into(),
            dependencies: vec!["stock".into()],
            env: [("MODE".to_owned(), "fast".to_owned())].into(),
            supervisor: Some(SupervisorSpec {
                max_restarts: 7,
                max_restart_window: Some(prost_types::Duration {
                    seconds: 30,
                    nanos: 0,
                }),
                children: vec![child("a", None), child("b", Some(below))],
                ..Default::default()
            }),
            ..Default::default()
        };
        let release = [("MODE", "slow"), ("REGION", "north")];
        let release = release.map(|(key, text)| (key.to_owned(), text.to_owned()));
        let Ok(Some(Config::Table(table))) = of(Some(spec), release.into()) else {
            panic!("it is refused");
        };
        let expected: Table = r#"
            name = "orders"
            type = "active"
            dependencies = ["stock"]
            [env]
            MODE = "fast"
            REGION = "north"
            [supervisor]
            max_restarts = 7
            max_restart_window = "30s"
            [[supervisor.children]]
            id = "a"
            type = "worker"
            restart = "transient"
            shutdown_timeout = "2s 500ms"
            args = { size = "3" }
            [[supervisor.children]]
            id = "b"
            type = "worker"
            restart = "transient"
            shutdown_timeout = "2s 500ms"
            args = { size = "3" }
            supervisor = { strategy = "rest_for_one" }
        "#
        .parse()
        .unwrap();
        assert_eq!(table, expected);
    }

    #[test]
    fn what_the_wire_cannot_mean_is_refused() {
        let check = |spec: ApplicationSpec, word: &str| {
            let refusal = of(Some(spec), BTreeMap::new()).err().unwrap();
            assert!(refusal.message.contains(word), "{refusal}");
        };
        let typed = |number| ApplicationSpec {
            r#type: number,
            ..Default::default()
        };
        check(typed(9), "config.type");
        let deep = (0..100).fold(SupervisorSpec::default(), |below, _| SupervisorSpec {
            children: vec![ChildSpec {
                supervisor: Some(below),
                ..Default::default()
            }],
            ..Default::default()
        });
        let nested = ApplicationSpec {
            supervisor: Some(deep),
            ..Default::default()
        };
        check(nested, "nested");
        let backwards = ApplicationSpec {
            supervisor: Some(SupervisorSpec {
                max_restart_window: Some(prost_types::Duration {
                    seconds: -1,
                    nanos: 0,
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        check(backwards, "max_restart_window");
    }
}
