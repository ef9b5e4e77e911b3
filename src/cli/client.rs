//! How the command line reaches a node over HTTP.

use std::env;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The gRPC address of a node: `HOST:PORT`, where HOST is an IP address or `localhost`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAddr(pub SocketAddr);

impl Default for NodeAddr {
    fn default() -> Self {
        Self(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)))
    }
}

impl FromStr for NodeAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not HOST:PORT, such as localhost:8000; HOST is an IP address or localhost"
            )
        };
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        // A static binary has no name service.
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        match host {
            "localhost" => Ok(Self((Ipv4Addr::LOCALHOST, port).into())),
            _ => Err(wrong()),
        }
    }
}

/// A node's HTTP gateway, and the token for it.
pub struct Client {
    http: SocketAddr,
    token: Option<String>,
}

impl Client {
    /// Flags decide over the environment.
    pub fn new(node: Option<NodeAddr>, token: Option<String>) -> anyhow::Result<Self> {
        let node = match (node, env::var("PLEXSPACES_NODE")) {
            (Some(node), _) => node,
            (None, Ok(text)) => text
                .parse()
                .map_err(anyhow::Error::msg)
                .context("environment variable PLEXSPACES_NODE")?,
            (None, Err(_)) => NodeAddr::default(),
        };
        let mut http = node.0;
        let port = http.port().checked_add(1);
        http.set_port(port.context("port 65535 leaves no port for HTTP; give the gRPC port")?);
        let token = token.or_else(|| env::var("PLEXSPACES_TOKEN").ok());
        Ok(Self { http, token })
    }

    /// Writes the body of a GET to `file`; a refusal is an error with the node's words.
    pub async fn download(&self, path: &str, file: &mut impl Write) -> anyhow::Result<()> {
        let mut response = self.get(path).await?;
        if !response.status().is_success() {
            let body = response.into_body().collect().await?.to_bytes();
            bail!("{}", words(&body));
        }
        while let Some(frame) = response.body_mut().frame().await {
            if let Ok(data) = frame.context("the node broke off its answer")?.into_data() {
                file.write_all(&data)?;
            }
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> anyhow::Result<Response<Incoming>> {
        let address = self.http;
        let unreachable =
            || format!("no node answers at {address}; is it running, and is --node its gRPC port?");
        let stream = TcpStream::connect(address)
            .await
            .with_context(unreachable)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::get(path).header(header::HOST, host(address));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new())?;
        sender.send_request(request).await.with_context(unreachable)
    }
}

fn host(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => format!("{ip}:{}", address.port()),
        IpAddr::V6(ip) => format!("[{ip}]:{}", address.port()),
    }
}

/// What a refusal says.
fn words(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let error = json["error"].as_str().map(str::to_owned);
    error.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

/// Runs `work` on a loop of its own.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}
