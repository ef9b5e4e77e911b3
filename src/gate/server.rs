//! Two ports: bind them side by side, accept within bounds, serve, and close in good order.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connections::{Connections, Seat};
use super::wire::Wire;
use super::{Body, Client, Door};
use crate::metrics::StatusClass;
use crate::shutdown::Shutdown;
use crate::{limits, machine};

/// Both ports, bound and not yet answering.
pub struct Listeners {
    grpc: TcpListener,
    gateway: TcpListener,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}{role}: {error}; {}", remedy(error))]
pub struct BindError {
    address: SocketAddr,
    /// Which of the two ports that is, where the address was not given as it is.
    role: &'static str,
    error: io::Error,
}

/// What to do about a port that cannot be had.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop what uses the port, or choose another --listen-addr",
        io::ErrorKind::PermissionDenied => {
            "choose a port above 1023, or give the program the capability CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => {
            "give an address of this machine as --listen-addr, or 0.0.0.0 for all of them"
        }
        _ => "choose another --listen-addr",
    }
}

const HTTP: &str = ", the HTTP port, which is one after --listen-addr";

impl Listeners {
    /// Binds `address` and the port after it; port 0 looks for two that are free.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        if address.port() != 0 {
            return Self::bind_pair(address).await;
        }
        const PAIRS_TRIED_MAX: usize = 100;
        for _ in 1..PAIRS_TRIED_MAX {
            if let Ok(bound) = Self::bind_pair(any_port(address)).await {
                return Ok(bound);
            }
        }
        Self::bind_pair(any_port(address)).await
    }

    async fn bind_pair(address: SocketAddr) -> Result<Self, BindError> {
        let grpc = bind(address, "").await?;
        let mut next = grpc.local_addr().map_err(|error| BindError {
            address,
            role: "",
            error,
        })?;
        let Some(port) = next.port().checked_add(1) else {
            return Err(BindError {
                address: next,
                role: ", which leaves no port after it for HTTP",
                error: io::ErrorKind::AddrInUse.into(),
            });
        };
        next.set_port(port);
        Ok(Self {
            grpc,
            gateway: bind(next, HTTP).await?,
        })
    }

    pub fn grpc_addr(&self) -> io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    pub fn gateway_addr(&self) -> io::Result<SocketAddr> {
        self.gateway.local_addr()
    }

    /// Starts to answer on both ports, each by its own handler.
    pub fn open<G, H>(self, door: &Door, grpc: G, gateway: H) -> Doors
    where
        G: Handler,
        H: Handler,
    {
        let connections = [(); 2].map(|()| Connections::new(connections_max()));
        let [by_grpc, by_http] = connections.clone();
        let accepting = vec![
            tokio::spawn(accept(self.grpc, by_grpc, door.clone(), grpc)),
            tokio::spawn(accept(self.gateway, by_http, door.clone(), gateway)),
        ];
        Doors {
            accepting,
            connections,
        }
    }
}

/// Both ports, answering. Dropped, they are closed.
pub struct Doors {
    accepting: Vec<JoinHandle<()>>,
    connections: [Connections; 2],
}

impl Doors {
    /// Takes no more connections, and lets those there are send their last answers.
    pub async fn close(self) {
        self.accepting.iter().for_each(JoinHandle::abort);
        let ended = async {
            for connections in &self.connections {
                connections.ended().await;
            }
        };
        if tokio::time::timeout(limits::CLOSING_TIME_MAX, ended)
            .await
            .is_err()
        {
            log::info!("connections that did not end by themselves are closed");
        }
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

/// Some port below those that the kernel lends to outgoing connections, which come in crowds and take every second.
fn any_port(mut address: SocketAddr) -> SocketAddr {
    const FROM: u16 = 10_000;
    const BELOW: u16 = 32_768;
    let mut random = [0; 2];
    // Without random bytes there is still the first port.
    let _ = getrandom::fill(&mut random);
    address.set_port(FROM + u16::from_ne_bytes(random) % (BELOW - FROM));
    address
}

async fn bind(address: SocketAddr, role: &'static str) -> Result<TcpListener, BindError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| BindError {
        address,
        role,
        error,
    })
}

/// As many on each port as the limits say, or as the file descriptors allow beside files, pipes and the other port.
fn connections_max() -> usize {
    let open_files = machine::open_files_max().unwrap_or(usize::MAX);
    (open_files / 4).clamp(limits::CONNECTIONS_RESERVED_SHARE, limits::CONNECTIONS_MAX)
}

/// Answers each request of a port.
pub trait Handler: Clone + Send + Sync + 'static {
    fn answer(
        &self,
        door: Door,
        client: Client,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send + 'static;
}

impl<H, F> Handler for H
where
    H: Fn(Door, Client, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    fn answer(
        &self,
        door: Door,
        client: Client,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        self(door, client, request)
    }
}

async fn accept(
    listener: TcpListener,
    connections: Connections,
    door: Door,
    handler: impl Handler,
) {
    let mut warned: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // One who finds no room is hung up on: what waits in line here, nobody else can answer either.
                if let Some(seat) = connections.admit(peer.ip()) {
                    tokio::spawn(serve(stream, peer, seat, door.clone(), handler.clone()));
                }
            }
            Err(error) => {
                // Out of file descriptors, or a client that left: neither may end the server (RUSTSEC-2024-0376).
                if warned.is_none_or(|at| at.elapsed() > limits::ACCEPT_WARNING_EVERY) {
                    warned = Some(Instant::now());
                    log::warn!(
                        "cannot accept connections: {error}; idle ones are closed to make room"
                    );
                }
                match connections.dismiss_longest_idle() {
                    true => tokio::task::yield_now().await,
                    false => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, seat: Seat, door: Door, handler: impl Handler) {
    let _ = stream.set_nodelay(true);
    let shutdown = door.shutdown.clone();
    let service = service_fn(|request| {
        let busy = seat.activity.busy();
        let metrics = door.actors.metrics().clone();
        metrics.loop_lag.stir();
        let called = || format!("{} {}", request.method(), request.uri().path());
        let called = log::log_enabled!(log::Level::Debug).then(called);
        let client = Client::new(peer, seat.activity.clone());
        let answer = handler.answer(door.clone(), client, request);
        async move {
            let mut answer = answer.await;
            if let Some(called) = called {
                log::debug!("{peer} {called} {}", answer.status().as_u16());
            }
            let class = StatusClass::of(answer.status().as_u16());
            metrics.http_requests.count(class);
            answer.body_mut().keep(busy);
            Ok::<_, Infallible>(answer)
        }
    });
    let builder = builder();
    let wire = TokioIo::new(Wire::new(stream, seat.activity.clone()));
    let mut connection = pin!(builder.serve_connection(wire, service));
    let mut ends = ends(&seat, &shutdown);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        Some(end) = ends.next() => match end {
            End::Lost => return,
            End::Drained => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        }
    };
    if let Err(error) = ended {
        log::debug!("connection from {peer} ended: {error}");
    }
}

/// Why a connection is ended from this side.
enum End {
    Lost,
    /// A stopping node has nothing in flight any more: only then are connections told to end.
    Drained,
}

/// What ends a connection, in a set that looks at each only when it has something to say: the connection itself is
/// polled several times for every request.
type Ends<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = End> + Send + 'a>>>;

fn ends<'a>(seat: &'a Seat, shutdown: &'a Shutdown) -> Ends<'a> {
    let lost = async {
        seat.lost().await;
        End::Lost
    };
    let drained = async {
        shutdown.begun().await;
        shutdown.finished().await;
        End::Drained
    };
    let ends = FuturesUnordered::new();
    ends.push(Box::pin(lost) as Pin<Box<dyn Future<Output = _> + Send>>);
    ends.push(Box::pin(drained));
    ends
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // What a client asked and then closed is carried out all the same.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADERS_TIME_MAX)
        .max_buf_size(limits::CHUNK_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::PING_EVERY)
        .keep_alive_timeout(limits::PING_ANSWER_MAX)
        .max_concurrent_streams(limits::STREAMS_MAX)
        .max_header_list_size(limits::HEADERS_BYTES_MAX as u32)
        .max_pending_accept_reset_streams(limits::PENDING_RESETS_MAX)
        .max_frame_size(16 * 1024)
        .initial_connection_window_size(limits::WINDOW_BYTES_MAX)
        .initial_stream_window_size(limits::WINDOW_BYTES_MAX)
        .max_send_buf_size(limits::CHUNK_BYTES_MAX);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_that_cannot_be_had_has_its_remedy() {
        let check = |kind: io::ErrorKind, word: &str| {
            let error = BindError {
                address: SocketAddr::from(([127, 0, 0, 1], 80)),
                role: "",
                error: kind.into(),
            };
            let said = error.to_string();
            let begins = said.starts_with("cannot listen on 127.0.0.1:80: ");
            assert!(begins && said.contains(word), "{said}");
        };
        check(io::ErrorKind::AddrInUse, "stop what uses the port");
        check(io::ErrorKind::PermissionDenied, "CAP_NET_BIND_SERVICE");
        check(
            io::ErrorKind::AddrNotAvailable,
            "an address of this machine",
        );
        check(io::ErrorKind::Other, "choose another --listen-addr");
    }
}
