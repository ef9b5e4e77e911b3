//! `plexspaces health`: whether a node serves, and what of it does not work as it should.

use anyhow::{bail, ensure};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use tokio::time::timeout;

use super::client::{self, Client};
use super::flags::node_command;
use super::output::{self, Output};
use super::{remedies, table};

node_command! {
/// Show whether a node is healthy, and what of it does not work as it should.
#[argh(
    subcommand,
    name = "health",
    example = "plexspaces health
plexspaces health --node edge-7:8000 --output json",
    note = "Exits with 0 if the node is healthy, with 1 if it is degraded, not serving or out of \
reach. It needs no token."
)]
pub struct Health {}
}

/// What the node says of itself.
#[derive(Deserialize)]
struct Standing {
    status: String,
    node_id: String,
    version: String,
    /// Why it does not serve.
    reason: Option<String>,
    degraded: Vec<Part>,
}

/// A part of it that does not work as it should.
#[derive(Deserialize)]
struct Part {
    component: String,
    reason: String,
}

const HEALTHY: &str = "healthy";

impl Health {
    pub fn run(self) -> anyhow::Result<()> {
        let client = self.client()?;
        let answer = client::block_on(asked(&client))?;
        let standing: Standing = client::read(&answer)?;
        match self.output {
            Output::Json => output::answer(&answer)?,
            Output::Text => output::text(&in_words(&standing))?,
        }
        let said = standing.status.replace('_', " ");
        ensure!(standing.status == HEALTHY, "the node is {said}");
        Ok(())
    }
}

/// The document, which comes with 503 where the node does not serve.
async fn asked(client: &Client) -> anyhow::Result<Bytes> {
    let request = Request::get("/health").body(Empty::<Bytes>::new())?;
    let asking = async {
        let response = client.send(request).await?;
        match response.status() {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => client::collect(response).await,
            _ => client::collect(client::accepted(response).await?).await,
        }
    };
    match timeout(client::ANSWER_TIME_MAX, asking).await {
        Ok(answer) => answer,
        Err(_) => bail!(
            "{} has not said within {:?} how it is; is it busy or gone?",
            client.node,
            client::ANSWER_TIME_MAX
        ),
    }
}

fn in_words(standing: &Standing) -> String {
    let why = standing.reason.as_ref();
    let why = why.map(|it| format!(": {it}")).unwrap_or_default();
    let mut lines = vec![format!(
        "node {} is {}{why}",
        standing.node_id,
        standing.status.replace('_', " ")
    )];
    lines.push(format!("  version  {}", standing.version));
    for part in &standing.degraded {
        let reason = remedies::in_commands(&part.reason);
        lines.push(format!("  {}: {reason}", part.component));
    }
    let width = table::width();
    let lines = lines.iter().map(|line| table::wrapped(line, width, 4));
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_work_is_said_in_commands() {
        let json = r#"{"status":"degraded","node_id":"edge-7","version":"0.1.0","reason":null,"degraded":[
            {"component":"application/a","reason":"it has failed; GET /api/v1/applications/a says why"}]}"#;
        let said = in_words(&serde_json::from_str(json).unwrap());
        assert_eq!(
            said,
            "node edge-7 is degraded\n  version  0.1.0\n  application/a: it has failed; plexspaces status a says why\n"
        );
        let json = r#"{"status":"not_serving","node_id":"edge-7","version":"0.1.0","reason":"the node is starting","degraded":[]}"#;
        let said = in_words(&serde_json::from_str(json).unwrap());
        assert!(
            said.starts_with("node edge-7 is not serving: the node is starting\n"),
            "{said}"
        );
    }
}
