//! `plexspaces application`: deploy, look after and remove applications.

use hyper::Method;

use super::client::{self, Call};
use super::deploy::Deploy;
use super::flags::application_command;
use super::list::List;
use super::logs::Logs;
use super::output::{self, Output};
use super::path;
use super::shapes;
use super::standing;
use super::status::Status;

/// Deploy, look at, start, stop, roll back and undeploy applications.
#[derive(argh::FromArgs, argh::ArgsInfo)]
#[argh(
    subcommand,
    name = "application",
    example = "plexspaces application deploy --name calculator --wasm calculator.wasm
plexspaces application stop calculator
plexspaces application logs calculator -f"
)]
pub struct Application {
    #[argh(subcommand)]
    command: Command,
}

#[derive(argh::FromArgs, argh::ArgsInfo)]
#[argh(subcommand)]
enum Command {
    Deploy(Deploy),
    Undeploy(Undeploy),
    List(List),
    Status(Status),
    Start(Start),
    Stop(Stop),
    Rollback(Rollback),
    Logs(Logs),
}

application_command! {
/// Stop an application and forget it, with its module and the state of its actors.
#[argh(
    subcommand,
    name = "undeploy",
    example = "plexspaces undeploy calculator
plexspaces undeploy --node localhost:8000 --name calculator
plexspaces undeploy --app-id calculator-app"
)]
pub struct Undeploy {}
}

application_command! {
/// Start an application that was stopped; its actors get the state that they left.
#[argh(subcommand, name = "start", example = "plexspaces application start calculator")]
pub struct Start {}
}

application_command! {
/// Stop an application; it stays deployed, and stays stopped when the node starts again.
#[argh(subcommand, name = "stop", example = "plexspaces application stop calculator")]
pub struct Stop {}
}

application_command! {
/// Bring back the version before, with the state that the actors have now.
#[argh(subcommand, name = "rollback", example = "plexspaces application rollback calculator")]
pub struct Rollback {}
}

impl Application {
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Deploy(deploy) => deploy.run(),
            Command::Undeploy(undeploy) => undeploy.run(),
            Command::List(list) => list.run(),
            Command::Status(status) => status.run(),
            Command::Start(start) => start.run(),
            Command::Stop(stop) => stop.run(),
            Command::Rollback(rollback) => rollback.run(),
            Command::Logs(logs) => logs.run(),
        }
    }
}

impl Undeploy {
    pub fn run(self) -> anyhow::Result<()> {
        let (client, wanted) = (self.client()?, self.wanted()?);
        client::block_on(async {
            let name = wanted.name(&client).await?;
            let path = path::application(&name);
            let answer = client.call(Call::change(Method::DELETE, &path)).await?;
            if self.output == Output::Json {
                return output::answer(&answer);
            }
            let undeployed: shapes::Undeployed = client::read(&answer)?;
            let id = undeployed.application_id;
            output::text(&format!("{name} is undeployed (id {id})\n"))
        })
    }
}

impl Rollback {
    fn run(self) -> anyhow::Result<()> {
        let (client, wanted) = (self.client()?, self.wanted()?);
        client::block_on(async {
            let name = wanted.name(&client).await?;
            let before = standing::of(&client, &name).await;
            let path = format!("{}:rollback", path::application(&name));
            let answer = client.call(Call::change(Method::POST, &path)).await?;
            if self.output == Output::Json {
                return output::answer(&answer);
            }
            let after = standing::of(&client, &name).await;
            let way = before.zip(after);
            let way = way.and_then(|(before, after)| standing::way(before.what(), after.what()));
            let way = way.map(|way| format!(" {way}")).unwrap_or_default();
            output::text(&format!(
                "{name} is rolled back{way}; once more leads forward again\n"
            ))
        })
    }
}

/// `start` and `stop` differ in their verb.
macro_rules! wish {
    ($command:ident, $verb:literal) => {
        impl $command {
            fn run(self) -> anyhow::Result<()> {
                let (client, wanted) = (self.client()?, self.wanted()?);
                client::block_on(async {
                    let name = wanted.name(&client).await?;
                    let path = format!("{}:{}", path::application(&name), $verb);
                    let answer = client.call(Call::change(Method::POST, &path)).await?;
                    if self.output == Output::Json {
                        return output::answer(&answer);
                    }
                    let now: shapes::Deployed = client::read(&answer)?;
                    output::text(&format!("{name} is {}\n", shapes::status(&now.status)))
                })
            }
        }
    };
}

wish!(Start, "start");
wish!(Stop, "stop");
