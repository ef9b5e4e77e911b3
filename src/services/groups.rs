//! Messages to all members of a group.

use serde::Serialize;

use super::{Event, Kind, Services};
use crate::id::ActorId;
use crate::payload::Payload;
use crate::place::Place;

/// The payload of a `group` event.
#[derive(Serialize)]
struct Published<'a> {
    group: &'a str,
    topic: Option<&'a str>,
    from: &'a str,
    payload: Payload<'a>,
    payload_encoding: &'static str,
}

impl Services {
    /// Puts an event into the mailbox of every member, or with a topic of those interested in it, and answers with those
    /// who have it.
    pub fn publish(
        &self,
        place: &Place,
        group: &str,
        topic: Option<&str>,
        from: &str,
        payload: &[u8],
    ) -> Vec<ActorId> {
        let mut members = self.coordination.groups.interested(place, group, topic);
        let (payload, payload_encoding) = Payload::of(payload);
        let event = Event::new(
            Kind::Group,
            &Published {
                group,
                topic,
                from,
                payload,
                payload_encoding,
            },
        );
        members.retain(|member| self.notify(member, &event));
        members
    }
}
