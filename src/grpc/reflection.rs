//! What this node serves, for clients that have no files: reflection in both its versions.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tonic_reflection::server::Builder;

use super::methods::{Intake, SERVICES};
use super::{Served, proto, served};
use crate::gate::{Body, Door, incoming};

/// The services of v1 and v1alpha.
pub fn services() -> [Served; 2] {
    const SOUND: &str = "the descriptors were made by the build";
    let limit = Intake::Stream.bytes_max();
    let v1 = builder().build_v1().expect(SOUND);
    let v1alpha = builder().build_v1alpha().expect(SOUND);
    [
        served(v1.max_decoding_message_size(limit)),
        served(v1alpha.max_decoding_message_size(limit)),
    ]
}

fn builder() -> Builder<'static> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // Each version describes the other, too: a client lists all, and then asks about each.
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    let named = |builder: Builder<'static>, name: &str| builder.with_service_name(name);
    SERVICES.into_iter().fold(builder, named)
}

/// How long one conversation may last, whatever is asked in it.
const CONVERSATION_MAX: Duration = Duration::from_secs(60);

/// The body of a conversation: it ends when the client falls silent, when the time is up or the node stops.
pub fn patient(mut body: Incoming, door: &Door) -> Body {
    let (pieces, coming) = mpsc::channel::<Bytes>(1);
    let shutdown = door.shutdown.clone();
    let listening = pieces.clone();
    let pass_on = async move {
        while let Ok(Some(Ok(frame))) = incoming::heard(body.frame()).await {
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::time::timeout(CONVERSATION_MAX, pass_on) => {}
            () = listening.closed() => {}
            () = shutdown.begun() => {}
        }
    });
    Body::stream(coming)
}
