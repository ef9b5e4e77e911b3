//! Asks that an actor left open, to be answered later by their correlation ids.

use std::collections::HashMap;
use std::sync::Arc;

use crate::limits;
use crate::message::Reply;

/// The open asks of one actor. Dropped, it tells every asker that the actor is gone.
#[derive(Debug, Default)]
pub struct Deferred {
    open: HashMap<Arc<str>, Reply>,
}

impl Deferred {
    /// Keeps an ask open. With `limits::DEFERRED_ASKS_MAX` askers waiting it gives the reply back.
    pub fn open(&mut self, correlation: Arc<str>, reply: Reply) -> Result<(), Reply> {
        self.open.retain(|_, reply| !reply.is_abandoned());
        if self.open.len() >= limits::DEFERRED_ASKS_MAX {
            return Err(reply);
        }
        self.open.insert(correlation, reply);
        Ok(())
    }

    /// Takes those of an earlier instance of the same actor.
    pub fn absorb(&mut self, other: Self) {
        self.open.extend(other.open);
    }

    /// Takes the ask of this id. `None` where it was answered, or its asker has left, or it never was.
    pub fn close(&mut self, correlation: &str) -> Option<Reply> {
        let reply = self.open.remove(correlation)?;
        (!reply.is_abandoned()).then_some(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn an_open_ask_is_answered_once() {
        let mut deferred = Deferred::default();
        let (reply, mut answer) = Reply::channel();
        deferred.open("m-1".into(), reply).unwrap();
        assert!(deferred.close("m-2").is_none());
        deferred.close("m-1").unwrap().send(Ok(Bytes::new()));
        assert_eq!(answer.try_recv().unwrap(), Ok(Bytes::new()));
        assert!(deferred.close("m-1").is_none());
    }

    #[test]
    fn askers_that_left_make_room() {
        let mut deferred = Deferred::default();
        let mut askers = Vec::new();
        for n in 0..limits::DEFERRED_ASKS_MAX {
            let (reply, asker) = Reply::channel();
            deferred.open(n.to_string().into(), reply).unwrap();
            askers.push(asker);
        }
        let (reply, _asker) = Reply::channel();
        let returned = deferred.open("one more".into(), reply).unwrap_err();
        askers.pop();
        deferred.open("one more".into(), returned).unwrap();
        let last = (limits::DEFERRED_ASKS_MAX - 1).to_string();
        assert!(deferred.close(&last).is_none());
        assert_eq!(deferred.open.len(), limits::DEFERRED_ASKS_MAX);
    }

    #[test]
    fn askers_hear_at_once_that_the_actor_is_gone() {
        let mut deferred = Deferred::default();
        let (reply, mut answer) = Reply::channel();
        deferred.open("m-1".into(), reply).unwrap();
        drop(deferred);
        assert!(answer.try_recv().is_err());
    }
}
