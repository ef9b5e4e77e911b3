//! Who may come in: the machine itself, asking for this very node, and no web page but our own.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::uri::Authority;
use hyper::{Request, Uri};

use super::router::Access;
use crate::id::NodeId;
use crate::refusal::{Kind, Refusal};

pub struct Guard {
    /// Names besides `localhost` and IP literals under which this node is asked for.
    hosts: Vec<String>,
}

impl Guard {
    pub fn new(node: &NodeId) -> Self {
        let hostname = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Self {
            hosts: vec![hostname, node.to_string()],
        }
    }

    /// Refuses a request that asks for another host (DNS rebinding), comes from a foreign web page, or, where
    /// `access` is guarded, from another machine.
    pub fn admit<B>(
        &self,
        peer: SocketAddr,
        request: &Request<B>,
        access: Access,
    ) -> Result<(), Refusal> {
        let host = asked_for(request.uri(), request.headers())?;
        if !self.is_ours(host.host()) {
            let text = format!(
                "this node does not answer for the host {:?}; ask by IP address, localhost or its host name",
                host.host()
            );
            return Err(Refusal::new(Kind::Misdirected, text));
        }
        if let Some(origin) = request.headers().get(header::ORIGIN)
            && !same_origin(origin.as_bytes(), &host)
        {
            return Err(Refusal::new(
                Kind::Forbidden,
                "this node takes no requests from pages of other origins",
            ));
        }
        if access == Access::Guarded && !is_local(peer, request.headers()) {
            let text = "this call is answered only to the node's own machine so far; \
                        tokens for callers from elsewhere (plexspaces token create) are not provided yet";
            return Err(Refusal::new(Kind::Unauthenticated, text));
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        literal.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || self
                .hosts
                .iter()
                .any(|ours| host.eq_ignore_ascii_case(ours))
    }
}

/// The host that the client believes it talks to: HTTP/2's `:authority`, else the one `Host` header.
fn asked_for(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
    let malformed = || Refusal::new(Kind::Malformed, "exactly one valid Host header is needed");
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) | (None, None, None) => return Err(malformed()),
        (Some(authority), _, None) => return Ok(authority.clone()),
        (None, Some(host), None) => host,
    };
    Authority::try_from(host.as_bytes()).map_err(|_| malformed())
}

fn same_origin(origin: &[u8], host: &Authority) -> bool {
    let Ok(origin) = Uri::try_from(origin) else {
        return false;
    };
    match (origin.scheme_str(), origin.authority()) {
        (Some("http" | "https"), Some(authority)) => {
            authority.as_str().eq_ignore_ascii_case(host.as_str())
        }
        _ => false,
    }
}

/// A loopback peer is the machine itself, unless it passes somebody else's request on.
fn is_local(peer: SocketAddr, headers: &HeaderMap) -> bool {
    const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    let forwarded = headers.contains_key(header::FORWARDED) || headers.contains_key(FORWARDED_FOR);
    peer.ip().to_canonical().is_loopback() && !forwarded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(peer: &str, headers: &[(&str, &str)], access: Access) -> u16 {
        let guard = Guard {
            hosts: vec!["edge-7".into()],
        };
        let mut request = Request::builder().uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        guard
            .admit(peer.parse().unwrap(), &request, access)
            .map_or_else(|refusal| refusal.kind.status(), |()| 200)
    }

    #[test]
    fn the_host_must_be_ours() {
        let check = |host: &str, status| {
            assert_eq!(
                admit("127.0.0.1:9", &[("host", host)], Access::Guarded),
                status,
                "{host}"
            );
        };
        for host in [
            "localhost",
            "LOCALHOST:8001",
            "127.0.0.1:8001",
            "[::1]:8001",
            "192.168.1.7",
            "edge-7:8001",
        ] {
            check(host, 200);
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
        ] {
            check(host, 421);
        }
        check("a b", 400);
        assert_eq!(admit("127.0.0.1:9", &[], Access::Open), 400);
        assert_eq!(
            admit(
                "127.0.0.1:9",
                &[("host", "localhost"), ("host", "localhost")],
                Access::Open
            ),
            400
        );
    }

    #[test]
    fn an_origin_must_equal_the_host() {
        let check = |origin: &str, status| {
            let headers = [("host", "localhost:8001"), ("origin", origin)];
            assert_eq!(
                admit("127.0.0.1:9", &headers, Access::Guarded),
                status,
                "{origin}"
            );
        };
        check("http://localhost:8001", 200);
        check("http://localhost:8000", 403);
        check("http://evil.example", 403);
        check("null", 403);
    }

    #[test]
    fn strangers_need_a_token() {
        let check = |peer: &str, headers: &[(&str, &str)], status| {
            let headers = [&[("host", "localhost")], headers].concat();
            assert_eq!(
                admit(peer, &headers, Access::Guarded),
                status,
                "{peer} {headers:?}"
            );
            assert_eq!(
                admit(peer, &headers, Access::Open),
                200,
                "{peer} {headers:?}"
            );
        };
        check("127.0.0.1:9", &[], 200);
        check("127.9.9.9:9", &[], 200);
        check("[::1]:9", &[], 200);
        check("[::ffff:127.0.0.1]:9", &[], 200);
        check("192.168.1.7:9", &[], 401);
        check("127.0.0.1:9", &[("x-forwarded-for", "192.168.1.7")], 401);
        check("127.0.0.1:9", &[("forwarded", "for=192.168.1.7")], 401);
    }
}
