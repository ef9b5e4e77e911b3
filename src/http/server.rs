//! Two ports: bind them side by side, accept within bounds, serve, and close in good order.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::reply::Body;
use super::{Door, router};
use crate::limits;
use crate::metrics::StatusClass;
use crate::shutdown::Shutdown;

/// Both ports, bound and not yet answering.
pub struct Listeners {
    grpc: TcpListener,
    gateway: TcpListener,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {error}; stop what uses the port, or choose another --listen-addr"
)]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

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
        let grpc = bind(address).await?;
        let mut next = grpc
            .local_addr()
            .map_err(|error| BindError { address, error })?;
        let Some(port) = next.port().checked_add(1) else {
            return Err(BindError {
                address: next,
                error: io::ErrorKind::AddrNotAvailable.into(),
            });
        };
        next.set_port(port);
        Ok(Self {
            grpc,
            gateway: bind(next).await?,
        })
    }

    pub fn grpc_addr(&self) -> io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    pub fn gateway_addr(&self) -> io::Result<SocketAddr> {
        self.gateway.local_addr()
    }

    /// Starts to answer on both ports.
    pub fn open(self, door: &Door) -> Doors {
        let connections = [(); 2].map(|()| Arc::new(Semaphore::new(limits::CONNECTIONS_MAX)));
        let [grpc, gateway] = connections.clone();
        let accepting = vec![
            tokio::spawn(accept(self.grpc, grpc, door.clone(), router::grpc_port)),
            tokio::spawn(accept(self.gateway, gateway, door.clone(), router::gateway)),
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
    /// Each connection holds a permit of its port's.
    connections: [Arc<Semaphore>; 2],
}

impl Doors {
    /// Takes no more connections, and lets those there are send their last answers.
    pub async fn close(self) {
        self.accepting.iter().for_each(JoinHandle::abort);
        let ended = async {
            for connections in &self.connections {
                let all = connections
                    .acquire_many(limits::CONNECTIONS_MAX as u32)
                    .await;
                drop(all.expect("the semaphore is never closed"));
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

async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| BindError { address, error })
}

async fn accept<H, F>(listener: TcpListener, connections: Arc<Semaphore>, door: Door, handler: H)
where
    H: Fn(Door, SocketAddr, Request<Incoming>) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    loop {
        // Beyond the cap, clients wait in the kernel's queue.
        let permit = connections
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => {
                let door = door.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    serve(stream, peer, door, handler).await;
                });
            }
            Err(error) => {
                // Out of file descriptors, or a client that left: neither may end the server (RUSTSEC-2024-0376).
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve<H, F>(stream: TcpStream, peer: SocketAddr, door: Door, handler: H)
where
    H: Fn(Door, SocketAddr, Request<Incoming>) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let activity = Activity::new();
    let shutdown = door.shutdown.clone();
    let service = service_fn(|request| {
        let busy = activity.busy();
        let metrics = door.actors.metrics().clone();
        metrics.loop_lag.stir();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = handler(door.clone(), peer, request);
        async move {
            let answer = answer.await;
            log::debug!("{peer} {method} {path} {}", answer.status().as_u16());
            let class = StatusClass::of(answer.status().as_u16());
            metrics.http_requests.count(class);
            drop(busy);
            Ok::<_, Infallible>(answer)
        }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = activity.idle_for_too_long() => return,
        () = drained(&shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        log::debug!("connection from {peer} ended: {error}");
    }
}

/// Resolves when a stopping node has nothing in flight any more: only then are connections told to end.
async fn drained(shutdown: &Shutdown) {
    shutdown.begun().await;
    shutdown.finished().await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADERS_TIME_MAX)
        .max_buf_size(limits::CHUNK_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS_MAX)
        .max_header_list_size(limits::HEADERS_BYTES_MAX as u32)
        .max_pending_accept_reset_streams(limits::PENDING_RESETS_MAX)
        .max_frame_size(16 * 1024)
        .max_send_buf_size(limits::CHUNK_BYTES_MAX);
    builder
}

/// What is going on upon one connection, so that an idle one can be told from a busy one.
#[derive(Clone)]
struct Activity(Arc<Mutex<State>>);

struct State {
    in_flight: usize,
    quiet_since: Instant,
    quiet_max: Duration,
}

/// A request being answered.
struct Busy(Activity);

impl Activity {
    fn new() -> Self {
        let quiet_max = limits::FIRST_REQUEST_TIME_MAX;
        Self(Arc::new(Mutex::new(State {
            in_flight: 0,
            quiet_since: Instant::now(),
            quiet_max,
        })))
    }

    fn busy(&self) -> Busy {
        let mut state = self.0.lock().unwrap();
        state.in_flight += 1;
        state.quiet_max = limits::CONNECTION_IDLE_MAX;
        Busy(self.clone())
    }

    async fn idle_for_too_long(&self) {
        loop {
            let next_look = {
                let state = self.0.lock().unwrap();
                let now = Instant::now();
                let since = if state.in_flight > 0 {
                    now
                } else {
                    state.quiet_since
                };
                if now.duration_since(since) >= state.quiet_max {
                    return;
                }
                since + state.quiet_max
            };
            tokio::time::sleep_until(next_look).await;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap();
        state.in_flight -= 1;
        state.quiet_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn idle_after(activity: &Activity) -> Duration {
        let began = Instant::now();
        activity.idle_for_too_long().await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_soon_closed() {
        assert_eq!(
            idle_after(&Activity::new()).await,
            limits::FIRST_REQUEST_TIME_MAX
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_asked_may_rest_for_longer() {
        let activity = Activity::new();
        drop(activity.busy());
        assert_eq!(idle_after(&activity).await, limits::CONNECTION_IDLE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_being_answered_is_never_idle() {
        let (activity, answered) = (Activity::new(), Duration::from_secs(600));
        let busy = activity.busy();
        let answer = async {
            tokio::time::sleep(answered).await;
            drop(busy);
        };
        let (idle, ()) = tokio::join!(idle_after(&activity), answer);
        assert!(
            idle >= answered + limits::CONNECTION_IDLE_MAX
                && idle < answered + 2 * limits::CONNECTION_IDLE_MAX
        );
    }
}
