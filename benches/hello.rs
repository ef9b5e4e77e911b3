//! The yardstick of an invoke: bare hyper on one thread, which reads a body and answers as many bytes.
//!
//! `cargo bench --bench hello -- ADDRESS` serves until it is ended; `scripts/bench-invoke.sh` asks it.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What the node answers to the same request, to the byte.
const ANSWER: &str = r#"{"success":true,"payload":"hello","payload_encoding":"utf8","headers":{},"actor_id":"echo@test-node"}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let address = std::env::args().nth(1).expect("an address to serve on");
    let listener = TcpListener::bind(address)
        .await
        .expect("the address is free");
    loop {
        let (stream, _) = listener.accept().await.expect("connections are accepted");
        tokio::spawn(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            let _ = served.await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    let answer = Response::builder().header(CONTENT_TYPE, "application/json");
    Ok(answer.body(Full::from(ANSWER)).expect("it has a status"))
}
