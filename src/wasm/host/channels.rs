//! Queues and topics: the meaning once, as the WIT trait; `core_channels` spells it for core modules.

use std::time::Duration;

use serde::Serialize;

use super::bindings::channels::{Host, QueueMessage};
use super::bindings::types::{ActorError, Context, ErrorCode};
use super::keyvalue::storage_code;
use super::messaging::checked_type;
use super::{Guest, actor_error};
use crate::coordination::channels::{InvalidTopic, Subscription};
use crate::limits;
use crate::message::MessageId;
use crate::payload::Payload;
use crate::services::{Event, Kind, Numbered};
use crate::storage::{Delivery, Parcel, QueueError, QueueName, Return, Settings};

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &[
    "send-to-queue",
    "send-to-queue-with-options",
    "receive-from-queue",
    "ack",
    "nack",
    "publish-to-topic",
    "subscribe-to-topic",
    "unsubscribe-from-topic",
    "create-queue",
    "delete-queue",
    "queue-depth",
];

type Answer<T> = wasmtime::Result<Result<T, ActorError>>;

impl Host for Guest {
    async fn send_to_queue(
        &mut self,
        context: Context,
        queue: String,
        message_type: String,
        payload: Vec<u8>,
    ) -> Answer<String> {
        let parcel = Parcel {
            message_type,
            ..Parcel::default()
        };
        Ok(self.send(context, queue, parcel, payload).await)
    }

    async fn send_to_queue_with_options(
        &mut self,
        context: Context,
        queue: String,
        message_type: String,
        payload: Vec<u8>,
        delay_ms: u64,
        ttl_ms: u64,
        headers: Vec<(String, String)>,
    ) -> Answer<String> {
        let parcel = Parcel {
            message_type,
            headers,
            delay: Duration::from_millis(delay_ms),
            ttl: Duration::from_millis(ttl_ms),
            ..Parcel::default()
        };
        Ok(self.send(context, queue, parcel, payload).await)
    }

    async fn receive_from_queue(
        &mut self,
        context: Context,
        queue: String,
        timeout_ms: u64,
    ) -> Answer<Option<QueueMessage>> {
        Ok(self.receive(context, queue, timeout_ms).await)
    }

    async fn ack(&mut self, context: Context, queue: String, id: String) -> Answer<()> {
        Ok(self.answer_for(context, queue, id, None).await)
    }

    async fn nack(
        &mut self,
        context: Context,
        queue: String,
        id: String,
        requeue: bool,
    ) -> Answer<()> {
        let how = match requeue {
            true => Return::Delivered,
            false => Return::Rejected,
        };
        Ok(self.answer_for(context, queue, id, Some(how)).await)
    }

    fn publish_to_topic(
        &mut self,
        context: Context,
        topic: String,
        message_type: String,
        payload: Vec<u8>,
    ) -> Answer<String> {
        Ok(self.publish(context, topic, message_type, payload))
    }

    fn subscribe_to_topic(
        &mut self,
        context: Context,
        topic: String,
        filter: Option<String>,
    ) -> Answer<u64> {
        Ok(self.subscribe(context, topic, filter))
    }

    fn unsubscribe_from_topic(&mut self, subscription_id: u64) -> Answer<()> {
        let ended = self.holdings.topics.end(subscription_id);
        Ok(ended.then_some(()).ok_or_else(|| {
            let text = format!("this actor has no subscription {subscription_id} to a topic");
            actor_error(ErrorCode::InvalidMessage, text)
        }))
    }

    async fn create_queue(
        &mut self,
        context: Context,
        queue: String,
        max_size: u32,
        message_ttl_ms: u64,
    ) -> Answer<()> {
        let name = match self.queue(context, queue) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        };
        let settings = Settings {
            messages_max: max_size,
            ttl_ms: message_ttl_ms,
        };
        let queues = &self.services.storage.queues;
        let created = queues.create(&name, self.actor.application(), settings);
        Ok(created.await.map_err(Into::into))
    }

    async fn delete_queue(&mut self, context: Context, queue: String) -> Answer<()> {
        let name = match self.queue(context, queue) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        };
        let deleted = self.services.storage.queues.delete(&name).await;
        Ok(deleted.map_err(Into::into))
    }

    async fn queue_depth(&mut self, context: Context, queue: String) -> Answer<u64> {
        let name = match self.queue(context, queue) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        };
        let depth = self.services.storage.queues.depth(&name).await;
        Ok(depth.map_err(Into::into))
    }
}

/// The payload of a `topic` event.
#[derive(Serialize)]
struct TopicEvent<'a> {
    namespace: &'a str,
    topic: &'a str,
    #[serde(rename = "type")]
    message_type: &'a str,
    id: String,
    from: &'a str,
    timestamp: u64,
    payload: Payload<'a>,
    payload_encoding: &'static str,
}

impl Guest {
    fn queue(&self, context: Context, name: String) -> Result<QueueName, ActorError> {
        Ok(QueueName::parse(self.place(&context)?, &name)?)
    }

    async fn send(
        &mut self,
        context: Context,
        queue: String,
        parcel: Parcel,
        payload: Vec<u8>,
    ) -> Result<String, ActorError> {
        self.may_send()?;
        let name = self.queue(context, queue)?;
        checked_type(&parcel.message_type)?;
        let (payload, _share) = self.laid_down(payload)?;
        let parcel = Parcel {
            payload,
            sent_ms: self.actors.clock().wall_ms(),
            ..parcel
        };
        let (queues, owner) = (&self.services.storage.queues, self.actor.application());
        Ok(queues.send(&name, owner, parcel).await?)
    }

    async fn receive(
        &mut self,
        context: Context,
        queue: String,
        timeout_ms: u64,
    ) -> Result<Option<QueueMessage>, ActorError> {
        let name = self.queue(context, queue)?;
        if self.holdings.leases.len() >= limits::UNACKED_MAX {
            let text = format!(
                "this actor has {} messages that it neither acknowledged nor gave back; answer for some first",
                limits::UNACKED_MAX
            );
            return Err(actor_error(ErrorCode::ResourceExhausted, text));
        }
        let queues = self.services.storage.queues.clone();
        let delivery = match timeout_ms {
            0 => queues.receive(&name).await?,
            ms => {
                let wait = queues.wait(&name);
                let waited = self.patiently(Duration::from_millis(ms), wait).await?;
                waited.transpose()?
            }
        };
        delivery.map(|it| self.lent(it)).transpose()
    }

    /// From here on the message is the guest's to answer for.
    fn lent(&mut self, delivery: Delivery) -> Result<QueueMessage, ActorError> {
        let mut lease = delivery.lease;
        lease.arrived();
        // One that is too long for it goes back as delivered, and so to the dead letters in the end.
        self.fits(delivery.payload.len())?;
        let id = lease.id();
        self.holdings.leases.insert(id.clone(), lease);
        Ok(QueueMessage {
            id,
            msg_type: delivery.message_type,
            payload: delivery.payload.into(),
            timestamp: delivery.sent_ms,
            delivery_count: delivery.deliveries,
            headers: delivery.headers,
        })
    }

    /// Acknowledges a message, or gives it back.
    async fn answer_for(
        &mut self,
        context: Context,
        queue: String,
        id: String,
        back: Option<Return>,
    ) -> Result<(), ActorError> {
        let name = self.queue(context, queue)?;
        let lease = self.holdings.leases.get_mut(&id);
        let Some(lease) = lease.filter(|lease| *lease.queue() == name) else {
            let id: String = id.chars().take(64).collect();
            let text = format!("this actor has no message {id:?} of this queue to answer for");
            return Err(actor_error(ErrorCode::InvalidMessage, text));
        };
        let queues = &self.services.storage.queues;
        let answered = match back {
            None => queues.acknowledge(lease).await,
            Some(how) => queues.give_back(lease, how).await,
        };
        if matches!(answered, Ok(()) | Err(QueueError::Gone(_))) {
            self.holdings.leases.remove(&id);
        }
        Ok(answered?)
    }

    fn publish(
        &self,
        context: Context,
        topic: String,
        message_type: String,
        payload: Vec<u8>,
    ) -> Result<String, ActorError> {
        self.may_send()?;
        let place = self.place(&context)?;
        checked_type(&message_type)?;
        self.fits(payload.len())?;
        let id = MessageId::next().to_string();
        let hearers = self
            .services
            .coordination
            .topics
            .hearers(&place, &topic, &message_type)?;
        if hearers.is_empty() {
            return Ok(id);
        }
        let (shown, payload_encoding) = Payload::of(&payload);
        let event = TopicEvent {
            namespace: &place.namespace,
            topic: &topic,
            message_type: &message_type,
            id: id.clone(),
            from: self.actor.address(),
            timestamp: self.actors.clock().wall_ms(),
            payload: shown,
            payload_encoding,
        };
        let event = Event::new(Kind::Topic, &event);
        for hearer in &hearers {
            self.services.notify(hearer, &event);
        }
        Ok(id)
    }

    fn subscribe(
        &mut self,
        context: Context,
        topic: String,
        filter: Option<String>,
    ) -> Result<u64, ActorError> {
        let place = self.place(&context)?;
        if self.holdings.topics.count() >= limits::TOPICS_MAX {
            let text = format!(
                "an actor subscribes to at most {} topics",
                limits::TOPICS_MAX
            );
            return Err(actor_error(ErrorCode::ResourceExhausted, text));
        }
        let topics = &self.services.coordination.topics;
        let subscription = topics.subscribe(&place, &topic, filter.as_deref(), &self.actor)?;
        let number = Numbered::<Subscription>::number();
        self.holdings.topics.keep(number, subscription);
        Ok(number)
    }
}

impl From<InvalidTopic> for ActorError {
    fn from(error: InvalidTopic) -> Self {
        actor_error(ErrorCode::InvalidMessage, error.to_string())
    }
}

impl From<QueueError> for ActorError {
    fn from(error: QueueError) -> Self {
        let code = match &error {
            QueueError::Name | QueueError::Headers | QueueError::Gone(_) => {
                ErrorCode::InvalidMessage
            }
            QueueError::Full { .. } | QueueError::Spent(_) => ErrorCode::ResourceExhausted,
            QueueError::Storage(error) => storage_code(error),
        };
        actor_error(code, error.to_string())
    }
}
