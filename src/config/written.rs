//! The configuration as it is written: in a file, in the environment, or by flags, one over the other.

use std::env;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use super::{
    ActorsMax, ConfigError, DataDir, DrainTime, HostName, LogFormat, LogLevels, Profile,
    RestartDelay,
};
use crate::id::{InvalidName, NodeId, Scope};
use crate::limits;
use crate::serde_words::shortened;
use crate::strict;
use crate::toml_text::{KeyPath, abridged, in_one_line, read_up_to};

/// The configuration as one source gives it; what it leaves open, the next source fills.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    pub node_id: Option<NodeId>,
    pub listen_addr: Option<ListenAddr>,
    pub data_dir: Option<DataDir>,
    pub drain_time: Option<DrainTime>,
    pub profile: Option<Profile>,
    pub actors_max: Option<ActorsMax>,
    pub require_token: Option<bool>,
    pub insecure_allow_remote: Option<bool>,
    pub log_format: Option<LogFormat>,
    /// Only the environment says it.
    #[serde(skip)]
    pub log_levels: Option<LogLevels>,
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
    pub hosts: Option<Vec<HostName>>,
}

/// The `[applications]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenApplications {
    pub restart_delay: Option<RestartDelay>,
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

impl Written {
    pub fn of_file(path: &Path) -> Result<Self, ConfigError> {
        let file = File::open(path);
        let text = file.and_then(|file| read_up_to(limits::NODE_CONFIG_BYTES_MAX, file));
        let text = text.map_err(|error| ConfigError::Unreadable {
            path: path.into(),
            error,
        })?;
        let problem = |problem| ConfigError::File {
            path: path.into(),
            problem,
        };
        let written: Self =
            strict::of_toml(&text).map_err(|error| problem(in_one_line(&text, &error)))?;
        match written.contradicts_itself() {
            true => Err(problem(both_switches(&text))),
            false => Ok(written),
        }
    }

    pub fn of_environment() -> Result<Self, ConfigError> {
        Ok(Self {
            node_id: parsed("PLEXSPACES_NODE_ID")?,
            listen_addr: parsed("PLEXSPACES_LISTEN_ADDR")?,
            data_dir: set("PLEXSPACES_DATA_DIR").map(DataDir),
            drain_time: parsed("PLEXSPACES_DRAIN_TIME")?,
            profile: parsed("PLEXSPACES_PROFILE")?,
            actors_max: parsed("PLEXSPACES_ACTORS_MAX")?,
            require_token: parsed("PLEXSPACES_REQUIRE_TOKEN")?.map(|Switch(on)| on),
            insecure_allow_remote: parsed("PLEXSPACES_INSECURE_ALLOW_REMOTE")?.map(|Switch(on)| on),
            log_format: parsed("PLEXSPACES_LOG_FORMAT")?,
            log_levels: parsed("PLEXSPACES_LOG")?,
            http: WrittenHttp::default(),
            applications: WrittenApplications::default(),
            tuplespace: WrittenTupleSpace::default(),
        })
    }

    /// Who has to bring a token, as two switches that exclude each other: `require_token`, `insecure_allow_remote`.
    pub(super) fn switches(&self) -> [Option<bool>; 2] {
        [self.require_token, self.insecure_allow_remote]
    }

    /// Whether it demands a token of everybody and of nobody at once.
    pub fn contradicts_itself(&self) -> bool {
        self.switches() == [Some(true), Some(true)]
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
            log_levels: self.log_levels.or(below.log_levels),
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
}

/// What is wrong with a file that turns both switches on.
fn both_switches(text: &str) -> String {
    let (required, open) = (
        KeyPath::of("require_token"),
        KeyPath::of("insecure_allow_remote"),
    );
    let where_open = match open.line(text) {
        Some(line) => format!("{open} (line {line})"),
        None => open.to_string(),
    };
    required.says(
        text,
        &format!(
            " and {where_open} are both true, and a token cannot be required and remote calls left open at once; keep one"
        ),
    )
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

pub(super) fn set(name: &str) -> Option<PathBuf> {
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
            problem: abridged(&shortened(&error.to_string())),
        })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn written(toml: &str) -> Result<Written, String> {
        strict::of_toml(toml).map_err(|error| in_one_line(toml, &error))
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
            data_dir: Some(DataDir("/x".into())),
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
        check(
            "profile = 3",
            &["line 1", "expected a string", "profile = 3"],
        );
        check(
            "\ndrain_time = '0s'",
            &[
                "line 2",
                "drain_time is 0s; it must lie between 100ms and 10m",
            ],
        );
        check(
            "[applications]\nrestart_delay = '2h'",
            &[
                "line 2",
                "restart_delay is 2h; it must lie between 10ms and 1h",
            ],
        );
        check(
            "[http]\nhosts = ['fine', 'http://edge-7:8001']",
            &[
                "line 2",
                "\"http://edge-7:8001\" is no host name",
                "no port",
            ],
        );
        check("data_dir = ''", &["line 1", "data_dir is empty"]);
        check("log_levels = 'info'", &["line 1", "unknown field"]);
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
    fn a_list_is_no_table_whatever_is_in_it() {
        for (toml, line, key) in [
            ("http = [['evil.example']]", 1, "http"),
            ("\nhttp = []", 2, "http"),
            ("applications = ['1s']", 1, "applications"),
            ("node_id = 'x'\ntuplespace = [\n['a']]", 2, "tuplespace"),
        ] {
            let error = written(toml).unwrap_err();
            let begins = error.starts_with(&format!(
                "line {line}: invalid type: list, expected a table"
            ));
            assert!(begins && error.contains(&format!("\"{key} = ")), "{error}");
        }
    }

    #[test]
    fn a_file_that_demands_a_token_and_none_says_where() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("node.toml");
        fs::write(
            &path,
            "require_token = true\n\ninsecure_allow_remote = true\n",
        )
        .unwrap();
        let error = Written::of_file(&path).unwrap_err().to_string();
        let said =
            "node.toml: line 1: require_token and insecure_allow_remote (line 3) are both true";
        assert!(
            error.contains(said) && error.ends_with("keep one"),
            "{error}"
        );
        fs::write(&path, "require_token = true\ninsecure_allow_remote = false").unwrap();
        assert!(Written::of_file(&path).is_ok());
    }

    #[test]
    fn a_long_number_is_not_echoed_whole() {
        for key in ["drain_time", "actors_max", "node_id", "http"] {
            let error = written(&format!("{key} = 1e308")).unwrap_err();
            assert!(
                error.len() < 250 && !error.contains(&"0".repeat(41)),
                "{error}"
            );
        }
        let error = written(&format!("drain_time = '{}'", "9".repeat(309))).unwrap_err();
        assert!(
            error.contains("999...") && !error.contains(&"9".repeat(41)),
            "{error}"
        );
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
}
