//! Who holds a connection: a bounded table, in which the longest idle one makes room for a newcomer.
//!
//! A kept-alive connection is a favour to a client, a new one usually somebody who wants an answer. So nobody waits
//! at a full port: whoever was quiet for longest goes. Peers from elsewhere are bounded twice, each by itself and all
//! together, so that neither one machine nor all of them keep out an operator who sits at this one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::limits;

/// All connections of one port.
#[derive(Clone)]
pub struct Connections {
    max: usize,
    table: Arc<Mutex<Table>>,
    /// Each seat holds a receiver; when none is left, every connection has ended.
    open: Arc<watch::Sender<()>>,
}

/// A connection's place in the table, given back when it ends.
pub struct Seat {
    id: u64,
    pub activity: Activity,
    leave: Arc<Notify>,
    connections: Connections,
    _open: watch::Receiver<()>,
}

#[derive(Default)]
struct Table {
    last_id: u64,
    seats: HashMap<u64, Held>,
}

struct Held {
    peer: IpAddr,
    activity: Activity,
    leave: Arc<Notify>,
}

/// What a newcomer finds.
#[derive(Debug, PartialEq, Eq)]
enum Room {
    Free,
    InPlaceOf(u64),
    None,
}

impl Connections {
    /// No connections yet, and at most `max`.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            table: Arc::default(),
            open: Arc::default(),
        }
    }

    /// A place for a connection from `peer`, perhaps that of an idle one, which is closed; `None` where all that could
    /// make room are being answered.
    pub fn admit(&self, peer: IpAddr) -> Option<Seat> {
        let (peer, mut table) = (household(peer), self.table.lock().unwrap());
        match table.room_for(peer, self.max) {
            Room::Free => {}
            Room::InPlaceOf(id) => table.dismiss(id),
            Room::None => return None,
        }
        table.last_id += 1;
        let seat = Seat {
            id: table.last_id,
            activity: Activity::new(),
            leave: Arc::default(),
            connections: self.clone(),
            _open: self.open.subscribe(),
        };
        let held = Held {
            peer,
            activity: seat.activity.clone(),
            leave: seat.leave.clone(),
        };
        table.seats.insert(seat.id, held);
        Some(seat)
    }

    /// Closes the connection that was idle for longest, for its file descriptor. Answers whether there was one.
    pub fn dismiss_longest_idle(&self) -> bool {
        let mut table = self.table.lock().unwrap();
        match table.longest_idle(|_| true) {
            Room::InPlaceOf(id) => {
                table.dismiss(id);
                true
            }
            _ => false,
        }
    }

    /// Resolves once there is no connection.
    pub async fn ended(&self) {
        self.open.closed().await;
    }
}

impl Table {
    fn room_for(&self, peer: IpAddr, max: usize) -> Room {
        let count =
            |meant: &dyn Fn(&Held) -> bool| self.seats.values().filter(|it| meant(it)).count();
        let elsewhere = |held: &Held| !held.peer.is_loopback();
        let for_others = max - max / limits::CONNECTIONS_RESERVED_SHARE;
        if !peer.is_loopback()
            && count(&|held| held.peer == peer) >= max / limits::CONNECTIONS_PEER_SHARE
        {
            return self.longest_idle(|held| held.peer == peer);
        }
        if !peer.is_loopback() && count(&elsewhere) >= for_others {
            return self.longest_idle(elsewhere);
        }
        if self.seats.len() >= max {
            return self.longest_idle(|_| true);
        }
        Room::Free
    }

    fn longest_idle(&self, meant: impl Fn(&Held) -> bool) -> Room {
        let seats = self.seats.iter().filter(|(_, held)| meant(held));
        let idle = seats.filter_map(|(id, held)| Some((held.activity.idle_since()?, *id)));
        idle.min().map_or(Room::None, |(_, id)| Room::InPlaceOf(id))
    }

    fn dismiss(&mut self, id: u64) {
        if let Some(held) = self.seats.remove(&id) {
            held.leave.notify_one();
        }
    }
}

impl Seat {
    /// Resolves when the connection has to go: it was idle for too long, or somebody else needs its place.
    pub async fn lost(&self) {
        tokio::select! {
            () = self.activity.idle_for_too_long() => {}
            () = self.leave.notified() => {}
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections
            .table
            .lock()
            .unwrap()
            .seats
            .remove(&self.id);
    }
}

/// The peers that count as one: an address, or with IPv6 its network, of which one machine may use every address.
fn household(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// What is going on upon one connection, so that an idle one can be told from a busy one.
#[derive(Clone)]
pub struct Activity(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    leaving: Notify,
}

struct State {
    in_flight: usize,
    /// Whether the client will send nothing more, and so may be gone.
    left: bool,
    quiet_since: Instant,
    quiet_max: Duration,
}

/// A request being answered.
pub struct Busy(Activity);

impl Activity {
    pub(super) fn new() -> Self {
        let quiet_max = limits::FIRST_REQUEST_TIME_MAX;
        let state = Mutex::new(State {
            in_flight: 0,
            left: false,
            quiet_since: Instant::now(),
            quiet_max,
        });
        Self(Arc::new(Shared {
            state,
            leaving: Notify::new(),
        }))
    }

    pub fn busy(&self) -> Busy {
        let mut state = self.state();
        state.in_flight += 1;
        state.quiet_max = limits::CONNECTION_IDLE_MAX;
        Busy(self.clone())
    }

    /// The client will send nothing more. Whether it still reads cannot be known, so it keeps its place while nobody
    /// needs it.
    pub fn client_left(&self) {
        self.state().left = true;
        self.0.leaving.notify_waiters();
    }

    /// Resolves once the client will send nothing more.
    pub async fn leaving(&self) {
        let leaving = self.0.leaving.notified();
        // What is said from here on is heard.
        if !self.has_left() {
            leaving.await;
        }
    }

    /// Whether requests wait for their answers.
    pub fn is_busy(&self) -> bool {
        self.state().in_flight > 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Whether the client will send nothing more.
    pub fn has_left(&self) -> bool {
        self.state().left
    }

    /// Since when nothing is being answered, at least to nobody who is surely there; `None` while something is.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.in_flight == 0 || state.left).then_some(state.quiet_since)
    }

    async fn idle_for_too_long(&self) {
        loop {
            let next_look = {
                let state = self.state();
                let now = Instant::now();
                let since = if state.in_flight > 0 {
                    now
                } else {
                    state.quiet_since
                };
                if now.duration_since(since) >= state.quiet_max {
                    return;
                }
                since + state.quiet_max
            };
            tokio::time::sleep_until(next_look).await;
        }
    }
}

impl Busy {
    /// Whether the client will send nothing more.
    pub fn has_left(&self) -> bool {
        self.0.has_left()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        state.quiet_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn idle_after(activity: &Activity) -> Duration {
        let began = Instant::now();
        activity.idle_for_too_long().await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_soon_closed() {
        assert_eq!(
            idle_after(&Activity::new()).await,
            limits::FIRST_REQUEST_TIME_MAX
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_asked_may_rest_for_longer() {
        let activity = Activity::new();
        drop(activity.busy());
        assert_eq!(idle_after(&activity).await, limits::CONNECTION_IDLE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_being_answered_is_never_idle() {
        let (activity, answered) = (Activity::new(), Duration::from_secs(600));
        let busy = activity.busy();
        let answer = async {
            tokio::time::sleep(answered).await;
            drop(busy);
        };
        let (idle, ()) = tokio::join!(idle_after(&activity), answer);
        assert!(
            idle >= answered + limits::CONNECTION_IDLE_MAX
                && idle < answered + 2 * limits::CONNECTION_IDLE_MAX
        );
    }

    const MAX: usize = 16;
    const LOCAL: &str = "127.0.0.1";

    fn admit(connections: &Connections, peer: &str) -> Option<Seat> {
        connections.admit(peer.parse().unwrap())
    }

    fn held(connections: &Connections) -> usize {
        connections.table.lock().unwrap().seats.len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_port_closes_the_longest_idle_connection() {
        let connections = Connections::new(MAX);
        let mut seats: Vec<Seat> = Vec::new();
        for _ in 0..MAX {
            seats.push(admit(&connections, LOCAL).unwrap());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let _busy = seats[0].activity.busy();
        let _newcomer = admit(&connections, LOCAL).unwrap();
        // The first is being answered, so the second goes.
        seats[1].leave.notified().await;
        assert_eq!(held(&connections), MAX);
    }

    #[tokio::test]
    async fn where_all_are_being_answered_there_is_no_room() {
        let connections = Connections::new(MAX);
        let seats: Vec<Seat> = (0..MAX)
            .map(|_| admit(&connections, LOCAL).unwrap())
            .collect();
        let mut busy: Vec<Busy> = seats.iter().map(|seat| seat.activity.busy()).collect();
        assert!(admit(&connections, LOCAL).is_none() && !connections.dismiss_longest_idle());
        busy.pop();
        assert!(admit(&connections, LOCAL).is_some());
    }

    #[tokio::test]
    async fn one_whose_client_has_left_makes_room_though_it_is_being_answered() {
        let connections = Connections::new(MAX);
        let seats: Vec<Seat> = (0..MAX)
            .map(|_| admit(&connections, LOCAL).unwrap())
            .collect();
        let _busy: Vec<Busy> = seats.iter().map(|seat| seat.activity.busy()).collect();
        seats[5].activity.client_left();
        assert!(admit(&connections, LOCAL).is_some());
        seats[5].leave.notified().await;
    }

    #[tokio::test]
    async fn one_peer_takes_a_share_and_all_others_leave_the_machine_its_own() {
        let connections = Connections::new(MAX);
        let mut seats = Vec::new();
        let mut come = |peer: &str| {
            let seat = admit(&connections, peer);
            let came = seat.is_some();
            seats.extend(seat.map(|seat| (seat.activity.busy(), seat)));
            came
        };
        let share = MAX / limits::CONNECTIONS_PEER_SHARE;
        // All of a network in IPv6 is one peer, and so is an address in either spelling.
        let spelled = |at: usize| ["192.0.2.1", "::ffff:192.0.2.1"][at % 2];
        assert!((0..share).all(|at| come(spelled(at))) && !come("192.0.2.1"));
        assert!((0..share).all(|at| come(&format!("2001:db8::{at}"))) && !come("2001:db8::ff"));
        let rest = MAX - MAX / limits::CONNECTIONS_RESERVED_SHARE - 2 * share;
        assert!((0..rest).all(|at| come(&format!("198.51.100.{at}"))) && !come("203.0.113.1"));
        assert!((0..MAX / limits::CONNECTIONS_RESERVED_SHARE).all(|_| come(LOCAL)) && !come(LOCAL));
    }

    #[tokio::test]
    async fn a_connection_that_ended_leaves_its_place() {
        let connections = Connections::new(MAX);
        drop(admit(&connections, LOCAL));
        assert_eq!(held(&connections), 0);
        connections.ended().await;
    }
}
