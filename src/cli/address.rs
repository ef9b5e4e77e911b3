//! The address of a node as a user writes it, `HOST:PORT`, and the IP addresses behind it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::resolve;

/// The gRPC address of a node. Its HTTP gateway is on the next port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddr {
    host: Host,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

impl NodeAddr {
    /// The same host at another port.
    pub fn at(&self, port: u16) -> Self {
        Self {
            host: self.host.clone(),
            port,
        }
    }

    /// Where the host may be reached, in the order in which to try.
    pub async fn addresses(&self) -> anyhow::Result<Vec<IpAddr>> {
        match &self.host {
            Host::Ip(ip) => Ok(vec![*ip]),
            Host::Name(name) => resolve::addresses(name).await,
        }
    }
}

impl Default for NodeAddr {
    fn default() -> Self {
        Self {
            host: Host::Name("localhost".into()),
            port: 8000,
        }
    }
}

impl FromStr for NodeAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host_of(host)?, port.parse().ok()?)))
            .filter(|(_, port)| *port != 0);
        let (host, port) = parsed.ok_or_else(|| {
            format!("{text:?} is not HOST:PORT, such as localhost:8000, 192.0.2.7:8000 or [2001:db8::7]:8000")
        })?;
        match port {
            u16::MAX => Err(format!(
                "{text:?} leaves no port for HTTP, which is on the next one; give the gRPC port"
            )),
            _ => Ok(Self { host, port }),
        }
    }
}

fn host_of(text: &str) -> Option<Host> {
    if let Some(inside) = text.strip_prefix('[') {
        let ip: Ipv6Addr = inside.strip_suffix(']')?.parse().ok()?;
        return Some(Host::Ip(ip.into()));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return ip.is_ipv4().then_some(Host::Ip(ip));
    }
    let permitted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = (1..=253).contains(&text.len()) && text.chars().all(permitted);
    name.then(|| Host::Name(text.to_ascii_lowercase()))
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => write!(f, "{}", std::net::SocketAddr::new(*ip, self.port)),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let check = |text: &str, expected: Option<&str>| {
            let parsed = text.parse::<NodeAddr>().ok().map(|it| it.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        };
        check("localhost:8000", Some("localhost:8000"));
        check("Edge-7.example:8000", Some("edge-7.example:8000"));
        check("192.0.2.7:1", Some("192.0.2.7:1"));
        check("[2001:db8::7]:8000", Some("[2001:db8::7]:8000"));
        for wrong in [
            "",
            "localhost",
            ":8000",
            "localhost:",
            "localhost:0",
            "localhost:65535",
            "localhost:65536",
            "http://localhost:8000",
            "a b:8000",
            "::1:8000",
            "[192.0.2.7]:8000",
            "[::1:8000",
        ] {
            check(wrong, None);
        }
    }
}
