//! What a deploy asks for, from form fields and an optional TOML, parsed and checked.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::supervisor;
use crate::actor::TreeSpec;
use crate::clock::Span;
use crate::config::{abridged, in_one_line};
use crate::id::{ApplicationId, ApplicationName, ModuleName, Scope, Version};
use crate::limits::{self, MIB};
use crate::refusal::{Kind, Refusal};
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

    /// The same, overlaid with a configuration. The refusal names the key, and the line if there are any.
    pub fn with_config(self, config: Config) -> Result<Self, Refusal> {
        match config {
            Config::Toml(text) => {
                let written = toml::from_str::<Written<Spanned<String>>>(&text);
                let written = written.map_err(|error| refused(&in_one_line(&text, &error)))?;
                self.overlaid(written, &text)
            }
            Config::Table(table) => {
                let written = table.try_into::<Written<String>>();
                let written = written.map_err(|error| refused(&in_one_line("", &error)))?;
                self.overlaid(written, "")
            }
        }
    }

    /// The text is where the lines are counted.
    fn overlaid<I: supervisor::Id>(
        mut self,
        written: Written<I>,
        text: &str,
    ) -> Result<Self, Refusal> {
        same("name", written.name.as_deref(), &self.name)?;
        same("version", written.version.as_deref(), &self.version)?;
        self.kind = written.application_type;
        self.dependencies = self.depends_on(&written.dependencies)?;
        self.supervisor = match written.supervisor {
            Some(supervisor) => {
                let tree = supervisor.checked();
                Some(tree.map_err(|wrong| refused(&wrong.within(text)))?)
            }
            None => None,
        };
        if self.kind == ApplicationType::Library && self.supervisor.is_some() {
            return Err(refused(
                "type is \"library\", and a library runs no actors; leave [supervisor] out",
            ));
        }
        if let Some(description) = written.description {
            self.description = description;
        }
        for (what, text, scope) in [
            ("tenant", written.tenant, &mut self.tenant),
            ("namespace", written.namespace, &mut self.namespace),
        ] {
            if let Some(text) = text {
                *scope = Scope::parse(what, &text).map_err(|error| refused(&error.to_string()))?;
            }
        }
        if &*self.namespace == "by-id" {
            return Err(refused("the namespace by-id is reserved; choose another"));
        }
        self.env = written.env;
        if self.env.iter().any(|(name, value)| {
            name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
        }) {
            return Err(refused(
                "[env] has a name that is empty or holds '=', or a NUL; rename it",
            ));
        }
        if let Some(capabilities) = written.capabilities {
            self.capabilities = capabilities.granted()?;
        }
        written.limits.apply(&mut self)?;
        Ok(self)
    }

    /// The same with a tree that comes as a protobuf `SupervisorSpec`.
    pub fn with_supervisor(mut self, protobuf: &[u8]) -> Result<Self, Refusal> {
        let tree = supervisor::of_protobuf(protobuf);
        self.supervisor = Some(tree.map_err(|text| refused(&format!("supervisor: {text}")))?);
        Ok(self)
    }

    /// Names of applications, as a config or a message lists them.
    pub fn depends_on(&self, names: &[String]) -> Result<Vec<ApplicationName>, Refusal> {
        if names.len() > limits::DEPENDENCIES_MAX {
            let text = format!(
                "dependencies lists {} applications, the most is {}",
                names.len(),
                limits::DEPENDENCIES_MAX
            );
            return Err(refused(&text));
        }
        let mut dependencies = Vec::new();
        for name in names {
            let name = ApplicationName::parse(name)
                .map_err(|error| refused(&format!("dependencies: {error}")))?;
            if name == self.name {
                return Err(refused(
                    "dependencies: an application does not depend on itself",
                ));
            }
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
#[serde(deny_unknown_fields, bound = "I: Deserialize<'de>")]
struct Written<I> {
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
    supervisor: Option<supervisor::Written<I>>,
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
    fn granted(self) -> Result<Capabilities, Refusal> {
        for (asked, key) in [
            (self.allow_filesystem, "allow_filesystem"),
            (!self.filesystem_root.is_empty(), "filesystem_root"),
            (self.allow_network, "allow_network"),
        ] {
            if asked {
                return Err(refused(&format!(
                    "capabilities.{key} is not supported by this node; leave it out"
                )));
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

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLimits {
    max_memory_bytes: Option<u64>,
    max_execution_time: Option<Span>,
    max_mailbox: Option<usize>,
    max_message_bytes: Option<usize>,
    max_table_elements: Option<usize>,
}

impl WrittenLimits {
    fn apply(self, spec: &mut Spec) -> Result<(), Refusal> {
        let guest = &mut spec.limits;
        if let Some(Span(time)) = self.max_execution_time {
            let allowed = Duration::from_millis(1)..=limits::GUEST_TIME_MAX;
            if !allowed.contains(&time) {
                return Err(refused(
                    "limits.max_execution_time must lie between 1ms and 1h",
                ));
            }
            guest.execution_time_max = time;
        }
        let memory_max = limits::GUEST_MEMORY_BYTES_MAX;
        bounded(
            "max_memory_bytes",
            self.max_memory_bytes,
            65_536,
            memory_max,
            &mut guest.memory_bytes_max,
        )?;
        bounded(
            "max_message_bytes",
            self.max_message_bytes,
            1,
            MIB,
            &mut guest.message_bytes_max,
        )?;
        let table_max = limits::GUEST_TABLE_ELEMENTS_MAX;
        bounded(
            "max_table_elements",
            self.max_table_elements,
            0,
            table_max,
            &mut guest.table_elements_max,
        )?;
        bounded(
            "max_mailbox",
            self.max_mailbox,
            1,
            limits::MAILBOX_MESSAGES_CEILING,
            &mut spec.mailbox_messages_max,
        )
    }
}

fn bounded<T>(key: &str, written: Option<T>, min: T, max: T, place: &mut T) -> Result<(), Refusal>
where
    T: PartialOrd + std::fmt::Display,
{
    match written {
        Some(value) if value < min || value > max => Err(refused(&format!(
            "limits.{key} is {value}; it must lie between {min} and {max}"
        ))),
        Some(value) => {
            *place = value;
            Ok(())
        }
        None => Ok(()),
    }
}

fn same(key: &str, written: Option<&str>, form: &str) -> Result<(), Refusal> {
    match written {
        Some(written) if written != form => {
            let text = format!(
                "{key} is {written:?} here and {form:?} in the form; make them equal or leave one out"
            );
            Err(refused(&text))
        }
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
            &["max_mailbox", "between 1 and"],
        );
        check("name = 'other'", &["name", "other", "calc"]);
        check(
            "[supervisor]\nstrategy = 'one'",
            &["line 2", "strategy", "one_for_one"],
        );
        check(
            "[[supervisor.children]]\nid = 'a'\n[[supervisor.children]]\nid = 'a'",
            &["line 4", "supervisor.children", "two children"],
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
