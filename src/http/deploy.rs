//! A multipart stream becomes an upload and a spec, and the two become an application.

use std::sync::{Arc, Mutex};

use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderMap;
use hyper::http::request::Parts;

use super::multipart::{Form, Part};
use super::reply::{self, Body};
use super::{Door, api};
use crate::application::Streaming;
use crate::application::spec::{Config, Spec};
use crate::audit::Entry;
use crate::id::Digest;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::Artifact;

/// POST /api/v1/applications/deploy
pub async fn deploy(
    door: &Door,
    mut entry: Entry,
    parts: &Parts,
    body: Incoming,
) -> Response<Body> {
    let headers = &parts.headers;
    let rehearsal = match dry_run(parts.uri.query()) {
        Ok(rehearsal) => rehearsal,
        Err(refusal) => {
            turn_down(door, entry, false, &refusal);
            return reply::refuse_early(refusal, headers, body);
        }
    };
    let (turn, streaming) = match door.applications.begin_upload() {
        Ok(admitted) => admitted,
        Err(refusal) => {
            turn_down(door, entry, rehearsal, &refusal);
            return told_to_wait(reply::refuse_early(refusal, headers, body));
        }
    };
    if body.size_hint().lower() > limits::WASM_FILE_BYTES_MAX + limits::DEPLOY_ENVELOPE_BYTES_MAX {
        let refusal = too_large();
        turn_down(door, entry, rehearsal, &refusal);
        return reply::refuse_early(refusal, headers, body);
    }
    let (spec, artifact) = match receive_in_time(door, headers, body, streaming).await {
        Ok(received) => received,
        Err(refusal) => {
            turn_down(door, entry, rehearsal, &refusal);
            return match refusal.kind {
                Kind::Unavailable => told_to_wait(reply::refuse(&refusal)),
                _ => reply::refuse(&refusal),
            };
        }
    };
    entry.concerns(&spec.name, &spec.version, &artifact.digest);
    let application_id = spec.application_id.to_string();
    let applications = door.applications.clone();
    // From here on a client that leaves changes nothing.
    let deploying = async move {
        let _turn = turn;
        match rehearsal {
            true => applications.rehearse(spec, artifact).await,
            false => applications.deploy(spec, artifact).await,
        }
    };
    match door.carry_out(entry, deploying).await {
        Ok(status) => reply::json(&api::Deployed {
            success: true,
            application_id,
            status: status.name(),
            error: None,
        }),
        Err(refusal) => reply::refuse(&refusal),
    }
}

fn told_to_wait(refused: Response<Body>) -> Response<Body> {
    reply::retry_after(refused, limits::UPLOAD_RETRY_AFTER.as_secs())
}

/// Leaves word of a deploy that ends before the applications hear of it; they count the others. Rehearsals are no
/// deploys, and are counted nowhere.
fn turn_down(door: &Door, entry: Entry, rehearsal: bool, refusal: &Refusal) {
    if !rehearsal {
        door.actors.metrics().deploys.count(refusal.kind.into());
    }
    entry.refused(refusal);
}

/// `?dry_run=true` asks for everything but the application itself.
fn dry_run(query: Option<&str>) -> Result<bool, Refusal> {
    let mut rehearsal = false;
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        rehearsal = match (&*key, &*value) {
            ("dry_run", "true") => true,
            ("dry_run", "false") => false,
            _ => {
                return Err(Refusal::new(
                    Kind::Malformed,
                    "the query of a deploy is dry_run=true, or nothing",
                ));
            }
        };
    }
    Ok(rehearsal)
}

/// Reads the whole form, and then whatever the client sends after it, so that it sees the answer.
async fn receive_in_time(
    door: &Door,
    headers: &HeaderMap,
    body: Incoming,
    streaming: Streaming,
) -> Result<(Spec, Artifact), Refusal> {
    let body = Arc::new(Mutex::new(body));
    let receiving = receive(door, headers, body.clone(), &streaming);
    let received = streaming.receive(receiving).await;
    // The form is dropped by now, so the rest of the body is ours.
    if let Some(body) = Arc::into_inner(body) {
        reply::drain(body.into_inner().unwrap());
    }
    received
}

/// The parts that came so far.
#[derive(Default)]
struct Fields {
    application_id: Option<String>,
    name: Option<String>,
    version: Option<String>,
    config: Option<String>,
    sha256: Option<String>,
    artifact: Option<Artifact>,
}

async fn receive(
    door: &Door,
    headers: &HeaderMap,
    body: Arc<Mutex<Incoming>>,
    streaming: &Streaming,
) -> Result<(Spec, Artifact), Refusal> {
    let mut form = Form::new(headers, body)?;
    let mut fields = Fields::default();
    while let Some(part) = form.next().await? {
        let name = part.name().to_owned();
        let repeated = match name.as_str() {
            "application_id" => fields
                .application_id
                .replace(part.text(limits::FIELD_BYTES_MAX).await?)
                .is_some(),
            "name" => fields
                .name
                .replace(part.text(limits::FIELD_BYTES_MAX).await?)
                .is_some(),
            "version" => fields
                .version
                .replace(part.text(limits::FIELD_BYTES_MAX).await?)
                .is_some(),
            "config" => fields
                .config
                .replace(part.text(limits::CONFIG_BYTES_MAX).await?)
                .is_some(),
            "sha256" => fields
                .sha256
                .replace(part.text(limits::FIELD_BYTES_MAX).await?)
                .is_some(),
            "wasm_file" if fields.artifact.is_some() => true,
            "wasm_file" => fields
                .artifact
                .replace(store(door, part, streaming).await?)
                .is_some(),
            _ => return Err(unknown_field(&name)),
        };
        if repeated {
            return Err(Refusal::new(
                Kind::Malformed,
                format!("the field {name} is given twice; send it once"),
            ));
        }
    }
    fields.check(door).await
}

/// Streams the module to the disk.
async fn store(door: &Door, mut part: Part, streaming: &Streaming) -> Result<Artifact, Refusal> {
    let mut upload = door.applications.upload().await?;
    let mut whole = None;
    while let Some(chunk) = part.chunk().await? {
        whole = (upload.bytes() == 0).then(|| chunk.clone());
        if upload.bytes() + chunk.len() as u64 > limits::WASM_FILE_BYTES_MAX {
            return Err(too_large());
        }
        let metrics = door.actors.metrics();
        metrics.upload_bytes.inc_by(chunk.len() as u64);
        streaming.received(chunk.len());
        upload.write(chunk).await?;
    }
    match whole.as_deref().and_then(path_of) {
        Some(path) => Err(path_sent(path)),
        None => Ok(upload.finish().await?),
    }
}

/// The path of a module, where that was sent in the place of the module.
fn path_of(wasm_file: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(wasm_file).ok()?.trim();
    let is_path = text.len() <= 255 && text.ends_with(".wasm") && !text.contains(char::is_control);
    is_path.then_some(text)
}

/// Whether a configuration is the name of a TOML file, where that was sent in the place of what is in it.
fn is_file_name(config: &str) -> bool {
    let text = config.trim();
    let is_path = text.len() <= 255 && text.ends_with(".toml");
    is_path && !text.contains(['=', '#', '[', '\n'])
}

fn file_name_sent(config: &str) -> Refusal {
    let name = config.trim();
    let text = format!(
        "config is the text {name:?}, not a configuration; write config=@{name}, with an @"
    );
    Refusal::new(Kind::Unprocessable, text)
}

fn path_sent(path: &str) -> Refusal {
    let text =
        format!("wasm_file is the text {path:?}, not a module; write wasm_file=@FILE, with an @");
    Refusal::new(Kind::Unprocessable, text)
}

impl Fields {
    async fn check(self, door: &Door) -> Result<(Spec, Artifact), Refusal> {
        match self {
            Self {
                application_id: Some(id),
                name: Some(name),
                version: Some(version),
                artifact: Some(artifact),
                config,
                sha256,
            } => {
                check_digest(sha256.as_deref(), artifact.digest)?;
                let spec = Spec::of_form(&id, &name, &version)?;
                let spec = match config {
                    Some(config) if is_file_name(&config) => return Err(file_name_sent(&config)),
                    Some(config) => {
                        let config = Config::Toml(config);
                        door.applications.configured(spec, config).await?
                    }
                    None => spec,
                };
                Ok((spec, artifact))
            }
            incomplete => Err(incomplete.missing()),
        }
    }

    fn missing(&self) -> Refusal {
        let present = [
            ("application_id", self.application_id.is_some()),
            ("name", self.name.is_some()),
            ("version", self.version.is_some()),
            ("wasm_file", self.artifact.is_some()),
        ];
        let missing: Vec<&str> = present
            .iter()
            .filter(|(_, present)| !present)
            .map(|(name, _)| *name)
            .collect();
        let text = format!(
            "missing required fields: {}; send each with curl -F",
            missing.join(", ")
        );
        Refusal::new(Kind::Malformed, text)
    }
}

/// The digest that the client sent along, in hexadecimal, must be that of what arrived.
fn check_digest(sent: Option<&str>, arrived: Digest) -> Result<(), Refusal> {
    match sent {
        Some(sent) if !sent.trim().eq_ignore_ascii_case(&arrived.to_string()) => {
            let text = format!(
                "sha256 does not match: the wasm_file that arrived has {arrived}; send it again"
            );
            Err(Refusal::new(Kind::Unprocessable, text))
        }
        _ => Ok(()),
    }
}

fn unknown_field(name: &str) -> Refusal {
    let shown: String = name.chars().take(64).collect();
    let text = format!(
        "unknown field {shown:?}; a deploy has application_id, name, version, wasm_file and, if wanted, config and sha256"
    );
    Refusal::new(Kind::Malformed, text)
}

fn too_large() -> Refusal {
    let text = format!(
        "Payload too large: wasm_file may have at most {} bytes (100 MiB); make it smaller, for example with wasm-tools strip -a",
        limits::WASM_FILE_BYTES_MAX
    );
    Refusal::new(Kind::TooLarge, text)
}
