//! Who needs whom: what must run before an application does, and whom an undeploy would leave without.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Applications;
use super::overview::Status;
use super::record::Record;
use super::spec::{ApplicationType, Spec};
use super::table::{Slot, State};
use crate::id::ApplicationName;
use crate::refusal::{Kind, Refusal};
use crate::wasm::Program;

impl Applications {
    /// Refuses a spec whose dependencies do not all run, or would need itself.
    pub(super) fn needs(&self, spec: &Spec) -> Result<(), Refusal> {
        let slots = self.table.lock();
        let runs = |name: &&ApplicationName| {
            let slot = slots.get(*name);
            slot.is_some_and(|slot| slot.status() == Status::Running)
        };
        let missing: Vec<&str> = spec
            .dependencies
            .iter()
            .filter(|name| !runs(name))
            .map(|name| &**name)
            .collect();
        if !missing.is_empty() {
            let text = format!(
                "application {} depends on {}, which must run first",
                spec.name,
                missing.join(", ")
            );
            return Err(Refusal::new(Kind::FailedPrecondition, text));
        }
        let of = |name: &ApplicationName| {
            let deployed = slots.get(name).and_then(Slot::deployed);
            deployed.map_or(&[][..], |it| &it.record.spec.dependencies)
        };
        match circle(&spec.name, &spec.dependencies, of) {
            Some(circle) => {
                let text = format!("dependencies go in a circle: {}", circle.join(" → "));
                Err(Refusal::new(Kind::FailedPrecondition, text))
            }
            None => Ok(()),
        }
    }

    /// Refuses to take away what others depend on.
    pub(super) fn is_not_needed(&self, name: &str) -> Result<(), Refusal> {
        let slots = self.table.lock();
        let needs = |slot: &Slot| match slot {
            Slot::Deployed(deployed) => {
                let record = &deployed.record;
                let new = deployed.changing.as_ref().map(|new| &new.dependencies);
                // For a minute it may come back.
                let before = record.previous.as_ref().filter(|_| record.on_probation);
                let before = before.map(|it| &it.spec.dependencies);
                [new, before, Some(&record.spec.dependencies)]
                    .into_iter()
                    .flatten()
                    .flatten()
                    .any(|it| &**it == name)
            }
            Slot::Deploying { dependencies, .. } => dependencies.iter().any(|it| &**it == name),
            Slot::Leaving { .. } => false,
        };
        let needing = slots.iter().filter(|(_, slot)| needs(slot));
        let needing: Vec<&str> = needing.map(|(name, _)| &**name).collect();
        if needing.is_empty() {
            return Ok(());
        }
        let text = format!(
            "application {name} is needed by {}; undeploy that first",
            needing.join(", ")
        );
        Err(Refusal::new(Kind::FailedPrecondition, text))
    }

    /// The modules of the libraries among its dependencies.
    pub(super) fn libraries_of(
        &self,
        spec: &Spec,
    ) -> Result<BTreeMap<ApplicationName, Arc<Program>>, Refusal> {
        let slots = self.table.lock();
        let library = |name: &ApplicationName| {
            let deployed = slots.get(name)?.deployed()?;
            match &deployed.state {
                State::Running(running)
                    if deployed.record.spec.kind == ApplicationType::Library =>
                {
                    Some((name.clone(), running.active.program.clone()))
                }
                _ => None,
            }
        };
        Ok(spec.dependencies.iter().filter_map(library).collect())
    }
}

/// The names along a way from `start` back to itself, if there is one.
fn circle<'a>(
    start: &ApplicationName,
    first: &'a [ApplicationName],
    of: impl Fn(&ApplicationName) -> &'a [ApplicationName],
) -> Option<Vec<String>> {
    let mut came_from: HashMap<&ApplicationName, Option<&ApplicationName>> = HashMap::new();
    let mut to_visit: Vec<(&ApplicationName, Option<&ApplicationName>)> =
        first.iter().map(|name| (name, None)).collect();
    while let Some((name, from)) = to_visit.pop() {
        if came_from.contains_key(name) {
            continue;
        }
        came_from.insert(name, from);
        if name == start {
            let mut way = vec![start.to_string()];
            let mut at = from;
            while let Some(name) = at {
                way.push(name.to_string());
                at = came_from[name];
            }
            way.push(start.to_string());
            way.reverse();
            return Some(way);
        }
        to_visit.extend(of(name).iter().map(|next| (next, Some(name))));
    }
    None
}

/// Records in an order in which each comes after what it depends on; else those with the smaller modules to compile come
/// first, by the bytes that are told with each, and of the same the one that was deployed first.
pub(super) fn in_order(mut records: Vec<(Record, u64)>) -> Vec<Record> {
    records.sort_by(|(one, bytes), (other, of_other)| {
        let rank = (bytes, one.order, &one.spec.name);
        rank.cmp(&(of_other, other.order, &other.spec.name))
    });
    let mut ordered: Vec<Record> = Vec::new();
    let there = |records: &[(Record, u64)], name: &ApplicationName| {
        records.iter().any(|(record, _)| record.spec.name == *name)
    };
    while !records.is_empty() {
        let ready = records.iter().position(|(record, _)| {
            let mut dependencies = record.spec.dependencies.iter();
            dependencies.all(|name| !there(&records, name))
        });
        // A circle was never deployed; were there one all the same, it is broken at the first.
        ordered.push(records.remove(ready.unwrap_or(0)).0);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ApplicationName {
        ApplicationName::parse(text).unwrap()
    }

    fn names(texts: &[&str]) -> Vec<ApplicationName> {
        texts.iter().map(|text| name(text)).collect()
    }

    #[test]
    fn a_circle_is_shown_whole() {
        let check = |known: &[(&str, &[&str])], start: &str, first: &[&str], expected: &[&str]| {
            let known: HashMap<ApplicationName, Vec<ApplicationName>> =
                known.iter().map(|(it, of)| (name(it), names(of))).collect();
            let of = |it: &ApplicationName| known.get(it).map_or(&[][..], Vec::as_slice);
            let first = names(first);
            let found = circle(&name(start), &first, of).unwrap_or_default();
            assert_eq!(found, expected, "from {start}");
        };
        check(&[], "a", &["b"], &[]);
        check(&[("b", &["c"]), ("c", &[])], "a", &["b", "c"], &[]);
        check(&[("b", &["a"])], "a", &["b"], &["a", "b", "a"]);
        check(
            &[("b", &["c", "d"]), ("d", &["a"])],
            "a",
            &["b"],
            &["a", "b", "d", "a"],
        );
    }

    fn record(text: &str, order: u64, dependencies: &[&str], bytes: u64) -> (Record, u64) {
        let mut spec = Spec::of_form("id", text, "1").unwrap();
        spec.dependencies = names(dependencies);
        (Record::for_tests(spec, order), bytes)
    }

    fn ordered(records: Vec<(Record, u64)>) -> String {
        let ordered = in_order(records).into_iter();
        ordered.map(|record| record.spec.name.to_string()).collect()
    }

    #[test]
    fn what_is_needed_starts_first() {
        let records = vec![
            record("c", 0, &["b", "a"], 0),
            record("d", 1, &[], 0),
            record("a", 3, &[], 0),
            record("b", 2, &["a"], 0),
        ];
        assert_eq!(ordered(records), "dabc");
    }

    #[test]
    fn of_those_to_be_compiled_the_small_start_first_unless_they_need_a_large_one() {
        let records = vec![
            record("l", 0, &[], 100),
            record("n", 1, &["l"], 1),
            record("m", 2, &[], 50),
            record("s", 3, &[], 2),
            record("c", 4, &[], 0),
        ];
        assert_eq!(ordered(records), "csmln");
    }
}
