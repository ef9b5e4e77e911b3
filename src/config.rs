//! What the operator asked for, in two stages: as written (file, environment, flags), then as checked and usable.

use std::env;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::auth::Demand;
use crate::clock::Span;
use crate::id::{InvalidName, NodeId, Scope};
use crate::limits;
use crate::machine;
use crate::maps;
use crate::toml_text::in_one_line;

/// A node's configuration, ready to use; passed in, never global.
#[derive(Clone, Debug)]
pub struct Config {
    pub node_id: NodeId,
    /// The gRPC port; the HTTP gateway listens on the next one. Port 0 takes any two that follow each other.
    pub listen_addr: SocketAddr,
    pub data_dir: PathBuf,
    /// What messages in flight get when the node stops.
    pub drain_time: Duration,
    pub profile: Profile,
    /// Actors with up to 64 MiB of memory each that may live at once; those with more have a pool of their own.
    pub actors_max: u32,
    /// What a failed application waits before it is started again, the first time.
    pub restart_delay: Duration,
    /// Names besides its own under which browsers and clients may ask for this node.
    pub http_hosts: Vec<String>,
    /// Who has to bring a token.
    pub token_demand: Demand,
    pub log_format: LogFormat,
    /// Namespaces, of every tenant, whose tuples outlive the node.
    pub durable_namespaces: Vec<String>,
}

/// How an event is written to the node's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Time, level, room and text, for people.
    #[default]
    Plain,
    /// One JSON object a line, for collectors.
    Json,
}

/// How much of the machine the node may plan with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A device of 64 to 128 MiB.
    Tiny,
    /// Up to 1 GiB.
    Small,
    /// Everything above.
    Standard,
}

/// The configuration as one source gives it; what it leaves open, the next source fills.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    pub node_id: Option<NodeId>,
    pub listen_addr: Option<ListenAddr>,
    pub data_dir: Option<PathBuf>,
    pub drain_time: Option<Span>,
    pub profile: Option<Profile>,
    pub actors_max: Option<ActorsMax>,
    pub require_token: Option<bool>,
    pub insecure_allow_remote: Option<bool>,
    pub log_format: Option<LogFormat>,
    #[serde(default)]
    pub http: WrittenHttp,
    #[serde(default)]
    pub applications: WrittenApplications,
    #[serde(default)]
    pub tuplespace: WrittenTupleSpace,
}

/// The `[http]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenHttp {
    pub hosts: Option<Vec<String>>,
}

/// The `[applications]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenApplications {
    pub restart_delay: Option<Span>,
}

/// The `[tuplespace]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenTupleSpace {
    pub durable: Option<Vec<Namespace>>,
}

/// A namespace's name, of whatever tenant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Namespace(pub Scope);

impl TryFrom<String> for Namespace {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Scope::parse("namespace", &text).map(Self)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {error}", .path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{}: {problem}", .path.display())]
    File { path: PathBuf, problem: String },
    #[error("environment variable {name}: {problem}")]
    Environment { name: &'static str, problem: String },
    #[error(
        "a token cannot be required and remote calls left open at once; \
         keep one of --require-token and --insecure-allow-remote"
    )]
    TokenDemand,
    #[error("no directory for the node's data is known; give one with --data-dir")]
    NoDataDir,
}

impl Written {
    pub fn of_file(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            path: path.into(),
            error,
        })?;
        toml::from_str(&text).map_err(|error| ConfigError::File {
            path: path.into(),
            problem: in_one_line(&text, &error),
        })
    }

    pub fn of_environment() -> Result<Self, ConfigError> {
        Ok(Self {
            node_id: parsed("PLEXSPACES_NODE_ID")?,
            listen_addr: parsed("PLEXSPACES_LISTEN_ADDR")?,
            data_dir: set("PLEXSPACES_DATA_DIR"),
            drain_time: parsed("PLEXSPACES_DRAIN_TIME")?,
            profile: parsed("PLEXSPACES_PROFILE")?,
            actors_max: parsed("PLEXSPACES_ACTORS_MAX")?,
            require_token: parsed("PLEXSPACES_REQUIRE_TOKEN")?.map(|Switch(on)| on),
            insecure_allow_remote: parsed("PLEXSPACES_INSECURE_ALLOW_REMOTE")?.map(|Switch(on)| on),
            log_format: parsed("PLEXSPACES_LOG_FORMAT")?,
            http: WrittenHttp::default(),
            applications: WrittenApplications::default(),
            tuplespace: WrittenTupleSpace::default(),
        })
    }

    /// This source, and below it the other: what both give, this one decides.
    pub fn over(self, below: Self) -> Self {
        Self {
            node_id: self.node_id.or(below.node_id),
            listen_addr: self.listen_addr.or(below.listen_addr),
            data_dir: self.data_dir.or(below.data_dir),
            drain_time: self.drain_time.or(below.drain_time),
            profile: self.profile.or(below.profile),
            actors_max: self.actors_max.or(below.actors_max),
            // The two exclude each other, so whoever says one decides on both.
            require_token: self.require_token.or(match self.insecure_allow_remote {
                Some(true) => None,
                _ => below.require_token,
            }),
            insecure_allow_remote: self.insecure_allow_remote.or(match self.require_token {
                Some(true) => None,
                _ => below.insecure_allow_remote,
            }),
            log_format: self.log_format.or(below.log_format),
            http: WrittenHttp {
                hosts: self.http.hosts.or(below.http.hosts),
            },
            applications: WrittenApplications {
                restart_delay: (self.applications.restart_delay)
                    .or(below.applications.restart_delay),
            },
            tuplespace: WrittenTupleSpace {
                durable: self.tuplespace.durable.or(below.tuplespace.durable),
            },
        }
    }

    /// Fills in the defaults and checks the whole.
    pub fn check(self) -> Result<Config, ConfigError> {
        let listen_addr = self
            .listen_addr
            .map_or(SocketAddr::from(([127, 0, 0, 1], 8000)), |given| given.0);
        let switches = [self.require_token, self.insecure_allow_remote];
        let token_demand = match switches.map(|on| on.unwrap_or(false)) {
            [true, true] => return Err(ConfigError::TokenDemand),
            [true, false] => Demand::Everyone,
            [false, true] => Demand::Nobody,
            [false, false] => Demand::Elsewhere,
        };
        let profile = self.profile.unwrap_or_else(Profile::of_this_machine);
        let given = self.actors_max.map(|ActorsMax(given)| given);
        Ok(Config {
            node_id: self.node_id.unwrap_or_default(),
            listen_addr,
            data_dir: self
                .data_dir
                .or_else(default_data_dir)
                .ok_or(ConfigError::NoDataDir)?,
            drain_time: self
                .drain_time
                .map_or(limits::DRAIN_TIME_DEFAULT, |span| span.0),
            profile,
            actors_max: given.unwrap_or_else(|| profile.actors_max()),
            restart_delay: (self.applications.restart_delay)
                .map_or(limits::REVIVAL_DELAY, |span| span.0),
            http_hosts: self.http.hosts.unwrap_or_default(),
            token_demand,
            log_format: self.log_format.unwrap_or_default(),
            durable_namespaces: (self.tuplespace.durable.into_iter().flatten())
                .map(|Namespace(name)| name.to_string())
                .collect(),
        })
    }
}

impl Profile {
    /// The one that the machine's memory, or what is granted of it, suggests.
    pub fn of_this_machine() -> Self {
        // All the world where the kernel does not say.
        Self::of_memory(machine::memory_bytes().unwrap_or(u64::MAX))
    }

    /// Bytes that mailboxes, timers and bodies in flight may take together.
    pub fn shared_bytes_max(self) -> usize {
        const SHARE: u64 = 8;
        let memory = machine::memory_bytes().unwrap_or(u64::MAX) / SHARE;
        match self {
            Self::Tiny => 16 * limits::MIB,
            Self::Small => 64 * limits::MIB,
            Self::Standard => memory.clamp(64 << 20, 512 << 20) as usize,
        }
    }

    /// Actors that a node of this profile has room for, unless it is told otherwise.
    pub fn actors_max(self) -> u32 {
        match self {
            Self::Tiny => 60,
            Self::Small => 250,
            Self::Standard => 1_000,
        }
    }

    fn of_memory(bytes: u64) -> Self {
        const MIB: u64 = 1 << 20;
        match bytes {
            bytes if bytes <= 192 * MIB => Self::Tiny,
            bytes if bytes <= 1024 * MIB => Self::Small,
            _ => Self::Standard,
        }
    }
}

/// How many actors may live at once, as the operator gives it: as many as the machine bears. The profile's own number
/// goes down a ladder instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct ActorsMax(pub u32);

impl TryFrom<i64> for ActorsMax {
    type Error = String;

    fn try_from(given: i64) -> Result<Self, String> {
        let maps = machine::memory_maps_max();
        let most = maps::actors_max(maps);
        let number = u32::try_from(given).unwrap_or(u32::MAX);
        if given > 0 && number <= most {
            return Ok(Self(number));
        }
        let remedy = match given {
            ..=0 => String::new(),
            _ => format!(
                ", or raise it: sysctl vm.max_map_count={}",
                maps::needed(number)
            ),
        };
        Err(format!(
            "actors_max is {given}, and this machine's vm.max_map_count of {maps} bears 1 to {most}; \
             choose a number between these{remedy}"
        ))
    }
}

impl FromStr for ActorsMax {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: i64 = text
            .parse()
            .map_err(|_| format!("{text:?} is no whole number of actors"))?;
        number.try_into()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Standard => "standard",
        })
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tiny" => Ok(Self::Tiny),
            "small" => Ok(Self::Small),
            "standard" => Ok(Self::Standard),
            _ => Err(format!(
                "{text:?} is no profile; use tiny, small or standard"
            )),
        }
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "plain" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is no format of a log; use plain or json")),
        }
    }
}

/// A variable that is on or off.
struct Switch(bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" => Ok(Self(true)),
            "false" | "0" => Ok(Self(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }
}

/// An address to listen on; `localhost` is resolved here, since a static binary has no name service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddr(pub SocketAddr);

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spelled_out = text.replacen("localhost:", "127.0.0.1:", 1);
        let parsed: Result<SocketAddr, _> = spelled_out.parse();
        let address =
            parsed.map_err(|_| format!("{text:?} is not ADDRESS:PORT, such as 0.0.0.0:8000"))?;
        match address.port() {
            u16::MAX => Err(format!(
                "{text:?} leaves no port for the HTTP gateway, which listens on the next one; use a port up to 65534"
            )),
            _ => Ok(Self(address)),
        }
    }
}

impl TryFrom<String> for ListenAddr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for NodeId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::parse(text)
    }
}

/// Where the data is when only a flag and the environment are asked.
pub fn data_dir(flag: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let given = flag.or_else(|| set("PLEXSPACES_DATA_DIR"));
    given
        .or_else(default_data_dir)
        .ok_or(ConfigError::NoDataDir)
}

/// systemd's state directory, else the XDG state directory.
fn default_data_dir() -> Option<PathBuf> {
    set("STATE_DIRECTORY")
        .or_else(|| set("XDG_STATE_HOME").map(|state| state.join("plexspaces")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/plexspaces")))
}

fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(
    name: &'static str,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = set(name) else {
        return Ok(None);
    };
    let parsed = value.to_string_lossy().parse();
    parsed
        .map(Some)
        .map_err(|error: T::Err| ConfigError::Environment {
            name,
            problem: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(toml: &str) -> Result<Written, String> {
        toml::from_str(toml).map_err(|error| in_one_line(toml, &error))
    }

    #[test]
    fn a_flag_decides_over_the_environment_and_that_over_the_file() {
        let of = |id: &str| Written {
            node_id: Some(NodeId::parse(id).unwrap()),
            ..Written::default()
        };
        let file =
            written("node_id = 'file'\ndrain_time = '3s'\nprofile = 'tiny'\nlog_format = 'json'")
                .unwrap();
        let config = of("flag").over(of("environment")).over(file);
        let config = Written {
            data_dir: Some("/x".into()),
            ..config
        };
        let config = config.check().unwrap();
        assert_eq!(&*config.node_id, "flag");
        assert_eq!(config.drain_time, Duration::from_secs(3));
        assert_eq!(config.profile, Profile::Tiny);
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(config.listen_addr.to_string(), "127.0.0.1:8000");
    }

    #[test]
    fn a_wrong_file_says_where_and_what_would_do() {
        let check = |toml: &str, words: &[&str]| {
            let error = written(toml).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{word:?} is not in {error:?}");
            }
        };
        check(
            "colour = 1",
            &["line 1", "colour", "listen_addr", "drain_time"],
        );
        check(
            "\nprofile = 'huge'",
            &["line 2", "huge", "tiny", "standard"],
        );
        check("listen_addr = 'here'", &["line 1", "here", "0.0.0.0:8000"]);
        check(
            "listen_addr = '127.0.0.1:65535'",
            &["line 1", "listen_addr", "65534"],
        );
        check(
            "[tuplespace]\ndurable = ['a', 'b/c']",
            &["line 2", "namespace", "b/c"],
        );
        check("drain_time = 3s", &["line 1", "must be quoted"]);
        for unquoted in ["listen_addr = 127.0.0.1:9100", "profile = tiny"] {
            check(unquoted, &["line 1", "put the value in quotes", unquoted]);
        }
        check("node_id = 'a b'", &["line 1", "a b", "letters"]);
        check("log_format = 'xml'", &["line 1", "xml", "plain", "json"]);
        check("drain_time = 'soon'", &["line 1", "soon", "30s"]);
        check("[http]\nhost = 'x'", &["line 2", "host", "hosts"]);
        check(
            "[http]\nhosts = 'x'",
            &["line 2", "string \"x\", expected a list: \"hosts"],
        );
        check(
            "http = 3",
            &["line 1", "integer `3`, expected a table: \"http"],
        );
    }

    #[test]
    fn a_number_of_actors_that_the_kernel_does_not_bear_says_what_would_do() {
        let check = |given: i64| {
            let file = written(&format!("profile = 'tiny'\nactors_max = {given}"))?;
            Ok::<_, String>(file.actors_max.unwrap().0)
        };
        assert_eq!(check(7).unwrap(), 7);
        for given in [-1, 0, i64::from(u32::MAX)] {
            let error = check(given).unwrap_err();
            let named =
                error.contains("line 2") && error.contains(&format!("actors_max is {given}"));
            assert!(named, "{error}");
            let raises = error.contains("sysctl vm.max_map_count=");
            assert!(
                error.contains("choose a number") && raises == (given > 0),
                "{error}"
            );
        }
    }

    #[test]
    fn a_long_key_is_not_echoed_whole() {
        let error = written(&format!("{} = 1", "k".repeat(1 << 20))).unwrap_err();
        assert!(
            error.len() < 1_000 && error.contains("kkk … "),
            "{} bytes",
            error.len()
        );
        assert!(error.contains("listen_addr"), "{error}");
    }

    #[test]
    fn the_profile_follows_the_memory() {
        let check = |mib: u64, expected| assert_eq!(Profile::of_memory(mib << 20), expected);
        check(64, Profile::Tiny);
        check(192, Profile::Tiny);
        check(256, Profile::Small);
        check(1024, Profile::Small);
        check(2048, Profile::Standard);
    }
}
