//! Who may come in: the machine itself or the holder of a token, asking for this very node, and no web page but our own.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Request, Uri};

use crate::auth::{self, Caller, Demand, Scope, Secret};
use crate::config::Config;
use crate::machine;
use crate::refusal::{Kind, Refusal};
use crate::storage::Tokens;

/// What a caller of whom nothing is known must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Open,
    /// A token of this scope.
    Needs(Scope),
}

pub struct Guard {
    /// Names besides `localhost` and IP literals under which this node is asked for.
    hosts: Vec<String>,
    demand: Demand,
    tokens: Tokens,
}

impl Guard {
    pub fn new(config: &Config, tokens: Tokens) -> Self {
        let mut hosts = vec![machine::hostname(), config.node_id.to_string()];
        hosts.extend_from_slice(&config.http_hosts);
        Self {
            hosts,
            demand: config.token_demand,
            tokens,
        }
    }

    /// Tells who is calling, or refuses: a request for another host (DNS rebinding), one from a foreign web page, and,
    /// where `access` asks for a scope, one from a caller who has neither that nor another right to it.
    pub fn admit<B>(
        &self,
        peer: SocketAddr,
        request: &Request<B>,
        access: Access,
    ) -> Result<Caller, TurnedAway> {
        let headers = request.headers();
        let unknown = |refusal| TurnedAway {
            caller: match is_local(peer, headers) {
                true => Caller::Local,
                false => Caller::Stranger,
            },
            refusal,
        };
        self.check_host_and_origin(request).map_err(unknown)?;
        let Access::Needs(needed) = access else {
            return Ok(Caller::Stranger);
        };
        check_site(headers).map_err(unknown)?;
        match (self.demand, is_local(peer, headers)) {
            (Demand::Elsewhere | Demand::Nobody, true) => Ok(Caller::Local),
            (Demand::Nobody, false) => Ok(Caller::Stranger),
            (_, local) => self.check_token(headers, needed, local),
        }
    }

    /// Whether who came in may stay: a token can be revoked meanwhile.
    pub fn still_admits(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Token(id) => self.tokens.has(id),
            Caller::Local | Caller::Stranger => true,
        }
    }

    fn check_host_and_origin<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let host = asked_for(request.uri(), request.headers())?;
        if !self.is_ours(host.host()) {
            let text = format!(
                "this node does not answer for the host {:?}; ask by IP address, localhost or its host name",
                host.host()
            );
            return Err(Refusal::new(Kind::Misdirected, text));
        }
        // Of several origins each must pass: no browser sends two, and who puts one before the other is not known.
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        if !origins.all(|origin| same_origin(origin.as_bytes(), &host)) {
            return Err(Refusal::new(
                Kind::Forbidden,
                "this node takes no requests from pages of other origins",
            ));
        }
        Ok(())
    }

    /// Whose token the request brings, if it permits what is `needed`.
    fn check_token(
        &self,
        headers: &HeaderMap,
        needed: Scope,
        local: bool,
    ) -> Result<Caller, TurnedAway> {
        let stranger = |refusal| TurnedAway {
            caller: Caller::Stranger,
            refusal,
        };
        let create = || self.create_command(needed, local);
        let secret = bearer(headers).map_err(stranger)?;
        let secret = secret.ok_or_else(|| stranger(no_token(&create())))?;
        let found = self.tokens.find(&secret);
        let token = found
            .map_err(|error| stranger(error.into()))?
            .ok_or_else(|| stranger(unknown_token()))?;
        let caller = Caller::Token(token.id);
        if token.scope.permits(needed) {
            return Ok(caller);
        }
        let text = format!(
            "this token permits {}, and this call needs {needed}; \
             make one that does with {}",
            token.scope,
            create()
        );
        Err(TurnedAway {
            caller,
            refusal: Refusal::new(Kind::Forbidden, text),
        })
    }

    /// The command that makes a token for this node. Where the node keeps its data is told to the machine itself alone.
    fn create_command(&self, scope: Scope, local: bool) -> String {
        let dir = match (local, self.tokens.path().parent()) {
            (true, Some(dir)) => quoted(dir),
            _ => "DIR".to_owned(),
        };
        format!("plexspaces token create --scope {scope} --data-dir {dir}")
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

/// A call that is not let in, and by whom it was made.
pub struct TurnedAway {
    pub caller: Caller,
    pub refusal: Refusal,
}

/// The secret that a request brings; none if it brings no `Authorization` at all.
fn bearer(headers: &HeaderMap) -> Result<Option<Secret>, Refusal> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().ok().and_then(auth::bearer);
            let secret = text.and_then(Secret::parse);
            secret.map(Some).ok_or_else(unknown_token)
        }
        (Some(_), Some(_)) => Err(unknown_token()),
    }
}

/// A path as a shell takes it for one word, absolute, since nobody knows where the command will be run.
fn quoted(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    match path.chars().all(plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', "'\\''")),
    }
}

fn no_token(create: &str) -> Refusal {
    let text = format!(
        "this call needs a token: run {create} on the node's machine, \
         and send the header Authorization: Bearer TOKEN"
    );
    Refusal::new(Kind::Unauthenticated, text)
}

fn unknown_token() -> Refusal {
    let text = "this node knows no such token, or it was revoked; send one header Authorization: Bearer TOKEN \
                with a token from plexspaces token create";
    Refusal::new(Kind::Unauthenticated, text)
}

/// The host that the client believes it talks to: the target's own (HTTP/2's `:authority`, or the absolute form), else
/// the one `Host` header. Where both are there they must agree: a proxy in front may have judged by the other one.
fn asked_for(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
    let malformed = |text: &str| Refusal::new(Kind::Malformed, text);
    let mut hosts = headers.get_all(header::HOST).iter();
    let written = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(malformed(ONE_HOST)),
        (None, None) => None,
        (Some(host), None) => {
            let parsed = Authority::try_from(host.as_bytes());
            Some(parsed.map_err(|_| malformed(ONE_HOST))?)
        }
    };
    let host = match (uri.authority().cloned(), written) {
        (Some(target), Some(written)) if target != written => {
            return Err(malformed(
                "the request's target and its Host header name different hosts; send one",
            ));
        }
        (Some(host), _) | (None, Some(host)) => host,
        (None, None) => return Err(malformed(ONE_HOST)),
    };
    match host.as_str().contains('@') {
        true => Err(malformed(
            "a host has no user name here; send the host alone, and a token as Authorization",
        )),
        false => Ok(host),
    }
}

const ONE_HOST: &str = "exactly one valid Host header is needed";

/// Pages of other sites may send GET without an Origin; browsers tell by another header.
fn check_site(headers: &HeaderMap) -> Result<(), Refusal> {
    const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    match headers.get(FETCH_SITE).map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => {
            let text = "this node takes no requests from pages of other sites";
            Err(Refusal::new(Kind::Forbidden, text))
        }
    }
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

    const GUARDED: Access = Access::Needs(Scope::Read);

    fn admit(peer: &str, headers: &[(&str, &str)], access: Access) -> u16 {
        admit_with(Demand::Elsewhere, peer, headers, access)
    }

    fn admit_with(demand: Demand, peer: &str, headers: &[(&str, &str)], access: Access) -> u16 {
        let guard = Guard {
            hosts: vec!["edge-7".into()],
            demand,
            tokens: Tokens::in_dir("/nowhere".as_ref()),
        };
        let mut request = Request::builder().uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        guard
            .admit(peer.parse().unwrap(), &request, access)
            .map_or_else(|turned| turned.refusal.kind.status(), |_| 200)
    }

    #[test]
    fn where_the_data_lies_is_told_to_the_machine_alone() {
        let said = |peer: &str, more: &[(&str, &str)]| {
            let guard = Guard {
                hosts: Vec::new(),
                demand: Demand::Everyone,
                tokens: Tokens::in_dir("/no where".as_ref()),
            };
            let mut request = Request::builder().uri("/x").header("host", "localhost");
            for (name, value) in more {
                request = request.header(*name, *value);
            }
            let request = request.body(()).unwrap();
            let turned = guard.admit(peer.parse().unwrap(), &request, GUARDED);
            turned.err().unwrap().refusal.message
        };
        let whole = "run plexspaces token create --scope read --data-dir '/no where' on";
        assert!(said("127.0.0.1:9", &[]).contains(whole));
        for (peer, more) in [
            ("192.168.1.7:9", &[][..]),
            ("127.0.0.1:9", &[("x-forwarded-for", "192.168.1.7")]),
        ] {
            let said = said(peer, more);
            assert!(
                said.contains("--data-dir DIR on") && !said.contains("where'"),
                "{said}"
            );
        }
    }

    #[test]
    fn the_host_must_be_ours() {
        let check = |host: &str, status| {
            assert_eq!(
                admit("127.0.0.1:9", &[("host", host)], GUARDED),
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
            assert_eq!(admit("127.0.0.1:9", &headers, GUARDED), status, "{origin}");
        };
        check("http://localhost:8001", 200);
        check("http://localhost:8000", 403);
        check("http://evil.example", 403);
        check("null", 403);
        let ours = ("origin", "http://localhost:8001");
        for second in ["http://evil.example", "null", ""] {
            let headers = [("host", "localhost:8001"), ours, ("origin", second)];
            assert_eq!(admit("127.0.0.1:9", &headers, GUARDED), 403, "{second}");
        }
    }

    #[test]
    fn target_and_host_must_agree_and_carry_no_user() {
        let check = |target: &str, host: Option<&str>, expected: &str| {
            let uri: Uri = target.parse().unwrap();
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(header::HOST, host.parse().unwrap());
            }
            let asked = asked_for(&uri, &headers);
            let shown = asked.map_or_else(|refusal| refusal.message, |host| host.to_string());
            assert!(shown.contains(expected), "{target} {host:?}: {shown}");
        };
        check("/x", Some("localhost"), "localhost");
        check("http://localhost:1/x", None, "localhost:1");
        check("http://localhost:1/x", Some("LOCALHOST:1"), "localhost:1");
        check(
            "http://localhost/x",
            Some("evil.example"),
            "different hosts",
        );
        check(
            "http://evil.example/x",
            Some("localhost"),
            "different hosts",
        );
        check(
            "http://localhost:1/x",
            Some("localhost:2"),
            "different hosts",
        );
        check("/x", Some("localhost@evil.example"), "no user name");
        check("/x", Some("evil.example@localhost"), "no user name");
        check("http://me:secret@localhost/x", None, "no user name");
        check("/x", None, "exactly one");
    }

    #[test]
    fn strangers_need_a_token() {
        let check = |peer: &str, headers: &[(&str, &str)], status| {
            let headers = [&[("host", "localhost")], headers].concat();
            assert_eq!(admit(peer, &headers, GUARDED), status, "{peer} {headers:?}");
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
    #[test]
    fn who_needs_a_token_can_be_chosen() {
        let check = |demand, peer: &str, status| {
            let headers = [("host", "localhost")];
            assert_eq!(
                admit_with(demand, peer, &headers, GUARDED),
                status,
                "{demand:?} {peer}"
            );
            assert_eq!(admit_with(demand, peer, &headers, Access::Open), 200);
        };
        check(Demand::Everyone, "127.0.0.1:9", 401);
        check(Demand::Everyone, "192.168.1.7:9", 401);
        check(Demand::Nobody, "192.168.1.7:9", 200);
        check(Demand::Nobody, "127.0.0.1:9", 200);
    }

    #[test]
    fn what_is_no_bearer_token_is_unknown() {
        let secret = Secret::random().unwrap().to_string();
        let with = |value: &str| {
            admit(
                "192.168.1.7:9",
                &[("host", "localhost"), ("authorization", value)],
                GUARDED,
            )
        };
        for value in ["", "Basic eDp5", &secret, &format!("Bearer {secret}")] {
            assert_eq!(with(value), 401, "{value:?}");
        }
    }
}
