//! How the command line reaches a node: HTTP on the port after the one that the user names, gRPC on that one.

use std::env;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Usage;
use super::address::NodeAddr;
use super::remedies;
use super::token_flag::Given;
use crate::limits;

pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// For an answer that takes the node no work.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// For a change: actors finish their messages, and their states are written.
pub const CHANGE_TIME_MAX: Duration = Duration::from_secs(300);
/// Between two pieces of an answer.
const SILENCE_MAX: Duration = Duration::from_secs(90);
const ANSWER_BYTES_MAX: usize = 64 * limits::MIB;

/// A node, and the token for it.
pub struct Client {
    pub node: NodeAddr,
    http: NodeAddr,
    pub(super) authorization: Option<HeaderValue>,
}

/// A request over HTTP, but for what every one has.
pub struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    pub patience: Duration,
}

impl Client {
    /// Flags decide over the environment.
    pub fn new(node: Option<NodeAddr>, token: Given) -> anyhow::Result<Self> {
        let node = match (node, env::var("PLEXSPACES_NODE")) {
            (Some(node), _) => node,
            (None, Ok(text)) if !text.is_empty() => text.parse().map_err(|error| {
                Usage::new(&format!("environment variable PLEXSPACES_NODE: {error}"))
            })?,
            (None, _) => NodeAddr::default(),
        };
        let port = node.port.checked_add(1);
        let http = node.at(port.context("port 65535 leaves no port for HTTP; give the gRPC port")?);
        let authorization = token.authorization()?;
        Ok(Self {
            node,
            http,
            authorization,
        })
    }

    /// The body of a GET.
    pub async fn get(&self, path: &str) -> anyhow::Result<Bytes> {
        self.call(Call::new(Method::GET, path)).await
    }

    /// The same as a shape.
    pub async fn get_as<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        read(&self.get(path).await?)
    }

    /// Sends a request and returns the body of the answer; a refusal is an error with the node's words.
    pub async fn call(&self, call: Call<'_>) -> anyhow::Result<Bytes> {
        let patience = call.patience;
        let opened = self.open(call).await?;
        let collected = timeout(patience, collect(opened)).await;
        collected.map_err(|_| self.silent(patience))?
    }

    /// Sends a request and returns the answer while it is still coming.
    pub async fn open(&self, call: Call<'_>) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder().method(call.method).uri(call.path);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(call.body))?;
        let answering = async { accepted(self.send(request).await?).await };
        let answered = timeout(call.patience, answering).await;
        answered.map_err(|_| self.silent(call.patience))?
    }

    fn silent(&self, patience: Duration) -> anyhow::Error {
        anyhow!(
            "{} has not answered within {patience:?}; is the node busy or gone?",
            self.http
        )
    }

    /// Writes the body of a GET to `file` as it comes.
    pub async fn download(&self, path: &str, file: &mut impl Write) -> anyhow::Result<()> {
        let opened = self.open(Call::change(Method::GET, path)).await?;
        let mut pieces = Pieces::of(opened);
        while let Some(piece) = pieces.next().await? {
            file.write_all(&piece)?;
        }
        Ok(())
    }

    /// Sends any request over a connection of its own.
    pub async fn send<B>(&self, mut request: Request<B>) -> anyhow::Result<Response<Incoming>>
    where
        B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static,
    {
        let (address, stream) = match connect(&self.http).await {
            Ok(connected) => connected,
            Err(_) => return Err(self.explained().await),
        };
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::try_from(address.to_string())?);
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let sent = sender.send_request(request).await;
        sent.map_err(|error| match error.is_parse() || error.is_canceled() {
            true => anyhow!(
                "{} does not speak HTTP, or hangs up at once; is {} a node's gRPC port?",
                self.http,
                self.node
            ),
            false => anyhow::Error::new(error).context(format!(
                "{} broke off the call; plexspaces list tells what has become of it",
                self.http
            )),
        })
    }

    /// Why nobody answers on the HTTP port, as far as the port before it tells.
    async fn explained(&self) -> anyhow::Error {
        match connect(&self.node).await {
            Ok(_) => anyhow!(
                "{} answers, but nothing does at {}, where HTTP should be; --node takes a node's gRPC port, the one before",
                self.node,
                self.http
            ),
            // In words of the address that the user gave.
            Err(error) => error,
        }
    }
}

impl<'a> Call<'a> {
    pub fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            headers: Vec::new(),
            body: Bytes::new(),
            patience: ANSWER_TIME_MAX,
        }
    }

    /// Work of the node, for which it may take its time.
    pub fn change(method: Method, path: &'a str) -> Self {
        Self {
            patience: CHANGE_TIME_MAX,
            ..Self::new(method, path)
        }
    }
}

/// The first of a host's addresses that takes a connection.
pub async fn connect(node: &NodeAddr) -> anyhow::Result<(SocketAddr, TcpStream)> {
    let mut refused = None;
    for ip in node.addresses().await? {
        let address = SocketAddr::new(ip, node.port);
        let connecting = timeout(CONNECT_TIME_MAX, TcpStream::connect(address));
        match connecting.await {
            Ok(Ok(stream)) => return Ok((address, stream)),
            Ok(Err(error)) => refused = refused.or(Some(why(&error))),
            Err(_) => refused = refused.or(Some("it does not answer".into())),
        }
    }
    let why = refused.unwrap_or_else(|| "it has no address".into());
    bail!("cannot reach a node at {node}: {why}; is it running, and is --node its gRPC port?");
}

fn why(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "nothing listens there".into(),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            "there is no way to it".into()
        }
        _ => error.to_string(),
    }
}

const UNKNOWN: &str = "the node's answer is not what this program knows; are both of one version?";

/// A body as a shape.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body).context(UNKNOWN)
}

/// The same of a body that has been read as JSON.
pub fn shaped<T: DeserializeOwned>(json: Value) -> anyhow::Result<T> {
    serde_json::from_value(json).context(UNKNOWN)
}

/// An answer that is a success; another becomes an error with the node's words.
pub async fn accepted(response: Response<Incoming>) -> anyhow::Result<Response<Incoming>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = timeout(ANSWER_TIME_MAX, collect(response)).await;
    bail!(
        "{}",
        words(status, &body.ok().and_then(Result::ok).unwrap_or_default())
    )
}

pub async fn collect(response: Response<Incoming>) -> anyhow::Result<Bytes> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
    let body = body
        .await
        .map_err(|error| anyhow!("the node broke off its answer: {error}"))?;
    Ok(body.to_bytes())
}

/// What a refusal says.
fn words(status: StatusCode, body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match json["error"].as_str() {
        Some(error) if status == StatusCode::UNAUTHORIZED => {
            format!("{error}{HOW_A_TOKEN_IS_GIVEN}")
        }
        Some(error) => remedies::in_commands(&error.replace('\n', " ")),
        None => {
            format!("{status}: no node of this kind answers there; is --node the gRPC port of one?")
        }
    }
}

/// What a user does about a node that asks for a token.
pub const HOW_A_TOKEN_IS_GIVEN: &str =
    "; this program takes it as --token-file FILE or in PLEXSPACES_TOKEN";

/// An answer's body, piece by piece.
pub struct Pieces(Incoming);

impl Pieces {
    pub fn of(response: Response<Incoming>) -> Self {
        Self(response.into_body())
    }

    /// `None` at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let frame = timeout(SILENCE_MAX, self.0.frame()).await;
            let frame = frame.map_err(|_| anyhow!("the node fell silent"))?;
            match frame.transpose().context("the node broke off its answer")? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// Runs `work` on a loop of its own.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}
