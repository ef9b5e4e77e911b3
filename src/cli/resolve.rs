//! From a host's name to its IP addresses: `localhost` by itself, then the hosts file, then the name servers. A static
//! binary has no name service to ask.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::bail;

use super::dns::{self, Answer};

/// Name servers that are asked, and names that are made of one by the search list.
const SERVERS_MAX: usize = 3;
const SEARCHED_MAX: usize = 6;

/// The addresses of `name`, at least one, in the order in which to try them.
pub async fn addresses(name: &str) -> anyhow::Result<Vec<IpAddr>> {
    let name = name.trim_end_matches('.');
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let known = in_hosts(&hosts, name);
    if !known.is_empty() {
        return Ok(known);
    }
    let servers = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    ask(&Servers::of(&servers), name).await
}

/// What a hosts file says about a name.
fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let address_of = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let ip = words.next()?.parse().ok()?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(ip)
    };
    text.lines().filter_map(address_of).collect()
}

async fn ask(servers: &Servers, name: &str) -> anyhow::Result<Vec<IpAddr>> {
    let mut silent = None;
    for name in servers.candidates(name) {
        for server in &servers.addresses {
            match dns::ask(*server, &name).await {
                Ok(Answer::Addresses(addresses)) => return Ok(addresses),
                Ok(Answer::Unknown) => break,
                Err(error) => silent = Some((*server, error)),
            }
        }
    }
    match silent {
        Some((server, error)) => bail!(
            "cannot find the address of {name}: the name server {server} does not help ({error}); give an IP address"
        ),
        None => bail!("no name server knows {name}; check its spelling, or give an IP address"),
    }
}

/// What resolv.conf says: whom to ask, and what to append to short names.
#[derive(Debug, PartialEq, Eq)]
struct Servers {
    addresses: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with at least so many dots is asked for as it is before anything is appended.
    dots: usize,
}

impl Servers {
    fn of(text: &str) -> Self {
        let mut servers = Self {
            addresses: Vec::new(),
            search: Vec::new(),
            dots: 1,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => servers.addresses.extend(
                    words
                        .next()
                        .and_then(|it| it.parse::<IpAddr>().ok())
                        .map(|ip| SocketAddr::new(ip, 53)),
                ),
                Some("search" | "domain") => servers.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let dots = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    servers.dots = dots.unwrap_or(servers.dots);
                }
                _ => {}
            }
        }
        if servers.addresses.is_empty() {
            servers
                .addresses
                .push((Ipv4Addr::LOCALHOST, dns::PORT).into());
        }
        servers.addresses.truncate(SERVERS_MAX);
        servers
    }

    /// The names to ask for, in order.
    fn candidates(&self, name: &str) -> Vec<String> {
        let longer = self.search.iter().take(SEARCHED_MAX);
        let longer = longer.map(|domain| format!("{name}.{domain}"));
        let as_it_is = std::iter::once(name.to_owned());
        match name.matches('.').count() >= self.dots {
            true => as_it_is.chain(longer).collect(),
            false => longer.chain(as_it_is).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_knows_names_and_aliases() {
        let text = "# here\n192.0.2.7\tedge-7 edge # this one\n2001:db8::7 EDGE-7\nnonsense edge-7\n\n192.0.2.8 edge-70";
        let check = |name: &str, expected: &[&str]| {
            let found: Vec<String> = in_hosts(text, name).iter().map(IpAddr::to_string).collect();
            assert_eq!(found, expected, "{name}");
        };
        check("edge-7", &["192.0.2.7", "2001:db8::7"]);
        check("edge", &["192.0.2.7"]);
        check("this", &[]);
        check("192.0.2.7", &[]);
    }

    #[test]
    fn short_names_are_searched_for_first() {
        let servers =
            Servers::of("search lan example.com\noptions timeout:1 ndots:2\nnameserver 192.0.2.1");
        let check = |name: &str, expected: &[&str]| assert_eq!(servers.candidates(name), expected);
        check("edge", &["edge.lan", "edge.example.com", "edge"]);
        check("a.b", &["a.b.lan", "a.b.example.com", "a.b"]);
        check("a.b.c", &["a.b.c", "a.b.c.lan", "a.b.c.example.com"]);
        assert_eq!(servers.addresses, ["192.0.2.1:53".parse().unwrap()]);
    }

    #[test]
    fn without_a_name_server_this_machine_is_asked() {
        assert_eq!(
            Servers::of("nameserver nonsense\n").addresses,
            ["127.0.0.1:53".parse().unwrap()]
        );
    }

    #[test]
    fn localhost_needs_nobody() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let found = runtime.block_on(addresses("localhost")).unwrap();
        let expected: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        assert_eq!(found, expected);
    }
}
