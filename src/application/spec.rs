//! What a deploy asks for, from form fields and an optional TOML, parsed and checked.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::supervisor;
use crate::actor::TreeSpec;
use crate::clock::Span;
use crate::id::{ApplicationId, ApplicationName, ModuleName, Scope, Version};
use crate::limits::{self, MIB};
use crate::refusal::{Kind, Refusal};
use crate::strict;
use crate::toml_text::{KeyPath, abridged, in_one_line};
use crate::wasm::{Capabilities, GuestLimits};

/// A checked request for an application. Two equal specs of one module are the same deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub application_id: ApplicationId,
    pub name: ApplicationName,
    pub version: Version,
    pub description: String,
    #[serde(default)]
    pub kind: ApplicationType,
    pub tenant: Scope,
    pub namespace: Scope,
    /// What must run for it to run.
    #[serde(default)]
    pub dependencies: Vec<ApplicationName>,
    /// The tree that its config asks for.
    #[serde(default)]
    pub supervisor: Option<TreeSpec>,
    /// The guest's environment.
    pub env: BTreeMap<String, String>,
    pub limits: GuestLimits,
    #[serde(default)]
    pub capabilities: Capabilities,
    pub mailbox_messages_max: usize,
    /// What `init` gets in an actor's first life.
    #[serde(with = "as_base64")]
    pub initial_state: Bytes,
    /// The module of which a client spawned this one actor; none where an application was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawned_of: Option<ModuleName>,
}

/// A configuration as a deploy brings it.
pub enum Config {
    /// The text of a TOML file.
    Toml(String),
    /// What such a file would hold.
    Table(toml::Table),
}

impl Spec {
    /// The spec of a deploy that brings no configuration.
    pub fn of_form(application_id: &str, name: &str, version: &str) -> Result<Self, Refusal> {
        Ok(Self {
            application_id: ApplicationId::parse(application_id)?,
            name: ApplicationName::parse(name)?,
            version: Version::parse(version)?,
            description: format!("WASM application: {name}"),
            kind: ApplicationType::Active,
            tenant: Scope::default(),
            namespace: Scope::default(),
            dependencies: Vec::new(),
            supervisor: None,
            env: BTreeMap::new(),
            limits: GuestLimits::default(),
            capabilities: Capabilities::default(),
            mailbox_messages_max: limits::MAILBOX_MESSAGES_MAX,
            initial_state: Bytes::new(),
            spawned_of: None,
        })
    }

    /// The parts of its configuration that are not as in another, by their keys.
    pub fn changed_from(&self, old: &Self) -> Vec<&'static str> {
        let limits = |it: &Self| (it.limits, it.mailbox_messages_max);
        let parts = [
            ("dependencies", self.dependencies != old.dependencies),
            ("supervisor", self.supervisor != old.supervisor),
            ("env", self.env != old.env),
            ("limits", limits(self) != limits(old)),
            ("capabilities", self.capabilities != old.capabilities),
        ];
        let changed = parts.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(key, _)| key).collect()
    }

    /// The same, overlaid with a configuration. The refusal names the key, and the line if there are any.
    pub fn with_config(self, config: Config) -> Result<Self, Refusal> {
        match config {
            Config::Toml(text) => {
                let written = strict::of_toml::<Written>(&text);
                let written = written.map_err(|error| refused(&in_one_line(&text, &error)))?;
                self.overlaid(written, &text)
            }
            Config::Table(table) => {
                let written = strict::of_table::<Written>(table);
                let written = written.map_err(|error| refused(&in_one_line("", &error)))?;
                self.overlaid(written, "")
            }
        }
    }

    /// The text is where the lines are counted.
    fn overlaid(mut self, written: Written, text: &str) -> Result<Self, Refusal> {
        let refused_at = |key: &KeyPath, problem: &str| refused(&key.says(text, problem));
        for (key, written, form) in [
            ("name", written.name.as_deref(), &*self.name),
            ("version", written.version.as_deref(), &*self.version),
        ] {
            same(written, form).map_err(|it| refused_at(&KeyPath::of(key), &it))?;
        }
        self.kind = written.application_type;
        let dependencies = self.depends_on(&written.dependencies);
        self.dependencies = dependencies.map_err(|(key, it)| refused_at(&key, &it))?;
        self.supervisor = match written.supervisor {
            Some(supervisor) => {
                let tree = supervisor.checked(&KeyPath::of("supervisor"));
                Some(tree.map_err(|wrong| refused(&wrong.within(text)))?)
            }
            None => None,
        };
        if self.kind == ApplicationType::Library && self.supervisor.is_some() {
            return Err(refused_at(
                &KeyPath::of("type"),
                " is \"library\", and a library runs no actors; leave [supervisor] out",
            ));
        }
        if let Some(description) = written.description {
            self.description = description;
        }
        for (what, name, scope) in [
            ("tenant", written.tenant, &mut self.tenant),
            ("namespace", written.namespace, &mut self.namespace),
        ] {
            if let Some(name) = name {
                *scope = Scope::parse(what, &name)
                    .map_err(|error| refused_at(&KeyPath::of(what), &format!(": {error}")))?;
            }
        }
        if &*self.namespace == "by-id" {
            let problem = " by-id is reserved; choose another";
            return Err(refused_at(&KeyPath::of("namespace"), problem));
        }
        self.env = written.env;
        let unfit = self.env.iter().find(|(name, value)| {
            name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
        });
        if let Some((name, _)) = unfit {
            let problem =
                ": a name there is not empty and holds no '=', and neither it nor its value a NUL";
            return Err(refused_at(&KeyPath::of("env").key(name), problem));
        }
        if let Some(capabilities) = written.capabilities {
            let granted = capabilities.granted();
            self.capabilities = granted.map_err(|key| {
                let key = KeyPath::of("capabilities").key(key);
                refused_at(&key, " is not supported by this node; leave it out")
            })?;
        }
        let limits = written.limits.apply(&mut self);
        limits.map_err(|(key, problem)| refused_at(&KeyPath::of("limits").key(key), &problem))?;
        Ok(self)
    }

    /// The same with a tree that comes as a protobuf `SupervisorSpec`.
    pub fn with_supervisor(mut self, protobuf: &[u8]) -> Result<Self, Refusal> {
        let tree = supervisor::of_protobuf(protobuf);
        self.supervisor = Some(tree.map_err(|text| refused(&format!("supervisor: {text}")))?);
        Ok(self)
    }

    /// Names of applications, as a config lists them; else under which key one is wrong, and why.
    fn depends_on(&self, names: &[String]) -> Result<Vec<ApplicationName>, (KeyPath, String)> {
        let (key, most) = (KeyPath::of("dependencies"), limits::DEPENDENCIES_MAX);
        if names.len() > most {
            let listed = names.len();
            return Err((
                key,
                format!(" lists {listed} applications, the most is {most}"),
            ));
        }
        let mut dependencies = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let key = key.item(index, &index);
            let name = match ApplicationName::parse(name) {
                Ok(name) if name == self.name => {
                    return Err((key, ": an application does not depend on itself".into()));
                }
                Ok(name) => name,
                Err(error) => return Err((key, format!(": {error}"))),
            };
            if !dependencies.contains(&name) {
                dependencies.push(name);
            }
        }
        Ok(dependencies)
    }
}

impl Spec {
    /// The guest's environment for onlookers: what looks like a secret by its name is blotted out.
    pub fn env_without_secrets(&self) -> BTreeMap<String, String> {
        const TELLING: [&str; 7] = [
            "SECRET",
            "TOKEN",
            "PASS",
            "KEY",
            "CREDENTIAL",
            "AUTH",
            "PRIVATE",
        ];
        let mut env = self.env.clone();
        for (name, value) in &mut env {
            let name = name.to_ascii_uppercase();
            if TELLING.iter().any(|it| name.contains(it)) {
                *value = "[redacted]".into();
            }
        }
        env
    }
}

/// The configuration as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    version: Option<String>,
    description: Option<String>,
    #[serde(rename = "type", default)]
    application_type: ApplicationType,
    tenant: Option<String>,
    namespace: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    limits: WrittenLimits,
    supervisor: Option<supervisor::Written>,
    capabilities: Option<WrittenCapabilities>,
}

/// What is not set is off.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenCapabilities {
    allow_filesystem: bool,
    filesystem_root: String,
    allow_network: bool,
    allow_env: bool,
    allow_random: bool,
    allow_clocks: bool,
    allow_tuplespace: bool,
    allow_spawn_actors: bool,
    allow_send_messages: bool,
    allow_logging: bool,
}

impl WrittenCapabilities {
    /// The error is the key of one that no guest gets.
    fn granted(self) -> Result<Capabilities, &'static str> {
        for (asked, key) in [
            (self.allow_filesystem, "allow_filesystem"),
            (!self.filesystem_root.is_empty(), "filesystem_root"),
            (self.allow_network, "allow_network"),
        ] {
            if asked {
                return Err(key);
            }
        }
        Ok(Capabilities {
            env: self.allow_env,
            random: self.allow_random,
            clocks: self.allow_clocks,
            tuplespace: self.allow_tuplespace,
            spawn_actors: self.allow_spawn_actors,
            send_messages: self.allow_send_messages,
            logging: self.allow_logging,
        })
    }
}

/// Whether it runs actors, or lends its module to those that do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplicationType {
    #[default]
    Active,
    Library,
}

impl ApplicationType {
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Library => "library",
        }
    }
}

/// Numbers as TOML has them, so that those out of range are told the range.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLimits {
    max_memory_bytes: Option<i64>,
    max_execution_time: Option<Span>,
    max_mailbox: Option<i64>,
    max_message_bytes: Option<i64>,
    max_table_elements: Option<i64>,
}

/// A key of `[limits]`, and what is wrong with its value.
type Unfit = (&'static str, String);

impl WrittenLimits {
    fn apply(self, spec: &mut Spec) -> Result<(), Unfit> {
        let guest = &mut spec.limits;
        if let Some(Span(time)) = self.max_execution_time {
            let most = limits::GUEST_TIME_MAX;
            if !(Duration::from_millis(1)..=most).contains(&time) {
                let (time, most) = (Span(time), Span(most));
                let problem = format!(" is {time}; it must lie between 1ms and {most}");
                return Err(("max_execution_time", problem));
            }
            guest.execution_time_max = time;
        }
        bounded(
            "max_memory_bytes",
            self.max_memory_bytes,
            65_536..=limits::GUEST_MEMORY_BYTES_MAX,
            &mut guest.memory_bytes_max,
        )?;
        bounded(
            "max_message_bytes",
            self.max_message_bytes,
            1..=MIB,
            &mut guest.message_bytes_max,
        )?;
        bounded(
            "max_table_elements",
            self.max_table_elements,
            0..=limits::GUEST_TABLE_ELEMENTS_MAX,
            &mut guest.table_elements_max,
        )?;
        bounded(
            "max_mailbox",
            self.max_mailbox,
            1..=limits::MAILBOX_MESSAGES_CEILING,
            &mut spec.mailbox_messages_max,
        )
    }
}

fn bounded<T>(
    key: &'static str,
    written: Option<i64>,
    allowed: RangeInclusive<T>,
    place: &mut T,
) -> Result<(), Unfit>
where
    T: PartialOrd + fmt::Display + Copy + TryFrom<i64>,
{
    let Some(given) = written else {
        return Ok(());
    };
    match T::try_from(given) {
        Ok(value) if allowed.contains(&value) => {
            *place = value;
            Ok(())
        }
        _ => {
            let (least, most) = allowed.into_inner();
            let problem = format!(" is {given}; it must lie between {least} and {most}");
            Err((key, problem))
        }
    }
}

fn same(written: Option<&str>, form: &str) -> Result<(), String> {
    match written {
        Some(written) if written != form => Err(format!(
            " is {written:?} here and {form:?} in the form; make them equal or leave one out"
        )),
        _ => Ok(()),
    }
}

fn refused(text: &str) -> Refusal {
    Refusal::new(
        Kind::Unprocessable,
        format!("the config is refused: {}", abridged(text)),
    )
}

/// Bytes within a stored text.
mod as_base64 {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(config: &str) -> Result<Spec, String> {
        let form = Spec::of_form("calc-app", "calc", "1.0.0").unwrap();
        form.with_config(Config::Toml(config.to_owned()))
            .map_err(|refusal| refusal.message)
    }

    #[test]
    fn a_config_overlays_the_form() {
        let spec = parse(
            "name = 'calc'\ndescription = 'adds'\nnamespace = 'shop'\n[env]\nMODE = 'fast'\n\
             [limits]\nmax_execution_time = '250ms'\nmax_mailbox = 5\n",
        )
        .unwrap();
        assert_eq!(
            (&*spec.namespace, spec.description.as_str()),
            ("shop", "adds")
        );
        assert_eq!(spec.env["MODE"], "fast");
        assert_eq!(spec.limits.execution_time_max, Duration::from_millis(250));
        assert_eq!(spec.mailbox_messages_max, 5);
    }

    #[test]
    fn a_refused_config_says_where_and_why() {
        let check = |config: &str, words: &[&str]| {
            let error = parse(config).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{word:?} is missing in {error:?}");
            }
            assert!(!error.contains('\n'), "{error:?} has more than one line");
        };
        check("nmae = 'x'", &["line 1", "nmae", "expected one of"]);
        check("[limits]\nmax_mailbox = 'many'", &["line 2", "max_mailbox"]);
        check(
            "[limits]\nmax_mailbox = 0",
            &["line 2: limits.max_mailbox is 0", "between 1 and 1000000"],
        );
        check(
            "limits.max_memory_bytes = -1",
            &["line 1: limits.max_memory_bytes is -1", "between 65536"],
        );
        check(
            "[limits]\n\nmax_execution_time = '2h'",
            &["line 3: limits.max_execution_time is 2h", "1ms and 1h"],
        );
        check(
            "[limits]\nmax_mailbox = 1.5",
            &["line 2", "expected a whole number"],
        );
        check("name = 'other'", &["line 1: name is", "other", "calc"]);
        check("\nnamespace = 'by-id'", &["line 2: namespace", "reserved"]);
        check("[env]\na = 'b'\n'c=d' = 'e'", &["line 3: env.\"c=d\""]);
        check(
            "[capabilities]\nallow_network = true",
            &["line 2: capabilities.allow_network", "not supported"],
        );
        check(
            "[supervisor]\nstrategy = 'one'",
            &["line 2", "strategy", "one_for_one"],
        );
        check(
            "[[supervisor.children]]\nid = 'a'\n[[supervisor.children]]\nid = 'a'",
            &["line 4: supervisor.children[a].id", "two children"],
        );
        check("dependencies = ['calc']", &["dependencies", "itself"]);
        check("dependencies = ['a/b']", &["dependencies", "a/b"]);
        check(
            "type = 'library'\n[supervisor]",
            &["library", "[supervisor]"],
        );
        check("x = [", &["line 1"]);
        check(
            "[limits]\nmax_execution_time = 'soon'",
            &["max_execution_time", "30s"],
        );
    }
}
