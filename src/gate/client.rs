//! Who sent a request, as far as the connection tells.

use std::net::SocketAddr;

use super::connections::Activity;

/// The client of one request.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    activity: Activity,
}

impl Client {
    pub fn new(address: SocketAddr, activity: Activity) -> Self {
        Self { address, activity }
    }

    /// Resolves once the client will send nothing more, and so perhaps is gone: for what is better not done then, such
    /// as to wait.
    pub async fn gone(&self) {
        self.activity.leaving().await;
    }
}
