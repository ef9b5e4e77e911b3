//! Which handler a guest has for what, by the names its module exports; chosen once, at deploy.

/// A message handler's name, as WIT spells it; core modules write `_` for `-`.
pub const HANDLERS: [&str; 4] = [
    "handle-request",
    "handle-message",
    "handle-call",
    "handle-cast",
];

/// The functions called around messages.
pub const HOOKS: [&str; 3] = ["init", "snapshot-state", "shutdown"];

/// Whether the sender waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    Ask,
    Tell,
}

/// A guest's handlers, each as `H`: a type found at deploy, a typed function once bound.
#[derive(Clone, Debug)]
pub struct Handlers<H> {
    request: Option<H>,
    message: Option<H>,
    call: Option<H>,
    cast: Option<H>,
}

impl<H> Handlers<H> {
    /// Looks each handler up by its name.
    pub fn find<E>(
        mut lookup: impl FnMut(&'static str) -> Result<Option<H>, E>,
    ) -> Result<Self, E> {
        let [request, message, call, cast] = HANDLERS;
        Ok(Self {
            request: lookup(request)?,
            message: lookup(message)?,
            call: lookup(call)?,
            cast: lookup(cast)?,
        })
    }

    /// Turns each handler into another form of itself.
    pub fn bind<B, E>(&self, mut bind: impl FnMut(&H) -> Result<B, E>) -> Result<Handlers<B>, E> {
        let mut each = |handler: &Option<H>| handler.as_ref().map(&mut bind).transpose();
        Ok(Handlers {
            request: each(&self.request)?,
            message: each(&self.message)?,
            call: each(&self.call)?,
            cast: each(&self.cast)?,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.request.is_none()
            && self.message.is_none()
            && self.call.is_none()
            && self.cast.is_none()
    }

    /// The handler for a message of this type.
    pub fn route(&self, intent: Intent, message_type: &str) -> Option<&H> {
        let Self {
            request,
            message,
            call,
            cast,
        } = self;
        let order = match intent {
            Intent::Ask if message_type == "call" => [request, call, message],
            Intent::Ask => [request, message, call],
            Intent::Tell if message_type == "cast" => [cast, message, request],
            Intent::Tell => [message, request, cast],
        };
        order.into_iter().find_map(Option::as_ref)
    }
}

/// The refusal of a module in which no handler was found.
pub fn no_handler(exported: &[String]) -> String {
    let found = if exported.is_empty() {
        "no functions at all".into()
    } else {
        exported.join(", ")
    };
    format!(
        "it exports no message handler: looked for {}; found {found}",
        HANDLERS.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn messages_are_routed_by_intent_and_type() {
        let check = |has: &[&str], intent, message_type, expected: Option<&str>| {
            let handlers =
                Handlers::find(|name| Ok::<_, Infallible>(has.contains(&name).then_some(name)))
                    .unwrap();
            let routed = handlers.route(intent, message_type).copied();
            assert_eq!(
                routed, expected,
                "{intent:?} of type {message_type} to a guest with {has:?}"
            );
        };
        use Intent::{Ask, Tell};
        check(&HANDLERS, Ask, "call", Some("handle-request"));
        check(&HANDLERS, Tell, "cast", Some("handle-cast"));
        check(&HANDLERS, Tell, "info", Some("handle-message"));
        check(
            &["handle-message", "handle-call"],
            Ask,
            "call",
            Some("handle-call"),
        );
        check(
            &["handle-message", "handle-call"],
            Ask,
            "add",
            Some("handle-message"),
        );
        check(&["handle-call"], Ask, "add", Some("handle-call"));
        check(&["handle-request"], Tell, "cast", Some("handle-request"));
        check(&["handle-cast"], Tell, "add", Some("handle-cast"));
        check(&["handle-cast"], Ask, "add", None);
        check(&["handle-call"], Tell, "add", None);
    }
}
