//! Who sent a request, as far as the connection tells.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::task::Poll;

use super::connections::Activity;

/// The client of one request.
pub struct Client {
    pub address: SocketAddr,
    activity: Activity,
}

impl Client {
    pub fn new(address: SocketAddr, activity: Activity) -> Self {
        Self { address, activity }
    }

    /// Resolves once the client will send nothing more, and so perhaps is gone: for what is better not done then, such
    /// as to wait. It is polled with the connection, which is woken when that comes; of HTTP/2, whose requests end with their
    /// connection, it hears nothing.
    pub fn gone(&self) -> impl Future<Output = ()> {
        poll_fn(|_| match self.activity.has_left() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    }
}
