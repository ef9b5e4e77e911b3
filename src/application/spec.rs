//! What a deploy asks for, from form fields and an optional TOML, parsed and checked.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
    pub tenant: Scope,
    pub namespace: Scope,
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
            tenant: Scope::default(),
            namespace: Scope::default(),
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
        let written = match config {
            Config::Toml(text) => {
                toml::from_str(&text).map_err(|error| refused(&in_one_line(&text, &error)))
            }
            Config::Table(table) => {
                let read = table.try_into();
                read.map_err(|error| refused(&in_one_line("", &error)))
            }
        };
        self.overlaid(written?)
    }

    fn overlaid(mut self, written: Written) -> Result<Self, Refusal> {
        same("name", written.name.as_deref(), &self.name)?;
        same("version", written.version.as_deref(), &self.version)?;
        if written.application_type == ApplicationType::Library {
            return Err(not_yet("type = \"library\""));
        }
        if !written.dependencies.is_empty() {
            return Err(not_yet("dependencies"));
        }
        if written.supervisor.is_some() {
            return Err(not_yet("[supervisor]"));
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
    supervisor: Option<toml::Table>,
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

#[derive(Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ApplicationType {
    #[default]
    Active,
    Library,
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
            1_000_000,
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

fn not_yet(what: &str) -> Refusal {
    refused(&format!(
        "{what} is not supported by this node yet; leave it out"
    ))
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
            "[supervisor]\nstrategy = 'one_for_one'",
            &["[supervisor]", "yet"],
        );
        check("x = [", &["line 1"]);
        check(
            "[limits]\nmax_execution_time = 'soon'",
            &["max_execution_time", "30s"],
        );
    }
}
