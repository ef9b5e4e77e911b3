//! One question to one name server: the address records of a name, over UDP.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

pub const PORT: u16 = 53;
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
/// Without extensions no answer over UDP is longer.
const ANSWER_BYTES_MAX: usize = 512;
const HEADER_BYTES: usize = 12;

const A: u16 = 1;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// At least one; those of version 4 first.
    Addresses(Vec<IpAddr>),
    /// There is no such name, or it has no address.
    Unknown,
}

/// Asks `server` for the addresses of `name`, both kinds at once. An error is a server that does not answer, or says that it cannot.
pub async fn ask(server: SocketAddr, name: &str) -> io::Result<Answer> {
    let (four, six) = tokio::join!(records(server, name, A), records(server, name, AAAA));
    let mut addresses = match (four, six) {
        (Err(error), Err(_)) => return Err(error),
        (four, six) => [four.unwrap_or_default(), six.unwrap_or_default()].concat(),
    };
    addresses.dedup();
    match addresses.is_empty() {
        true => Ok(Answer::Unknown),
        false => Ok(Answer::Addresses(addresses)),
    }
}

async fn records(server: SocketAddr, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let unspecified: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((unspecified, 0)).await?;
    // From here on only this server is heard.
    socket.connect(server).await?;
    for _ in 0..TRIES {
        let mut id = [0; 2];
        getrandom::fill(&mut id)?;
        let id = u16::from_be_bytes(id);
        let no_name = || io::Error::new(ErrorKind::InvalidInput, "this cannot be a name");
        socket
            .send(&question(id, name, kind).ok_or_else(no_name)?)
            .await?;
        if let Ok(heard) = timeout(ANSWER_TIME_MAX, hear(&socket, id, kind)).await {
            return heard;
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "no answer"))
}

async fn hear(socket: &UdpSocket, id: u16, kind: u16) -> io::Result<Vec<IpAddr>> {
    let mut bytes = [0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.recv(&mut bytes).await?;
        // What answers another question is passed over.
        if let Some(understood) = understand(&bytes[..length], id, kind) {
            return understood;
        }
    }
}

fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    const RECURSION_DESIRED: u16 = 0x0100;
    let mut bytes = Vec::new();
    for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|it| (1..=63).contains(it))?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    for word in [kind, INTERNET] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    Some(bytes)
}

/// The records of an answer; `None` when it answers something else, or nothing that can be read.
fn understand(bytes: &[u8], id: u16, kind: u16) -> Option<io::Result<Vec<IpAddr>>> {
    const RESPONSE: u16 = 0x8000;
    const NO_SUCH_NAME: u16 = 3;
    let flags = word(bytes, 2)?;
    if word(bytes, 0)? != id || flags & RESPONSE == 0 {
        return None;
    }
    match flags & 0x000f {
        0 => {}
        NO_SUCH_NAME => return Some(Ok(Vec::new())),
        code => {
            return Some(Err(io::Error::other(format!(
                "it answers with error {code}"
            ))));
        }
    }
    let (questions, answers) = (word(bytes, 4)?, word(bytes, 6)?);
    let mut at = HEADER_BYTES;
    for _ in 0..questions {
        at = after_name(bytes, at)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..answers {
        // What was cut off is left out: one address is enough.
        let Some((record, next)) = record(bytes, at, kind) else {
            break;
        };
        addresses.extend(record);
        at = next;
    }
    Some(Ok(addresses))
}

/// The address in the record at `at`, if it is of this kind, and where the next record begins.
fn record(bytes: &[u8], at: usize, kind: u16) -> Option<(Option<IpAddr>, usize)> {
    let at = after_name(bytes, at)?;
    let data = at + 10;
    let next = data + usize::from(word(bytes, at + 8)?);
    let data = bytes.get(data..next)?;
    let ours = word(bytes, at)? == kind && word(bytes, at + 2)? == INTERNET;
    Some((ours.then(|| address(data)).flatten(), next))
}

fn address(data: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(data).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(data).map(IpAddr::from))
        .ok()
}

/// Where a name ends: at its empty label, or behind a reference to another name.
fn after_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            reference if reference >= 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to `question` with these records behind an alias.
    fn answer(question: &[u8], records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2..4].copy_from_slice(&[0x81, 0x80]);
        bytes[7] = records.len() as u8 + 1;
        let mut push = |kind: u16, data: &[u8]| {
            bytes.extend_from_slice(&[0xc0, 12]);
            bytes.extend_from_slice(&kind.to_be_bytes());
            bytes.extend_from_slice(&[0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
            bytes.extend_from_slice(data);
        };
        push(5, &[3, b'a', b'b', b'c', 0]);
        for (kind, data) in records {
            push(*kind, data);
        }
        bytes
    }

    #[test]
    fn an_answer_is_read_behind_aliases_and_references() {
        let question = question(7, "edge.lan", A).unwrap();
        let bytes = answer(
            &question,
            &[(A, &[192, 0, 2, 7]), (AAAA, &[0; 16]), (A, &[192, 0, 2, 8])],
        );
        let read = |bytes: &[u8], id| understand(bytes, id, A).map(Result::unwrap);
        let expected: [IpAddr; 2] = ["192.0.2.7", "192.0.2.8"].map(|it| it.parse().unwrap());
        assert_eq!(read(&bytes, 7).unwrap(), expected);
        assert_eq!(read(&bytes, 8), None, "another question's");
        assert_eq!(read(&question, 7), None, "not an answer");
        for end in 0..bytes.len() {
            let read = read(&bytes[..end], 7).unwrap_or_default();
            assert!(expected.starts_with(&read), "{end}: {read:?}");
        }
    }

    #[test]
    fn names_that_cannot_be_are_not_asked_for() {
        for name in ["", "a..b", ".a", &"x".repeat(64)] {
            assert_eq!(question(1, name, A), None, "{name}");
        }
        assert!(question(1, &"x".repeat(63), A).is_some());
    }

    /// Serves two questions from a socket of its own, each with what `reply` makes of it.
    async fn asked_of(reply: impl Fn(&[u8]) -> Vec<u8>) -> io::Result<Answer> {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let serve = async {
            let mut bytes = [0; 512];
            for _ in 0..2 {
                let (length, from) = server.recv_from(&mut bytes).await.unwrap();
                server
                    .send_to(&reply(&bytes[..length]), from)
                    .await
                    .unwrap();
            }
        };
        tokio::join!(ask(address, "edge-7.lan"), serve).0
    }

    #[tokio::test]
    async fn both_kinds_of_addresses_are_asked_for() {
        let found = asked_of(|question| match question[question.len() - 3] {
            1 => answer(question, &[(A, &[192, 0, 2, 7])]),
            _ => answer(question, &[(AAAA, &Ipv6Addr::LOCALHOST.octets())]),
        });
        let expected = ["192.0.2.7", "::1"].map(|it| it.parse().unwrap());
        assert_eq!(found.await.unwrap(), Answer::Addresses(expected.to_vec()));
    }

    #[tokio::test]
    async fn a_server_says_that_it_knows_no_such_name_or_cannot_tell() {
        let with_code = |code: u8| {
            move |question: &[u8]| {
                let mut bytes = question.to_vec();
                bytes[2..4].copy_from_slice(&[0x81, 0x80 | code]);
                bytes
            }
        };
        assert_eq!(asked_of(with_code(3)).await.unwrap(), Answer::Unknown);
        let error = asked_of(with_code(2)).await.unwrap_err();
        assert!(error.to_string().contains("error 2"), "{error}");
    }
}
