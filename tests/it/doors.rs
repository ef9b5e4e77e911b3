//! Both ports: health, HTTP/1.1 and HTTP/2, methods, who may come in, and the dashboard.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::guests::{ECHO, guest};
use crate::harness::{node, send};
use plexspaces_node::wasm::Kind;

#[test]
fn health_answers_on_both_ports_over_both_versions() {
    let node = node();
    for address in [node.grpc, node.http] {
        let over_1 = send(&format!("http://{address}/health"), "GET", &[], b"");
        assert_eq!(
            (over_1.status, &over_1.json()["status"]),
            (200, &"healthy".into())
        );
        assert_eq!(get_over_http_2(address, "/health"), (200, over_1.body));
    }
    send(
        &format!("http://{}/api/v1/applications", node.grpc),
        "GET",
        &[],
        b"",
    )
    .is_refused(404, "NOT_FOUND", &["gRPC port"]);
}

fn get_over_http_2(address: SocketAddr, path: &str) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = TokioIo::new(tokio::net::TcpStream::connect(address).await.unwrap());
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("http://{address}{path}"))
            .body(Empty::<&[u8]>::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    })
}

#[test]
fn unknown_paths_and_methods_say_so() {
    let node = node();
    node.get("/nowhere")
        .is_refused(404, "NOT_FOUND", &["no such path"]);
    node.get("/api/v1/applications/../../etc")
        .is_refused(404, "NOT_FOUND", &[]);
    let wrong = node.request("PUT", "/api/v1/applications/x", &[], b"");
    wrong.is_refused(405, "UNIMPLEMENTED", &["GET, HEAD, DELETE"]);
    assert_eq!(wrong.header("allow"), Some("GET, HEAD, DELETE"));
    let head = node.request("HEAD", "/health", &[], b"");
    let get = node.get("/health");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(
        head.header("content-length"),
        Some(get.body.len().to_string().as_str())
    );
}

#[test]
fn one_connection_serves_many_requests() {
    let node = node();
    let mut stream = BufReader::new(TcpStream::connect(node.http).unwrap());
    for _ in 0..3 {
        stream
            .get_mut()
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        assert!(body.starts_with(b"{\"status\":\"healthy\""));
    }
}

#[test]
fn foreign_hosts_origins_and_strangers_are_turned_away() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    let (content_type, body) = node.form("echo", &echo).encode();
    let deploy = |name: &str, value: &str| {
        let headers = [("content-type", content_type.as_str()), (name, value)];
        node.request("POST", "/api/v1/applications/deploy", &headers, &body)
    };
    deploy("host", "evil.example").is_refused(421, "PERMISSION_DENIED", &["evil.example"]);
    deploy("origin", "http://evil.example").is_refused(403, "PERMISSION_DENIED", &["origins"]);
    deploy("origin", "null").is_refused(403, "PERMISSION_DENIED", &["origins"]);
    deploy("x-forwarded-for", "192.0.2.7").is_refused(401, "UNAUTHENTICATED", &["token"]);
    assert_eq!(node.total_applications(), 0);
    deploy("origin", &format!("http://{}", node.http)).is_deployed();
    // A stranger may look at health and at the dashboard's pages, and learns nothing of other paths.
    let stranger = |path| node.request("GET", path, &[("forwarded", "for=192.0.2.7")], b"");
    for open in [
        "/health",
        "/health/live",
        "/health/ready",
        "/health/startup",
        "/",
        "/dashboard/node/test-node",
        "/assets/dashboard.js",
        "/assets/icon.svg",
    ] {
        assert_eq!(stranger(open).status, 200, "{open}");
    }
    for closed in [
        "/api/v1/applications",
        "/api/v1/dashboard/summary",
        "/api/v1/dashboard/nodes",
        "/api/v1/dashboard/applications",
        "/api/v1/dashboard/actors",
        "/api/v1/dashboard/system-info",
        "/metrics",
        "/nowhere",
    ] {
        stranger(closed).is_refused(401, "UNAUTHENTICATED", &["token"]);
    }
}

#[test]
fn a_page_of_another_site_cannot_ask_an_actor() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let get = |path, site| node.request("GET", path, &[("sec-fetch-site", site)], b"");
    let actor = "/api/v1/actors/default/echo?x=1";
    get(actor, "cross-site").is_refused(403, "PERMISSION_DENIED", &["other sites"]);
    get(actor, "same-site").is_refused(403, "PERMISSION_DENIED", &["other sites"]);
    assert_eq!(get(actor, "same-origin").status, 200);
    assert_eq!(
        get("/", "cross-site").status,
        200,
        "a link to the dashboard is no attack"
    );
}

#[test]
fn the_dashboard_loads_nothing_from_elsewhere() {
    let node = node();
    for path in ["/", "/dashboard", "/dashboard/node/test-node"] {
        let page = node.get(path);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(
            page.header("content-security-policy")
                .unwrap()
                .starts_with("default-src 'none'")
        );
        assert!(
            !page.body.contains("://")
                && !page.body.contains("style=")
                && !page.body.contains("onclick")
        );
    }
    assert!(!node.get("/assets/dashboard.js").body.contains("innerHTML"));
    assert_eq!(
        node.get("/assets/dashboard.css").header("content-type"),
        Some("text/css; charset=utf-8")
    );
    let summary = node.get("/api/v1/dashboard/summary").json();
    assert_eq!(
        (&summary["total_nodes"], &summary["total_applications"]),
        (&1.into(), &0.into())
    );
}
