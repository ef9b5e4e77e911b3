//! A multipart stream becomes an upload and a spec, and the two become an application.

use std::sync::{Arc, Mutex};

use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderMap;
use tokio::time::timeout;

use super::multipart::{Form, Part};
use super::reply::{self, Body};
use super::{Door, api};
use crate::application::spec::Spec;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::Artifact;

/// POST /api/v1/applications/deploy
pub async fn deploy(door: &Door, headers: &HeaderMap, body: Incoming) -> Response<Body> {
    let Ok(_permit) = door.uploads.clone().try_acquire_owned() else {
        let text = format!(
            "{} uploads are under way, the most at a time; try again soon",
            limits::UPLOADS_MAX
        );
        let refused = reply::refuse_early(
            counted(door, Refusal::new(Kind::Unavailable, text)),
            headers,
            body,
        );
        return reply::retry_after(refused, limits::UPLOAD_RETRY_AFTER.as_secs());
    };
    if body.size_hint().lower() > limits::WASM_FILE_BYTES_MAX + limits::DEPLOY_ENVELOPE_BYTES_MAX {
        return reply::refuse_early(counted(door, too_large()), headers, body);
    }
    let body = Arc::new(Mutex::new(body));
    let received = match timeout(
        limits::UPLOAD_TIME_MAX,
        receive(door, headers, body.clone()),
    )
    .await
    {
        Ok(received) => received,
        Err(_) => Err(Refusal::new(
            Kind::Malformed,
            format!("the upload took more than {:?}", limits::UPLOAD_TIME_MAX),
        )),
    };
    // The form is dropped by now, so the rest of the body is ours.
    if let Some(body) = Arc::into_inner(body) {
        reply::drain(body.into_inner().unwrap());
    }
    let (spec, artifact) = match received {
        Ok(received) => received,
        Err(refusal) => return reply::refuse(&counted(door, refusal)),
    };
    let application_id = spec.application_id.to_string();
    let applications = door.applications.clone();
    // From here on a client that leaves changes nothing.
    let deployed = door
        .shutdown
        .finish(async move { applications.deploy(spec, artifact).await })
        .await;
    match deployed.expect("a deploy does not panic") {
        Ok(status) => reply::json(&api::Deployed {
            success: true,
            application_id,
            status: status.name(),
            error: None,
        }),
        Err(refusal) => reply::refuse(&refusal),
    }
}

/// Counts a deploy that ends before the applications hear of it; those count the others.
fn counted(door: &Door, refusal: Refusal) -> Refusal {
    door.actors.metrics().deploys.count(refusal.kind.into());
    refusal
}

/// The parts that came so far.
#[derive(Default)]
struct Fields {
    application_id: Option<String>,
    name: Option<String>,
    version: Option<String>,
    config: Option<String>,
    artifact: Option<Artifact>,
}

async fn receive(
    door: &Door,
    headers: &HeaderMap,
    body: Arc<Mutex<Incoming>>,
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
            "wasm_file" if fields.artifact.is_some() => true,
            "wasm_file" => fields.artifact.replace(store(door, part).await?).is_some(),
            _ => return Err(unknown_field(&name)),
        };
        if repeated {
            return Err(Refusal::new(
                Kind::Malformed,
                format!("the field {name} is given twice; send it once"),
            ));
        }
    }
    fields.check()
}

/// Streams the module to the disk.
async fn store(door: &Door, mut part: Part) -> Result<Artifact, Refusal> {
    let mut upload = door.applications.upload().await?;
    while let Some(chunk) = part.chunk().await? {
        if upload.bytes() + chunk.len() as u64 > limits::WASM_FILE_BYTES_MAX {
            return Err(too_large());
        }
        let metrics = door.actors.metrics();
        metrics.upload_bytes.inc_by(chunk.len() as u64);
        upload.write(chunk).await?;
    }
    Ok(upload.finish().await?)
}

impl Fields {
    fn check(self) -> Result<(Spec, Artifact), Refusal> {
        match self {
            Self {
                application_id: Some(id),
                name: Some(name),
                version: Some(version),
                artifact: Some(artifact),
                config,
            } => {
                let spec = Spec::of_form(&id, &name, &version)?;
                let spec = match config {
                    Some(config) => spec.with_config(&config)?,
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

fn unknown_field(name: &str) -> Refusal {
    let shown: String = name.chars().take(64).collect();
    let text = format!(
        "unknown field {shown:?}; a deploy has application_id, name, version, wasm_file and, if wanted, config"
    );
    Refusal::new(Kind::Malformed, text)
}

fn too_large() -> Refusal {
    let text = format!(
        "Payload too large: wasm_file may have {} bytes (100 MB); make it smaller, for example with wasm-opt -Oz",
        limits::WASM_FILE_BYTES_MAX
    );
    Refusal::new(Kind::TooLarge, text)
}
