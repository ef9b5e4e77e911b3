//! What an actor does over and over: it mostly writes to whom it wrote last, and the same kind of message.

use std::sync::Arc;

use super::bindings::types::ActorError;
use crate::actor::Recipient;

/// What it did last. Found here, an address need not be looked up and a type need not be written down again.
#[derive(Default)]
pub struct Habits {
    last: Option<Correspondent>,
    message_type: Arc<str>,
}

struct Correspondent {
    /// As the actor calls it.
    address: Box<str>,
    /// The directory's edition by which it was found.
    edition: u64,
    recipient: Recipient,
}

impl Habits {
    /// Whom it wrote to last, if that was this one and nobody has come or gone since.
    pub fn recipient(&self, address: &str, edition: u64) -> Option<Recipient> {
        let known = self.last.as_ref()?;
        let same = known.edition == edition && *known.address == *address;
        same.then(|| known.recipient.clone())
    }

    /// It writes to this one.
    pub fn sends(&mut self, address: &str, edition: u64, recipient: &Recipient) {
        self.last = Some(Correspondent {
            address: address.into(),
            edition,
            recipient: recipient.clone(),
        });
    }

    /// A message type to be shared; one that was not used last is checked.
    pub fn message_type(
        &mut self,
        named: &str,
        check: impl FnOnce(&str) -> Result<(), ActorError>,
    ) -> Result<Arc<str>, ActorError> {
        if *self.message_type != *named {
            check(named)?;
            self.message_type = named.into();
        }
        Ok(self.message_type.clone())
    }
}
