//! The scrape: what is counted, in a text that Prometheus reads, with labels that no client chooses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::guests::{ECHO, RASCAL, guest};
use crate::harness::{Node, node};
use plexspaces_node::wasm::Kind;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// One scrape in the older format, taken apart.
struct Scrape {
    text: String,
    /// Name to type and help.
    families: BTreeMap<String, (String, String)>,
    /// Name with labels to value.
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    fn of(node: &Node) -> Self {
        let answer = node.get("/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        let media_type = answer.header("content-type").unwrap();
        assert!(
            media_type.starts_with("text/plain; version=0.0.4"),
            "{media_type}"
        );
        Self::parse(answer.body)
    }

    /// Fails on anything that is not the text format: each family has its help, then its type, then its samples.
    fn parse(text: String) -> Self {
        let (mut families, mut samples) = (BTreeMap::new(), BTreeMap::new());
        let (mut helped, mut family) = (None, String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped = rest.split_once(' ');
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let (helped, help) = helped.take().expect("the help comes before the type");
                assert_eq!(name, helped);
                let said = (kind.to_owned(), help.to_owned());
                let twice = families.insert(name.to_owned(), said);
                assert!(twice.is_none(), "{name} is described twice");
                family = name.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
                assert!(name.chars().all(is_name), "{line}");
                let suffix = name.strip_prefix(family.as_str());
                let suffixes: &[&str] = match families[&family].0.as_str() {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                assert!(suffix.is_some_and(|it| suffixes.contains(&it)), "{line}");
                let twice = samples.insert(series.to_owned(), value.parse().unwrap());
                assert!(twice.is_none(), "{line} is there twice");
            }
        }
        Self {
            text,
            families,
            samples,
        }
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        let value = self.samples.get(series);
        *value.unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }
}

#[test]
fn what_happens_is_counted() {
    let node = Node::unforgiving();
    let config = "[limits]\nmax_execution_time = '200ms'";
    let rascal = guest(Kind::Core, RASCAL);
    node.form("rascal", &rascal)
        .config(config)
        .send()
        .is_deployed();
    node.deploy("no module", b"x");
    node.deploy("broken", b"no module");
    assert_eq!(node.ask("rascal", b"echo").status, 200);
    assert_eq!(node.ask("rascal", b"trap").status, 502);
    assert_eq!(node.ask("rascal", b"spin").status, 502);
    node.undeploy("nobody");
    let scrape = Scrape::of(&node);
    let check = |series: &str, expected: f64| {
        assert_eq!(
            scrape.value(series),
            expected,
            "{series} in\n{}",
            scrape.text
        );
    };
    check(r#"plexspaces_deploys_total{code="OK"}"#, 1.0);
    check(r#"plexspaces_deploys_total{code="INVALID_ARGUMENT"}"#, 2.0);
    check(r#"plexspaces_deploys_total{code="ALREADY_EXISTS"}"#, 0.0);
    check(r#"plexspaces_undeploys_total{code="NOT_FOUND"}"#, 1.0);
    let uploaded = rascal.len() as f64 + 1.0 + "no module".len() as f64;
    check("plexspaces_upload_bytes_total", uploaded);
    check(r#"plexspaces_messages_total{outcome="handled"}"#, 1.0);
    check(r#"plexspaces_messages_total{outcome="broken"}"#, 2.0);
    check("plexspaces_message_handling_seconds_count", 3.0);
    check(
        r#"plexspaces_message_handling_seconds_bucket{le="0.1"}"#,
        2.0,
    );
    check(r#"plexspaces_asks_total{outcome="answered"}"#, 1.0);
    check(r#"plexspaces_asks_total{outcome="broken"}"#, 2.0);
    check(r#"plexspaces_actor_faults_total{during="message"}"#, 2.0);
    check("plexspaces_actor_restarts_total", 2.0);
    check("plexspaces_actors_given_up_total", 0.0);
    check("plexspaces_actors", 1.0);
    check(r#"plexspaces_applications{status="running"}"#, 1.0);
    check(r#"plexspaces_compiles_total{outcome="compiled"}"#, 1.0);
    check("plexspaces_compile_seconds_count", 1.0);
    check(r#"plexspaces_pool_memories{class="small"}"#, 1.0);
    check("plexspaces_uploads_in_progress", 0.0);
    check(r#"plexspaces_http_requests_total{class="2xx"}"#, 2.0);
    check(r#"plexspaces_http_requests_total{class="5xx"}"#, 2.0);
    assert!(scrape.value("process_resident_memory_bytes") > 1e6);
    assert!(scrape.value("process_cpu_seconds_total") > 0.0);
    // The loop was busy for longer than a sample takes: the guest that spun saw to that.
    assert!(scrape.value("plexspaces_loop_lag_seconds_count") >= 1.0);
}

#[test]
fn waiting_messages_and_undelivered_ones_are_seen() {
    let node = node();
    let config = "[limits]\nmax_mailbox = 1";
    node.form("rascal", &guest(Kind::Core, RASCAL))
        .config(config)
        .send()
        .is_deployed();
    let ask = |ms, payload: &[u8]| {
        node.ask_with("rascal", &[("x-timeout-ms", ms)], payload)
            .status
    };
    std::thread::scope(|scope| {
        scope.spawn(|| while ask("2000", b"spin") == 429 {});
        // Whoever comes first while it spins waits in vain, and holds the mailbox's one place.
        let full = || (ask("50", b"echo") == 429).then(|| Scrape::of(&node));
        let waits = |scrape: &Scrape| scrape.value("plexspaces_mailbox_messages") == 1.0;
        let scrape = loop {
            if let Some(scrape) = full().filter(waits) {
                break scrape;
            }
        };
        assert_eq!(scrape.value("plexspaces_mailbox_messages_max"), 1.0);
        assert!(scrape.value("plexspaces_mailbox_bytes") > 4.0);
        let full = r#"plexspaces_undelivered_messages_total{reason="mailbox_full"}"#;
        assert!(scrape.value(full) >= 1.0);
        assert!(scrape.value(r#"plexspaces_asks_total{outcome="deadline_exceeded"}"#) >= 1.0);
    });
}

#[test]
fn no_label_is_a_clients_choice() {
    let node = node();
    let series = |scrape: &Scrape| scrape.samples.keys().cloned().collect::<BTreeSet<_>>();
    let before = series(&Scrape::of(&node));
    node.deploy("mallory", &guest(Kind::Core, ECHO))
        .is_deployed();
    node.ask_with("mallory", &[("x-message-type", "odd")], b"x");
    node.get("/mallory");
    node.request("PATCH", "/metrics", &[], b"");
    assert_eq!(series(&Scrape::of(&node)), before);
}

#[test]
fn who_asks_for_open_metrics_gets_it() {
    let node = node();
    let answer = node.request("GET", "/metrics", &[("accept", OPEN_METRICS)], b"");
    let media_type = answer.header("content-type").unwrap();
    assert!(media_type.starts_with(OPEN_METRICS), "{media_type}");
    assert!(answer.body.ends_with("# EOF\n"));
    assert!(
        answer
            .body
            .contains("# TYPE plexspaces_deploys counter\nplexspaces_deploys_total{code=\"OK\"} 0")
    );
    let stranger = node.request("GET", "/metrics", &[("forwarded", "for=192.0.2.7")], b"");
    stranger.is_refused(401, "UNAUTHENTICATED", &["token"]);
}

#[test]
fn the_manual_lists_just_what_is_measured() {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let manual = fs::read_to_string(manual).unwrap();
    let listed: BTreeSet<String> = manual
        .lines()
        .filter(|line| line.starts_with("| `p"))
        .map(str::to_owned)
        .collect();
    let scrape = Scrape::of(&node());
    let row = |(name, (kind, help)): (&String, &(String, String))| {
        let labels = labels_of(&scrape, name).join(" ");
        let help = help.trim_end_matches('.');
        format!("| `{name}` | {kind} | {labels} | {help} |")
    };
    let measured: BTreeSet<String> = scrape.families.iter().map(row).collect();
    let (missing, stale): (Vec<_>, Vec<_>) = (
        measured.difference(&listed).collect(),
        listed.difference(&measured).collect(),
    );
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/metrics.md lacks {missing:#?}\nand lists {stale:#?}"
    );
}

fn labels_of(scrape: &Scrape, family: &str) -> Vec<String> {
    let labelled = scrape
        .samples
        .keys()
        .find_map(|series| series.strip_prefix(family)?.strip_prefix('{'));
    let Some(labels) = labelled else {
        return Vec::new();
    };
    let names = labels.split(',').filter_map(|pair| pair.split_once('='));
    names.map(|(name, _)| format!("`{name}`")).collect()
}

/// Debian's `prometheus` package brings `promtool`; without it only the checks above hold the format.
#[test]
fn promtool_finds_nothing_to_say() {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = spawned else {
        eprintln!("skipped: promtool is not installed (apt-get install prometheus)");
        return;
    };
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    node.ask("echo", b"x");
    let text = node.get("/metrics").body;
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(
        output.status.success() && said.is_empty(),
        "{said}\nof\n{text}"
    );
}
