//! An application's log: its last lines as JSON, or every line from now on as server-sent events.

use std::time::SystemTime;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{self, HeaderValue};
use log::Level;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};

use super::reply::{self, Body};
use super::{Door, api};
use crate::application::Log;
use crate::auth::Caller;
use crate::clock::rfc3339;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::Line;

/// Lines of an answer, unless the query says how many.
const TAIL_DEFAULT: usize = 100;

/// GET /api/v1/applications/{name}/logs
pub async fn logs(door: &Door, caller: Caller, name: &str, query: Option<&str>) -> Response<Body> {
    match answer(door, caller, name, query).await {
        Ok(response) => response,
        Err(refusal) => reply::refuse(&refusal),
    }
}

async fn answer(
    door: &Door,
    caller: Caller,
    name: &str,
    query: Option<&str>,
) -> Result<Response<Body>, Refusal> {
    let wish = Wish::of(query)?;
    let log = door.applications.log(name)?;
    let following = match wish.follow {
        true => Some((follower(door)?, log.logs.follow(&log.name))),
        false => None,
    };
    let lines = last(&log, &wish).await?;
    let Some((permit, coming)) = following else {
        return Ok(reply::json(&api::Logs { lines }));
    };
    let (events, body) = mpsc::channel(8);
    let gone = events.clone();
    let door = door.clone();
    tokio::spawn(async move {
        let _permit: OwnedSemaphorePermit = permit;
        let may_stay = || door.still_admits(&caller);
        tokio::select! {
            () = follow(lines, coming, wish, may_stay, events) => {}
            () = gone.closed() => {}
            () = door.shutdown.begun() => {}
        }
    });
    let mut response = Response::new(Body::endless(body));
    let headers = response.headers_mut();
    let event_stream = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, event_stream);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn follower(door: &Door) -> Result<OwnedSemaphorePermit, Refusal> {
    door.followers.clone().try_acquire_owned().map_err(|_| {
        let text = format!(
            "{} clients follow logs already, the most; end one of them first",
            limits::LOG_FOLLOWERS_MAX
        );
        Refusal::new(Kind::Exhausted, text)
    })
}

async fn last(log: &Log, wish: &Wish) -> Result<Vec<Line>, Refusal> {
    let chosen = wish.clone();
    let lines = log
        .logs
        .last(&log.name, wish.tail, move |line| chosen.accepts(line));
    lines.await.map_err(|error| {
        let text = format!("the log of {} cannot be read: {error}", log.name);
        Refusal::new(Kind::Internal, text)
    })
}

/// Sends what there is and what comes until the client leaves, or may stay no longer.
async fn follow(
    lines: Vec<Line>,
    mut coming: broadcast::Receiver<Line>,
    wish: Wish,
    may_stay: impl Fn() -> bool,
    events: mpsc::Sender<Bytes>,
) {
    let mut waiting = lines.into_iter();
    loop {
        let event = match waiting.next() {
            Some(line) => event(&line),
            None => match tokio::time::timeout(limits::LOG_HEARTBEAT, coming.recv()).await {
                Ok(Ok(line)) if wish.accepts(&line) => event(&line),
                Ok(Ok(_)) => continue,
                Ok(Err(RecvError::Lagged(lines))) => format!(": {lines} lines were missed\n\n"),
                Ok(Err(RecvError::Closed)) => return,
                Err(_) => ": nothing new\n\n".into(),
            },
        };
        if !may_stay() || events.send(event.into()).await.is_err() {
            return;
        }
    }
}

fn event(line: &Line) -> String {
    let json = serde_json::to_string(line).expect("a line is texts");
    format!("data: {json}\n\n")
}

/// What the query asks for.
#[derive(Clone)]
struct Wish {
    tail: usize,
    /// Lines at least as grave as this.
    level: Level,
    /// Lines from this moment on, as RFC 3339.
    since: Option<String>,
    follow: bool,
}

impl Wish {
    fn of(query: Option<&str>) -> Result<Self, Refusal> {
        let mut wish = Self {
            tail: TAIL_DEFAULT,
            level: Level::Trace,
            since: None,
            follow: false,
        };
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let understood = match &*key {
                "tail" => parsed(
                    value
                        .parse()
                        .ok()
                        .filter(|tail| *tail <= limits::PAGE_ITEMS_MAX),
                    &mut wish.tail,
                ),
                "level" => parsed(value.parse().ok(), &mut wish.level),
                "since" => parsed(moment(&value).map(Some), &mut wish.since),
                "follow" => parsed(value.parse().ok(), &mut wish.follow),
                _ => None,
            };
            understood.ok_or_else(misunderstood)?;
        }
        Ok(wish)
    }

    fn accepts(&self, line: &Line) -> bool {
        // Times of one layout and zone sort as texts do.
        line.level <= self.level && self.since.as_ref().is_none_or(|since| line.time >= *since)
    }
}

fn parsed<T>(value: Option<T>, place: &mut T) -> Option<()> {
    *place = value?;
    Some(())
}

fn moment(text: &str) -> Option<String> {
    let moment: SystemTime = humantime::parse_rfc3339_weak(text).ok()?;
    Some(rfc3339(moment))
}

fn misunderstood() -> Refusal {
    let text = format!(
        "the query of a log is tail=0..{}, level=error|warn|info|debug|trace, since=2026-01-31T12:00:00Z, \
         follow=true|false, or nothing",
        limits::PAGE_ITEMS_MAX
    );
    Refusal::new(Kind::Malformed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_chooses_lines() {
        let line = |time: &str, level| Line {
            time: time.into(),
            level,
            actor: None,
            message: "text".into(),
        };
        let check = |query: &str, accepted: bool| {
            let wish = Wish::of(Some(query)).unwrap();
            let line = line("2026-01-31T12:00:00.000Z", Level::Info);
            assert_eq!(wish.accepts(&line), accepted, "{query}");
        };
        check("", true);
        check("level=info", true);
        check("level=warn", false);
        check("since=2026-01-31T12:00:00Z", true);
        check("since=2026-01-31T12:00:00.001Z", false);
        check("since=2026-01-31T11:00:00Z&level=error", false);
        for query in [
            "tail=-1",
            "tail=1001",
            "level=loud",
            "since=yesterday",
            "follow=1",
            "x=1",
        ] {
            assert!(Wish::of(Some(query)).is_err(), "{query}");
        }
    }
}
