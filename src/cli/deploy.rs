//! `plexspaces deploy`: a small module by gRPC, a large one by HTTP.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use hyper::{Method, Request, header};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Usage;
use super::client::{self, Client};
use super::flags::node_command;
use super::grpc;
use super::module::{self, Module, Sha256Text, megabytes};
use super::output::{self, Output};
use super::shapes::{self, Application};
use super::standing::{self, Became};
use super::upload::{Form, Progress};
use crate::id::{ApplicationId, ApplicationName, InvalidName, Version};
use crate::limits;
use crate::toml_text::read_up_to;

/// The largest module that goes by gRPC.
const GRPC_WASM_BYTES_MAX: u64 = 5 * limits::MIB as u64;
/// How long a node may take to say that it wants the body; curl waits as long.
const CONTINUE_TIME_MAX: Duration = Duration::from_secs(1);
/// How long an upload may stand still.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);
/// From the last byte to the answer: other modules are compiled first, then this one, then its actors start.
pub const COMPILE_TIME_MAX: Duration = Duration::from_secs(1200);

node_command! {
/// Deploy a WebAssembly module as an application.
#[argh(
    subcommand,
    name = "deploy",
    example = "plexspaces deploy --name calculator --wasm calculator.wasm
plexspaces deploy --name counter --wasm counter.wasm --version 1.2.0
plexspaces deploy --node edge-7:8000 --token-file token --name a --wasm a.wasm
plexspaces deploy --name a --wasm a.wasm --config a.toml --dry-run",
    note = "Up to 5 MiB go by gRPC; larger modules, and those with --config or --dry-run, by HTTP on the next port.
At most 100 MiB. To make a module smaller, build it with opt-level = \"z\" and
without debug information, then strip it: wasm-tools strip -a IN -o OUT."
)]
pub struct Deploy {
    /// what operators call it; it is undeployed and asked by this name
    #[argh(option)]
    name: String,
    /// the file of the module
    #[argh(option, arg_name = "file")]
    wasm: PathBuf,
    /// an id of your own, for tracking (default: the one it has, else the name)
    #[argh(option, arg_name = "id")]
    app_id: Option<String>,
    /// its version (default: 1.0.0)
    #[argh(option, default = "String::from(\"1.0.0\")")]
    version: String,
    /// a TOML file with its supervisor, env, limits and capabilities (default: one worker)
    #[argh(option, arg_name = "file")]
    config: Option<PathBuf>,
    /// the SHA-256 that the file must have, in hexadecimal
    #[argh(option, arg_name = "hex")]
    sha256: Option<Sha256Text>,
    /// do everything but the deploy itself, and say whether it would succeed
    #[argh(switch)]
    dry_run: bool,
}
}

impl Deploy {
    pub fn run(self) -> anyhow::Result<()> {
        self.check_names()?;
        let client = self.client()?;
        let mut module = Module::open(&self.wasm)?;
        if let Some(sha256) = &self.sha256 {
            module.check(sha256)?;
        }
        let config = self.config.as_deref().map(config).transpose()?;
        // Only a rehearsal compares it itself.
        let digest = self.dry_run.then(|| module.digest()).transpose()?;
        client::block_on(async {
            let before = standing::of(&client, &self.name).await;
            let id = self.application_id(before.as_ref());
            let by_grpc = module.bytes <= GRPC_WASM_BYTES_MAX;
            if !by_grpc {
                self.announce_http(module.bytes);
            }
            let answer = match by_grpc && config.is_none() && !self.dry_run {
                true => self.by_grpc(&client, id, &mut module).await?,
                false => self.by_http(&client, id, module, config.as_deref()).await?,
            };
            let after = match self.dry_run {
                true => None,
                false => standing::of(&client, &self.name).await,
            };
            if self.config.is_none() {
                standing::say_what_is_dropped(before.as_ref(), after.as_ref());
            }
            if self.output == Output::Json {
                return output::answer(&answer);
            }
            let text = match digest {
                Some(digest) => self.rehearsed(before.as_ref(), &digest),
                None => {
                    let became = standing::deployed(before.as_ref(), after.as_ref());
                    self.done(&client::read(&answer)?, &became)
                }
            };
            output::text(&text)
        })
    }

    /// What the node would refuse of the names is known before anything is sent.
    fn check_names(&self) -> anyhow::Result<()> {
        let wrong = |flag: &str, error: InvalidName| Usage::new(&format!("--{flag}: {error}"));
        ApplicationName::parse(&self.name).map_err(|it| wrong("name", it))?;
        Version::parse(&self.version).map_err(|it| wrong("version", it))?;
        if let Some(id) = &self.app_id {
            ApplicationId::parse(id).map_err(|it| wrong("app-id", it))?;
        }
        Ok(())
    }

    /// An upgrade that says nothing else leaves an application the id that it has.
    fn application_id<'a>(&'a self, before: Option<&'a Application>) -> &'a str {
        let kept = before.map_or(&self.name, |it| &it.application_id);
        self.app_id.as_ref().unwrap_or(kept)
    }

    /// The guide's line. Where standard output is for a program, it goes beside it.
    fn announce_http(&self, bytes: u64) {
        let line = format!(
            "⚠️  WASM file size ({}) exceeds gRPC limit (5MB), using HTTP multipart upload",
            megabytes(bytes)
        );
        match self.output {
            // Who does not read it wants the deploy all the same.
            Output::Text => drop(output::text(&format!("{line}\n"))),
            Output::Json => output::note(&line),
        }
    }

    fn path(&self) -> &'static str {
        match self.dry_run {
            true => "/api/v1/applications/deploy?dry_run=true",
            false => "/api/v1/applications/deploy",
        }
    }

    async fn by_grpc(
        &self,
        client: &Client,
        application_id: &str,
        module: &mut Module,
    ) -> anyhow::Result<Bytes> {
        let deploy = grpc::Deploy {
            application_id,
            name: &self.name,
            version: &self.version,
            wasm: module.read()?,
        };
        grpc::deploy(client, deploy).await
    }

    async fn by_http(
        &self,
        client: &Client,
        application_id: &str,
        module: Module,
        config: Option<&str>,
    ) -> anyhow::Result<Bytes> {
        let mut fields = vec![
            ("application_id", application_id),
            ("name", &self.name),
            ("version", &self.version),
        ];
        fields.extend(config.map(|config| ("config", config)));
        let bar = bar(module.bytes);
        let form = Form::new(&fields, module, bar.clone())?;
        let progress = form.progress.clone();
        let request = request(form, self.path())?;
        let answering = async {
            let response = client::accepted(client.send(request).await?).await?;
            client::collect(response).await
        };
        let answer = tokio::select! {
            answer = answering => answer,
            still = standstill(progress) => Err(still),
        };
        bar.finish_and_clear();
        answer
    }

    /// What a rehearsal of this module says, where `before` stands.
    fn rehearsed(&self, before: Option<&Application>, digest: &str) -> String {
        let Self { name, version, .. } = self;
        let way = before.map(|it| standing::way(it.what(), (version, digest)));
        match way {
            None => format!("{name} {version} could be deployed; nothing was changed\n"),
            Some(Some(way)) => format!("would upgrade {name} {way}; nothing was changed\n"),
            Some(None) => {
                format!("{name} {version} is there with this module; nothing was changed\n")
            }
        }
    }

    fn done(&self, deployed: &shapes::Deployed, became: &Became) -> String {
        let Self { name, version, .. } = self;
        let (id, status) = (&deployed.application_id, shapes::status(&deployed.status));
        match became {
            Became::New => format!("{name} {version} is deployed (id {id}, {status})\n"),
            Became::Another(way) => format!("{name} is upgraded {way} (id {id}, {status})\n"),
            Became::Same => format!(
                "{name} {version} is deployed already, just so; nothing was changed (id {id}, {status})\n"
            ),
        }
    }
}

fn request(mut form: Form, path: &str) -> anyhow::Result<Request<Form>> {
    let wanted = Arc::new(Notify::new());
    let heard = wanted.clone();
    form.hold_back(async move {
        let _ = timeout(CONTINUE_TIME_MAX, heard.notified()).await;
    });
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, form.content_type())
        .header(header::CONTENT_LENGTH, form.length())
        // A node that refuses says so before megabytes are on their way.
        .header(header::EXPECT, "100-continue")
        .body(form)?;
    hyper::ext::on_informational(&mut request, move |_| wanted.notify_one());
    Ok(request)
}

/// Resolves when an upload has stood still for too long, or its answer is overdue.
async fn standstill(progress: Progress) -> anyhow::Error {
    loop {
        let before = progress.sent();
        let patience = match progress.ended() {
            true => COMPILE_TIME_MAX,
            false => STANDSTILL_MAX,
        };
        tokio::time::sleep(patience).await;
        if progress.sent() == before {
            return anyhow!(
                "the node has taken nothing and said nothing for {patience:?}; plexspaces status tells what has become of it"
            );
        }
    }
}

/// On a terminal only, on standard error.
fn bar(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}");
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    bar.with_style(style.expect("the template is one"))
}

fn config(path: &Path) -> anyhow::Result<String> {
    let text = read_up_to(limits::CONFIG_BYTES_MAX, module::open(path)?);
    text.with_context(|| format!("cannot read {} as text", path.display()))
}
