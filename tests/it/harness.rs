//! A real node in a process of its own, on free ports and in a directory of its own, and a client that speaks to it.

// Each test binary uses its own part of this file.
#![allow(dead_code)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long a condition may take before the test says what it waited for. No test passes by waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a node and waits until it says where it listens.
pub fn node() -> Node {
    Node::start(TempDir::new().unwrap(), &[])
}

/// A running node. Dropped, it is killed.
pub struct Node {
    child: Child,
    log: Log,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    dir: Option<TempDir>,
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// A deploy about to be sent.
pub struct Deploy<'a> {
    node: &'a Node,
    fields: Vec<(String, Option<&'static str>, Vec<u8>)>,
}

impl Node {
    pub fn start(dir: TempDir, more: &[&str]) -> Self {
        Self::start_with(dir, more, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(dir: TempDir, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command(dir.path(), "127.0.0.1:0");
        command.args(more).envs(variables.iter().copied());
        Self::spawn(command, dir)
    }

    /// Starts a node on the directory of one that ended, with its node.toml if it had one.
    pub fn again(dir: TempDir) -> Self {
        let file = dir.path().join("node.toml");
        match file.exists() {
            true => Self::start(dir, &["--config", file.to_str().unwrap()]),
            false => Self::start(dir, &[]),
        }
    }

    /// The same under another id.
    pub fn renamed(dir: TempDir, id: &str) -> Self {
        let plain = command(dir.path(), "127.0.0.1:0");
        let mut renamed = Command::new(plain.get_program());
        let own = |argument| {
            if argument == "test-node" {
                id.as_ref()
            } else {
                argument
            }
        };
        renamed.args(plain.get_args().map(own));
        renamed
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Self::spawn(renamed, dir)
    }

    /// Starts a node that leaves a failed application failed for longer than any test.
    pub fn unforgiving() -> Self {
        Self::configured("[applications]\nrestart_delay = '1h'")
    }

    /// Starts a node and does not wait until it has restored what was deployed.
    pub fn hurried(dir: TempDir) -> Self {
        Self::answering(command(dir.path(), "127.0.0.1:0"), dir)
    }

    /// Starts a node with this node.toml.
    pub fn configured(toml: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("node.toml");
        fs::write(&file, toml).unwrap();
        Self::again(dir)
    }

    /// Starts a node with no more address space than this many KiB.
    pub fn start_within(address_space_kib: u64) -> Self {
        let limit = format!("ulimit -v {address_space_kib}");
        Self::start_under(&limit, &["--profile", "standard"])
    }

    /// Starts a node in a shell that has done this before.
    pub fn start_under(before: &str, more: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), before, more)
    }

    /// The same in a directory that is there already.
    pub fn start_in(dir: TempDir, before: &str, more: &[&str]) -> Self {
        let plain = command(dir.path(), "127.0.0.1:0");
        let mut limited = Command::new("sh");
        let script = format!("{before}; exec \"$@\"");
        limited
            .args(["-c", &script, "sh"])
            .arg(plain.get_program())
            .args(plain.get_args())
            .args(more);
        limited
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Self::spawn(limited, dir)
    }

    fn spawn(command: Command, dir: TempDir) -> Self {
        let node = Self::answering(command, dir);
        node.log.wait_for("ready, with");
        node
    }

    fn answering(mut command: Command, dir: TempDir) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Log::follow(child.stderr.take().unwrap());
        let address = |line: String| line.rsplit([' ', '/']).next().unwrap().parse().unwrap();
        let grpc = address(log.wait_for("gRPC port on"));
        let http = address(log.wait_for("Starting HTTP gateway server on"));
        Self {
            child,
            log,
            grpc,
            http,
            dir: Some(dir),
        }
    }

    pub fn data_dir(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    /// Sends a form with the usual fields for `name`, and this module.
    pub fn deploy(&self, name: &str, wasm: &[u8]) -> Answer {
        self.form(name, wasm).send()
    }

    pub fn form(&self, name: &str, wasm: &[u8]) -> Deploy<'_> {
        let text = |key: &str, value: String| (key.to_owned(), None, value.into_bytes());
        let fields = vec![
            text("application_id", format!("{name}-app")),
            text("name", name.to_owned()),
            text("version", "1.0.0".to_owned()),
            ("wasm_file".to_owned(), Some("module.wasm"), wasm.to_vec()),
        ];
        Deploy { node: self, fields }
    }

    pub fn undeploy(&self, name: &str) -> Answer {
        self.request("DELETE", &format!("/api/v1/applications/{name}"), &[], b"")
    }

    /// Asks the worker of the application `name`.
    pub fn ask(&self, name: &str, payload: &[u8]) -> Answer {
        self.ask_with(name, &[], payload)
    }

    pub fn ask_with(&self, name: &str, headers: &[(&str, &str)], payload: &[u8]) -> Answer {
        self.request(
            "POST",
            &format!("/api/v1/actors/{name}/{name}"),
            headers,
            payload,
        )
    }

    /// Asks an actor by its address, whatever its tenant.
    pub fn ask_by_id(&self, address: &str, payload: &[u8]) -> Answer {
        self.request(
            "POST",
            &format!("/api/v1/actors/by-id/{}", address.replace('/', "%2F")),
            &[],
            payload,
        )
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    pub fn total_applications(&self) -> u64 {
        self.get("/api/v1/dashboard/summary").json()["total_applications"]
            .as_u64()
            .unwrap()
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        send(
            &format!("http://{}{path}", self.http),
            method,
            headers,
            body,
        )
    }

    /// Waits until the node's log has a line with this text, and returns the line.
    pub fn log_says(&self, text: &str) -> String {
        self.log.wait_for(text)
    }

    /// What stands behind this text in each line of the log so far that has it.
    pub fn log_lines(&self, text: &str) -> Vec<String> {
        let lines = self.log.lines.0.lock().unwrap();
        let rest = lines.read.iter().filter_map(|line| line.split_once(text));
        rest.map(|(_, rest)| rest.to_owned()).collect()
    }

    /// How many lines of the log so far have this text.
    pub fn log_count(&self, text: &str) -> usize {
        self.log
            .read()
            .iter()
            .filter(|line| line.contains(text))
            .count()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for the process to end.
    pub fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Stops the node in order, and gives its directory back.
    pub fn stop(self) -> TempDir {
        self.signal(Signal::TERM);
        self.stopped()
    }

    /// Waits for a node that is to stop in order, and gives its directory back.
    pub fn stopped(mut self) -> TempDir {
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.dir.take().unwrap()
    }

    /// The status of an application, without its prefix.
    pub fn status_of(&self, name: &str) -> String {
        let answer = self.get(&format!("/api/v1/applications/{name}"));
        let status = answer.json()["status"].to_string();
        let status = status.trim_matches('"');
        status.trim_start_matches("APPLICATION_STATUS_").to_owned()
    }

    /// `start` or `stop` of an application.
    pub fn wish(&self, name: &str, verb: &str) -> Answer {
        let path = format!("/api/v1/applications/{name}:{verb}");
        self.request("POST", &path, &[], b"")
    }

    /// Ends the node without warning, and gives its directory back.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.dir.take().unwrap()
    }

    /// What lies in the data directory, but for its own few files.
    pub fn files(&self) -> Vec<PathBuf> {
        let folders = ["uploads", "artifacts", "compiled"].map(|name| self.data_dir().join(name));
        let entries = folders
            .iter()
            .flat_map(|folder| fs::read_dir(folder).unwrap());
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Waits until the data directory holds no upload: a client that left is noticed a moment later.
    pub fn uploads_end(&self) {
        let uploads = self.data_dir().join("uploads");
        let none = || fs::read_dir(&uploads).unwrap().next().is_none();
        self.waits_for("its last upload to end", none);
    }

    /// Waits until something is so with the node that no line of its log tells.
    #[track_caller]
    pub fn waits_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            let now = Instant::now();
            assert!(
                now < deadline,
                "waited for {what}; files {:?}, RSS {} bytes",
                self.files(),
                self.rss_bytes()
            );
            std::thread::yield_now();
        }
    }

    /// A figure as it is scraped: a count, named with its labels.
    #[track_caller]
    pub fn figure(&self, series: &str) -> usize {
        let scraped = self.get("/metrics").body;
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        let found = scraped.lines().find_map(value);
        found.unwrap_or_else(|| panic!("no {series} in\n{scraped}"))
    }

    /// File descriptors that the node holds.
    pub fn open_files(&self) -> usize {
        let dir = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(dir).unwrap().count()
    }

    /// Bytes of the node's memory that are resident, from the kernel.
    pub fn rss_bytes(&self) -> u64 {
        self.kernel_says("VmRSS:")
    }

    /// The most of it that ever was.
    pub fn peak_bytes(&self) -> u64 {
        self.kernel_says("VmHWM:")
    }

    fn kernel_says(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the node's log:\n{}", self.log.read().join("\n"));
        }
    }
}

impl Deploy<'_> {
    /// Puts `value` in the place of what the field had.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(field, ..)| field != name);
        self.fields
            .push((name.to_owned(), None, value.as_bytes().to_vec()));
        self
    }

    pub fn config(self, toml: &str) -> Self {
        self.field("config", toml)
    }

    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, ..)| field != name);
        self
    }

    pub fn send(self) -> Answer {
        let (content_type, body) = self.encode();
        let headers = [("content-type", content_type.as_str())];
        self.node
            .request("POST", "/api/v1/applications/deploy", &headers, &body)
    }

    /// The content type and the body, for tests that send them in a way of their own.
    pub fn encode(&self) -> (String, Vec<u8>) {
        const BOUNDARY: &str = "a-boundary-of-no-importance";
        let mut body = Vec::new();
        for (name, file_name, value) in &self.fields {
            let file_name =
                file_name.map_or(String::new(), |name| format!("; filename=\"{name}\""));
            let head = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file_name}\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(value);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={BOUNDARY}"), body)
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The reply of an actor, as JSON carries it.
    pub fn payload(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["payload"].clone()
    }

    /// The same as text, for guests that answer in digits, which are JSON too.
    pub fn body_payload(&self) -> String {
        let payload = self.payload();
        payload
            .as_str()
            .map_or_else(|| payload.to_string(), str::to_owned)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Fails unless this is that refusal, in the shape of every refusal, with these words in its text.
    #[track_caller]
    pub fn is_refused(&self, status: u16, code: &str, words: &[&str]) {
        let json = self.json();
        let shown = (
            self.status,
            json["success"].as_bool(),
            json["code"].as_str(),
        );
        assert_eq!(shown, (status, Some(false), Some(code)), "{self:?}");
        let text = json["error"].as_str().unwrap();
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
        assert!(!text.contains('\n'), "more than one line: {text:?}");
    }

    #[track_caller]
    pub fn is_deployed(&self) {
        assert_eq!(self.status, 200, "{self:?}");
        let json = self.json();
        assert_eq!(
            (&json["success"], &json["status"], &json["error"]),
            (
                &true.into(),
                &"APPLICATION_STATUS_RUNNING".into(),
                &Value::Null
            )
        );
    }
}

/// The binary with a data directory and an address.
pub fn command(data_dir: &Path, address: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexspaces"));
    command
        .args([
            "start",
            "--node-id",
            "test-node",
            "--listen-addr",
            address,
            "--data-dir",
        ])
        .arg(data_dir);
    command
        .env_remove("PLEXSPACES_DATA_DIR")
        .env_remove("PLEXSPACES_REQUIRE_TOKEN")
        .env_remove("PLEXSPACES_INSECURE_ALLOW_REMOTE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

pub fn send(url: &str, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE * 5))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = agent
        .run(request.body(body).unwrap())
        .unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let (parts, body) = response.into_parts();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let (status, headers) = (parts.status.as_u16(), headers.collect());
    let mut text = Vec::new();
    body.into_reader().read_to_end(&mut text).unwrap();
    Answer {
        status,
        headers,
        body: String::from_utf8_lossy(&text).into_owned(),
    }
}

/// A process's log, read as it comes.
struct Log {
    lines: Arc<(Mutex<Lines>, Condvar)>,
}

#[derive(Default)]
struct Lines {
    read: Vec<String>,
    /// Nothing more will come: the process has ended.
    ended: bool,
}

impl Log {
    fn follow(from: impl Read + Send + 'static) -> Self {
        let lines = Arc::new((Mutex::new(Lines::default()), Condvar::new()));
        let followed = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                followed.0.lock().unwrap().read.push(line);
                followed.1.notify_all();
            }
            followed.0.lock().unwrap().ended = true;
            followed.1.notify_all();
        });
        Self { lines }
    }

    fn wait_for(&self, text: &str) -> String {
        let has = |lines: &Lines| lines.read.iter().find(|line| line.contains(text)).cloned();
        let guard = self.lines.0.lock().unwrap();
        let waits = |lines: &mut Lines| has(lines).is_none() && !lines.ended;
        let (guard, _) = self
            .lines
            .1
            .wait_timeout_while(guard, PATIENCE, waits)
            .unwrap();
        has(&guard)
            .unwrap_or_else(|| panic!("the log never says {text:?}:\n{}", guard.read.join("\n")))
    }

    fn read(&self) -> Vec<String> {
        self.lines.0.lock().unwrap().read.clone()
    }
}
