//! Which handler a guest has for what, by the names its module exports; chosen once, at deploy.

/// What a guest exports for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    Request,
    Message,
    Call,
    Cast,
    Info,
    Event,
    /// The handler of a guest whose state is a string that the node keeps.
    Transition,
}

/// Each handler's name, as WIT spells it; core modules write `_` for `-`.
pub const HANDLERS: [(Handler, &str); 7] = [
    (Handler::Request, "handle-request"),
    (Handler::Message, "handle-message"),
    (Handler::Call, "handle-call"),
    (Handler::Cast, "handle-cast"),
    (Handler::Info, "handle-info"),
    (Handler::Event, "handle-event"),
    (Handler::Transition, "handle-transition"),
];

/// What starts a guest.
pub const INIT: &str = "init";

/// What is called around messages, with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// After `init`, before the first message.
    PostInit,
    /// The first state of a guest whose only handler is a transition.
    GetState,
    /// Before the snapshot.
    PreSuspend,
    SnapshotState,
    /// The last call of all.
    Shutdown,
    /// After an `init` that got a snapshot.
    PostResume,
    /// The tree that its application is to have; called on an instance of its own, before any `init`.
    SupervisorTree,
}

pub const HOOKS: [(Hook, &str); 7] = [
    (Hook::PostInit, "post-init"),
    (Hook::GetState, "get-state"),
    (Hook::PreSuspend, "pre-suspend"),
    (Hook::SnapshotState, "snapshot-state"),
    (Hook::Shutdown, "shutdown"),
    (Hook::PostResume, "post-resume"),
    (Hook::SupervisorTree, "get-supervisor-tree"),
];

impl Hook {
    /// Whether it answers with bytes; the others answer with success or failure.
    pub fn gives_bytes(self) -> bool {
        matches!(
            self,
            Self::GetState | Self::SnapshotState | Self::SupervisorTree
        )
    }
}

/// What a message asks of its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    Ask,
    Tell,
    Notice,
    Event,
}

/// Some of a guest's exports by what they are for, each as `H`: a type found at deploy, a function once bound.
#[derive(Clone, Debug)]
pub struct Chosen<K, H>(Vec<(K, H)>);

pub type Handlers<H> = Chosen<Handler, H>;
pub type Hooks<H> = Chosen<Hook, H>;

impl<K: Copy + PartialEq, H> Chosen<K, H> {
    /// Looks each name up.
    pub fn find<E>(
        names: &[(K, &'static str)],
        mut lookup: impl FnMut(K, &'static str) -> Result<Option<H>, E>,
    ) -> Result<Self, E> {
        let mut found = Vec::new();
        for &(key, name) in names {
            found.extend(lookup(key, name)?.map(|export| (key, export)));
        }
        Ok(Self(found))
    }

    /// Turns each export into another form of itself.
    pub fn bind<B, E>(&self, mut bind: impl FnMut(&H) -> Result<B, E>) -> Result<Chosen<K, B>, E> {
        let bound = self.0.iter().map(|(key, export)| Ok((*key, bind(export)?)));
        bound.collect::<Result<_, _>>().map(Chosen)
    }

    pub fn get(&self, key: K) -> Option<&H> {
        let found = self.0.iter().find(|(known, _)| *known == key);
        found.map(|(_, export)| export)
    }

    pub fn has(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<H> Handlers<H> {
    /// Whether it is told of others' ends.
    pub fn hears_notices(&self) -> bool {
        self.route(Intent::Notice, "").next().is_some()
    }

    /// Whether the node keeps this guest's state for it.
    pub fn is_state_machine(&self) -> bool {
        matches!(&self.0[..], [(Handler::Transition, _)])
    }

    /// The handlers for a message of this type: the first one gets it, each next one if those before pass it over.
    pub fn route(&self, intent: Intent, message_type: &str) -> impl Iterator<Item = Handler> {
        let order = self.order(intent, message_type).iter().copied();
        order.filter(|handler| self.has(*handler))
    }

    /// The same, whether or not the guest has them.
    pub fn order(&self, intent: Intent, message_type: &str) -> &'static [Handler] {
        match self.is_state_machine() {
            true => &[Handler::Transition],
            false => order(intent, message_type),
        }
    }
}

#[rustfmt::skip]
fn order(intent: Intent, message_type: &str) -> &'static [Handler] {
    use Handler::{Call, Cast, Event, Info, Message, Request};
    match (intent, message_type) {
        (Intent::Ask, "call") => &[Request, Call, Message],
        (Intent::Ask, _) => &[Request, Message, Call],
        (Intent::Tell, "cast") => &[Cast, Message, Request],
        (Intent::Tell, _) => &[Message, Request, Cast],
        (Intent::Notice, _) => &[Info, Message],
        (Intent::Event, _) => &[Event, Message],
    }
}

/// Names as an error may list them: a few, none of them long, and how many more there are.
pub fn listed(names: &[String]) -> String {
    const NAMES_MAX: usize = 20;
    const CHARS_MAX: usize = 100;
    let shown = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| name.chars().take(CHARS_MAX).collect());
    let shown = shown.collect::<Vec<String>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The refusal of a module in which no handler was found.
pub fn no_handler(exported: &[String]) -> String {
    let found = if exported.is_empty() {
        "no functions at all".into()
    } else {
        listed(exported)
    };
    let names = HANDLERS.map(|(_, name)| name).join(", ");
    format!("it exports no message handler: looked for {names}; found {found}")
}

#[cfg(test)]
mod tests {
    use super::Intent::{Ask, Event, Notice, Tell};
    use super::*;
    use std::convert::Infallible;

    fn guest(has: &[&str]) -> Handlers<()> {
        let lookup = |_, name| Ok::<_, Infallible>(has.contains(&name).then_some(()));
        Chosen::find(&HANDLERS, lookup).unwrap()
    }

    fn check(has: &[&str], intent: Intent, message_type: &str, expected: &[&str]) {
        let name_of = |handler| HANDLERS.iter().find(|(known, _)| *known == handler);
        let guest = guest(has);
        let routed = guest.route(intent, message_type);
        let routed: Vec<&str> = routed.map(|it| name_of(it).unwrap().1).collect();
        assert_eq!(
            routed, expected,
            "{intent:?} of type {message_type} to a guest with {has:?}"
        );
    }

    #[test]
    fn messages_are_routed_by_intent_and_type() {
        let all = &HANDLERS.map(|(_, name)| name);
        let [request, message, call, cast, info, event, transition] = *all;
        check(all, Ask, "call", &[request, call, message]);
        check(all, Ask, "add", &[request, message, call]);
        check(all, Tell, "cast", &[cast, message, request]);
        check(all, Tell, "info", &[message, request, cast]);
        check(all, Notice, "DOWN", &[info, message]);
        check(all, Event, "tuple", &[event, message]);
        check(&[message, call], Ask, "call", &[call, message]);
        check(&[call], Ask, "add", &[call]);
        check(&[request], Tell, "cast", &[request]);
        check(&[cast], Tell, "add", &[cast]);
        check(&[cast], Ask, "add", &[]);
        check(&[call], Tell, "add", &[]);
        check(&[event], Ask, "tuple", &[]);
        check(&[event], Notice, "DOWN", &[]);
        check(&[event, transition], Ask, "open", &[]);
    }

    #[test]
    fn a_transition_gets_everything_when_it_is_alone() {
        for intent in [Ask, Tell, Notice, Event] {
            check(
                &["handle-transition"],
                intent,
                "open",
                &["handle-transition"],
            );
        }
        assert!(guest(&["handle-transition"]).is_state_machine());
        assert!(!guest(&["handle-transition", "handle-call"]).is_state_machine());
    }
}
