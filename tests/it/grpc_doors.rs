//! The gRPC port as strangers and bad clients find it: who may call, what is served, and what a frame may say.

use std::io::Write;
use std::net::TcpStream;

use bytes::Bytes;
use plexspaces_node::grpc::proto::application::ListApplicationsRequest;
use plexspaces_node::grpc::proto::system::{GetSystemInfoRequest, ShutdownRequest};
use plexspaces_node::limits::UPLOADS_MAX;
use plexspaces_node::wasm::Kind;
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::floods;
use crate::grpc_client::{Rpc, actors, applications, deploy_of, is_refused, system};
use crate::guests::{ECHO, guest};
use crate::harness::{Node, node};
use crate::tokens::create;

const DEPLOY: &str = "/plexspaces.application.v1.ApplicationService/DeployApplication";
const LIST: &str = "/plexspaces.application.v1.ApplicationService/ListApplications";
const SEND: &str = "/plexspaces.actor.v1.ActorService/SendMessage";

fn list(rpc: &Rpc) -> Result<usize, Status> {
    let answer = applications!(rpc, list_applications(ListApplicationsRequest::default()));
    answer.map(|answer| answer.applications.len())
}

#[test]
fn tokens_and_scopes_are_those_of_http() {
    let node = Node::start(TempDir::new().unwrap(), &["--require-token"]);
    let wasm = guest(Kind::Core, ECHO);
    let words = ["plexspaces token create", "Authorization: Bearer TOKEN"];
    is_refused(list(&Rpc::to(&node)), Code::Unauthenticated, &words);
    let bearer = |scope: &str| {
        let (id, token) = create(node.data_dir(), scope);
        let rpc = Rpc::to(&node).with("authorization", &format!("Bearer {token}"));
        (id, rpc)
    };
    let ((_, read), (id, deploy)) = (bearer("read"), bearer("deploy"));
    assert_eq!(list(&read).unwrap(), 0);
    let refused = read.deploy(deploy_of("echo", &wasm));
    is_refused(refused, Code::PermissionDenied, &["--scope deploy"]);
    deploy.deploy(deploy_of("echo", &wasm)).unwrap();
    let forged = Rpc::to(&node).with("authorization", "Bearer plx_forged");
    is_refused(list(&forged), Code::Unauthenticated, &["no such token"]);
    // Whoever may not call is not told what there is.
    let refused = system!(Rpc::to(&node), shutdown(ShutdownRequest::default()));
    is_refused(refused, Code::Unauthenticated, &[]);
    let line = node.log_says(&format!("who=token:{id}"));
    for word in [DEPLOY, "application=echo", "sha256=", "result=ok"] {
        assert!(line.contains(word), "{word} is not in {line:?}");
    }
    let line = node.log_says("result=401 UNAUTHENTICATED");
    assert!(line.contains(LIST), "{line:?}");
}

#[test]
fn strangers_need_a_token_whatever_they_call() {
    let node = node();
    let stranger = Rpc::to(&node).with("x-forwarded-for", "192.0.2.7");
    is_refused(list(&stranger), Code::Unauthenticated, &["token create"]);
    let refused = system!(stranger, get_system_info(GetSystemInfoRequest::default()));
    is_refused(refused, Code::Unauthenticated, &["token create"]);
}

#[test]
fn a_foreign_authority_is_turned_away() {
    let node = node();
    let foreign = Rpc::at(node.grpc, "evil.example");
    is_refused(list(&foreign), Code::PermissionDenied, &["evil.example"]);
    let page = Rpc::to(&node).with("origin", "http://evil.example");
    is_refused(list(&page), Code::PermissionDenied, &["other origins"]);
}

#[test]
fn a_call_that_is_not_served_says_so() {
    let node = node();
    let rpc = Rpc::to(&node);
    let refused = system!(rpc, shutdown(ShutdownRequest::default()));
    let words = [
        "plexspaces.system.v1.SystemService/Shutdown",
        "docs/grpc.md",
    ];
    is_refused(refused, Code::Unimplemented, &words);
    let refused = actors!(rpc, link_actor(Default::default()));
    is_refused(refused, Code::Unimplemented, &["LinkActor"]);
    let wire = Wire::to(&node);
    let tuples = "/plexspaces.tuplespace.v1.TuplePlexSpaceService/Subscribe";
    assert_eq!(
        wire.call(tuples, &[], frame(b"")).code(),
        Code::Unimplemented
    );
    let status = wire.call("/no.such.Service/Call", &[], frame(b""));
    assert_eq!(
        (
            status.code(),
            status.message().contains("/no.such.Service/Call")
        ),
        (Code::Unimplemented, true)
    );
}

#[test]
fn a_frame_that_lies_is_refused() {
    let node = node();
    let wire = Wire::to(&node);
    let check = |path: &str, body: &[u8], code: Code, word: &str| {
        let status = wire.call(path, &[], Bytes::copy_from_slice(body));
        assert_eq!(status.code(), code, "{status:?}");
        assert!(
            status.message().contains(word),
            "{word:?} is not in {status:?}"
        );
    };
    check(LIST, b"", Code::InvalidArgument, "no message");
    check(LIST, b"\0\0\0", Code::InvalidArgument, "no message");
    check(
        LIST,
        b"\0\0\0\0\x07abc",
        Code::InvalidArgument,
        "announces 7 bytes and has 3",
    );
    check(
        LIST,
        b"\0\0\0\0\0\0\0\0\0\0",
        Code::InvalidArgument,
        "announces 0 bytes and has 5",
    );
    check(
        LIST,
        b"\x01\0\0\0\x03abc",
        Code::Unimplemented,
        "compressed",
    );
    check(
        LIST,
        b"\0\0\0\0\x03\xff\xff\xff",
        Code::InvalidArgument,
        "decode",
    );
    check(
        LIST,
        b"\0\xff\xff\xff\xff",
        Code::ResourceExhausted,
        "Message length too large",
    );
    check(
        SEND,
        b"\0\0\x20\0\0",
        Code::ResourceExhausted,
        "Message length too large",
    );
    check(
        DEPLOY,
        b"\0\x01\0\0\0",
        Code::ResourceExhausted,
        "POST /api/v1/applications/deploy",
    );
    // What anybody may ask has to be short.
    check(
        "/grpc.health.v1.Health/Check",
        b"\0\0\0\x04\x01",
        Code::ResourceExhausted,
        "1024 bytes",
    );
    // Supervisors and children in turn, deeper than a reader may follow.
    let mut nested = Vec::new();
    let tags = (0..2_000).map(|depth| [0x32, 0x22][depth % 2]);
    for tag in tags.chain([0x3a, 0x2a]) {
        let length = nested.len() as u32;
        let mut outer = vec![tag];
        leb128(&mut outer, length);
        outer.extend(nested);
        nested = outer;
    }
    check(DEPLOY, &frame(&nested), Code::InvalidArgument, "decode");
    assert_eq!(list(&Rpc::to(&node)).unwrap(), 0);
}

#[test]
fn a_deploy_by_grpc_takes_the_same_places_as_one_by_http() {
    let node = node();
    let begun: Vec<TcpStream> = (0..UPLOADS_MAX).map(|_| begin_deploy(&node)).collect();
    while uploading(&node) != UPLOADS_MAX {}
    let wasm = guest(Kind::Core, ECHO);
    let refused = Rpc::to(&node).deploy(deploy_of("echo", &wasm));
    is_refused(refused, Code::Unavailable, &["uploads are under way"]);
    let refused = node.deploy("echo", &wasm);
    refused.is_refused(503, "UNAVAILABLE", &["uploads are under way"]);
    drop(begun);
    while uploading(&node) != 0 {}
    Rpc::to(&node).deploy(deploy_of("echo", &wasm)).unwrap();
}

#[test]
fn every_deploy_leaves_an_audit_line() {
    let node = node();
    let line = |result: &str| {
        let line = node.log_says(&format!("result={result}"));
        assert!(
            line.contains("who=local") && line.contains(DEPLOY),
            "{line}"
        );
    };
    let begun = begin_deploy(&node);
    while uploading(&node) != 1 {}
    drop(begun);
    // Its message broke off.
    line("400 INVALID_ARGUMENT");
    let wire = Wire::to(&node);
    wire.call(DEPLOY, &[], Bytes::from_static(b"\0\0\0\0\x01\xff"));
    while node.log_count("result=400 INVALID_ARGUMENT") != 2 {}
    wire.call(DEPLOY, &[], Bytes::from_static(b"\0\xff\xff\xff\xff"));
    line("413 RESOURCE_EXHAUSTED");
    Rpc::to(&node)
        .deploy(deploy_of("echo", &guest(Kind::Core, ECHO)))
        .unwrap();
    line("ok");
}

#[test]
fn deploys_that_are_reset_at_once_keep_no_place() {
    let node = node();
    let head = deploy_head();
    floods::flood_at(node.grpc, |number| {
        let stream = 2 * number + 1;
        let begin = floods::frame(floods::HEADERS, floods::END_HEADERS, stream, &head);
        let reset = floods::frame(floods::RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        (number < 20_000).then(|| [begin, reset].concat())
    });
    while uploading(&node) != 0 {}
    let wasm = guest(Kind::Core, ECHO);
    Rpc::to(&node).deploy(deploy_of("echo", &wasm)).unwrap();
}

fn uploading(node: &Node) -> usize {
    node.figure("plexspaces_uploads_in_progress")
}

#[test]
fn calls_are_counted_by_code() {
    let node = node();
    let rpc = Rpc::to(&node);
    list(&rpc).unwrap();
    let _ = system!(rpc, shutdown(ShutdownRequest::default()));
    let scraped = node.get("/metrics").body;
    for (code, count) in [("OK", 1), ("UNIMPLEMENTED", 1), ("INTERNAL", 0)] {
        let line = format!("plexspaces_grpc_requests_total{{code=\"{code}\"}} {count}");
        assert!(scraped.contains(&line), "{line}");
    }
}

/// A message in its frame.
fn frame(message: &[u8]) -> Bytes {
    let length = (message.len() as u32).to_be_bytes();
    [&[0], &length[..], message].concat().into()
}

fn leb128(to: &mut Vec<u8>, mut number: u32) {
    while number >= 128 {
        to.push(number as u8 | 128);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Bare HTTP/2, for what no client would send.
struct Wire {
    runtime: tokio::runtime::Runtime,
    node: std::net::SocketAddr,
}

type Sending = hyper::client::conn::http2::SendRequest<http_body_util::Full<Bytes>>;

impl Wire {
    fn to(node: &Node) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        Self {
            runtime: builder.enable_all().build().unwrap(),
            node: node.grpc,
        }
    }

    async fn connect(node: std::net::SocketAddr) -> Sending {
        let stream = TcpStream::connect(node).unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (sending, connection) = hyper::client::conn::http2::handshake(executor, io)
            .await
            .unwrap();
        tokio::spawn(connection);
        sending
    }

    /// The status with which a call of this body ends.
    fn call(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Status {
        self.runtime.block_on(async {
            let mut sending = Self::connect(self.node).await;
            let mut request = hyper::Request::post(format!("http://localhost{path}"))
                .header("content-type", "application/grpc");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(http_body_util::Full::new(body)).unwrap();
            let answer = sending.send_request(request).await.unwrap();
            Status::from_header_map(answer.headers()).expect("the answer has a status")
        })
    }
}

/// The head of a deploy.
fn deploy_head() -> Vec<u8> {
    const CONTENT_TYPE: &[u8] = b"\0\x0ccontent-type\x10application/grpc";
    [floods::request(floods::POST, DEPLOY), CONTENT_TYPE.to_vec()].concat()
}

/// Begins a deploy, and sends nothing of its message.
fn begin_deploy(node: &Node) -> TcpStream {
    let mut stream = TcpStream::connect(node.grpc).unwrap();
    let frames = [
        floods::OPENING.to_vec(),
        floods::frame(floods::SETTINGS, 0, 0, b""),
        floods::frame(floods::HEADERS, floods::END_HEADERS, 1, &deploy_head()),
    ];
    stream.write_all(&frames.concat()).unwrap();
    stream
}
