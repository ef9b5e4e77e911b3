//! ActorService: spawn, look at, tell, ask and stop actors.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request as HttpRequest;
use hyper::http::request::Parts;
use toml::Table;
use tonic::{Request, Response, Status};

use super::arrival::{Arrival, Sent};
use super::config::named;
use super::fields::{OF_INVOKE_ACTOR, OF_SEND_MESSAGE};
use super::modules::{require, spawned};
use super::moment::{timestamp, within};
use super::paging::cut;
use super::proto::actor::actor_service_server::ActorService;
use super::proto::{actor as wire, common};
use crate::application::spec::Config;
use crate::application::{ActorOverview, ActorState, Spawn};
use crate::audit::Entry;
use crate::gate::Door;
use crate::gate::invocation::{self, Invocation, Manner, Target, message_type};
use crate::id::Scope;
use crate::limits;
use crate::message::Message;
use crate::refusal::{Kind, Refusal};

pub struct Actors {
    door: Door,
}

impl Actors {
    pub fn new(door: &Door) -> Self {
        let door = door.clone();
        Self { door }
    }

    /// The module that an actor is to be of, and what else is wanted of it.
    fn wanted(&self, request: wire::SpawnActorRequest) -> Result<(String, Spawn), Refusal> {
        require(&[("actor_type", request.actor_type.is_empty())])?;
        if !request.labels.is_empty() {
            return Err(not_supported("labels"));
        }
        let spawn = Spawn {
            id: request.actor_id,
            initial_state: request.initial_state,
            config: request.config.map(configured).transpose()?,
        };
        Ok((request.actor_type, spawn))
    }

    async fn delete(&self, request: wire::DeleteActorRequest, entry: Entry) -> Result<(), Refusal> {
        let named = require(&[("actor_id", request.actor_id.is_empty())]);
        let (entry, ()) = entry.prepared(named)?;
        let grace = request.force.then_some(Duration::ZERO);
        let address = match self.door.actors.address(&request.actor_id) {
            Some(address) => address.to_string(),
            None => request.actor_id,
        };
        let applications = self.door.applications.clone();
        let deleting = async move { applications.delete_actor(&address, grace).await };
        self.door.carry_out(entry, deleting).await
    }

    async fn send(
        &self,
        request: wire::SendMessageRequest,
        arrival: &Arrival,
    ) -> Result<Response<wire::SendMessageResponse>, Refusal> {
        let given = request.message.unwrap_or_default();
        require(&[("message.receiver_id", given.receiver_id.is_empty())])?;
        refuse_unknown_wishes(&given)?;
        let timeout = within(
            "timeout",
            request.timeout,
            limits::ASK_TIME_DEFAULT,
            limits::ASK_TIME_MAX,
        )?;
        let manner = match request.wait_for_response {
            true => Manner::Ask { timeout },
            false => Manner::Tell,
        };
        let to = self.door.address(Target::Id(&given.receiver_id))?;
        let of_type = message_type(Some(given.message_type).filter(|it| !it.is_empty()))?;
        let mut message = self.message(&of_type, given.payload)?;
        message.headers = given.headers.into_iter().collect();
        // From here on the mailbox counts it.
        arrival.passed_on();
        let (id, from) = (message.id.to_string(), message.from.to_string());
        let answer = self.door.send(to.clone(), message, manner).await?;
        let share = answer
            .as_ref()
            .map(|answer| self.door.actors.budget().overdraw(answer.len()));
        let response = answer.map(|payload| wire::Message {
            id: format!("{id}-reply"),
            sender_id: to.to_string(),
            receiver_id: from,
            message_type: of_type,
            payload,
            timestamp: Some(timestamp(self.door.actors.clock().wall())),
            ..Default::default()
        });
        let mut response = Response::new(wire::SendMessageResponse {
            message_id: id,
            response,
        });
        response.extensions_mut().insert(Sent::new(share));
        Ok(response)
    }

    async fn invoke(
        &self,
        request: wire::InvokeActorRequest,
        tenant: Scope,
        arrival: &Arrival,
    ) -> Result<Response<wire::InvokeActorResponse>, Refusal> {
        require(&[
            ("namespace", request.namespace.is_empty()),
            ("actor_type", request.actor_type.is_empty()),
        ])?;
        if !request.subpath.is_empty() {
            return Err(not_supported("subpath"));
        }
        let parts = as_http(&request)?;
        let invocation = Invocation::of(&parts)?;
        let to = self.door.address(Target::Type {
            tenant,
            namespace: &request.namespace,
            actor_type: &request.actor_type,
        })?;
        let payload = invocation.payload.unwrap_or(request.payload);
        let message = self.message(&invocation.message_type, payload)?;
        arrival.passed_on();
        let id = message.id.to_string();
        let answer = self
            .door
            .send(to.clone(), message, invocation.manner)
            .await?;
        let share = answer
            .as_ref()
            .map(|answer| self.door.actors.budget().overdraw(answer.len()));
        let headers = match &answer {
            Some(_) => BTreeMap::new(),
            None => [("x-message-id".to_owned(), id)].into(),
        };
        let mut response = Response::new(wire::InvokeActorResponse {
            success: true,
            payload: answer.unwrap_or_default(),
            headers,
            actor_id: to.to_string(),
            error_message: String::new(),
        });
        response.extensions_mut().insert(Sent::new(share));
        Ok(response)
    }

    /// A message of this door's.
    fn message(&self, message_type: &str, payload: Bytes) -> Result<Message, Refusal> {
        if payload.len() > limits::MESSAGE_BYTES_MAX {
            return Err(invocation::too_large());
        }
        let actors = &self.door.actors;
        let from = format!("grpc@{}", actors.node()).into();
        Ok(actors.message(from, message_type, payload))
    }

    fn list(&self, request: wire::ListActorsRequest) -> Result<wire::ListActorsResponse, Refusal> {
        let state: wire::ActorState = named(request.state, "state")?;
        let (wanted_type, node) = (&request.actor_type, &request.node_id);
        let here = node.is_empty() || **node == **self.door.actors.node();
        let all = self.all();
        let wanted = all.into_iter().filter(|actor| {
            here && (wanted_type.is_empty() || actor.actor_type == *wanted_type)
                && (state == wire::ActorState::Unspecified || shown_state(actor) == state)
        });
        let (actors, page) = cut(request.page_request, wanted.collect())?;
        Ok(wire::ListActorsResponse {
            actors: actors.into_iter().map(|it| self.shown(it)).collect(),
            page_response: Some(page),
        })
    }

    /// Every actor, in the order of their applications' names.
    fn all(&self) -> Vec<ActorOverview> {
        let applications = self.door.applications.list();
        applications.into_iter().flat_map(|it| it.actors).collect()
    }

    fn found(&self, id: &str) -> Option<ActorOverview> {
        let whole = format!("{id}@{}", self.door.actors.node());
        let mut all = self.all().into_iter();
        all.find(|actor| actor.id == id || actor.id == whole)
    }

    fn actor(&self, id: &str) -> Result<wire::Actor, Refusal> {
        require(&[("actor_id", id.is_empty())])?;
        let unknown = || {
            let shown: String = id.chars().take(255).collect();
            let text = format!("no actor {shown:?} on this node; ListActors names those there are");
            Refusal::new(Kind::NotFound, text)
        };
        let found = self.found(id).ok_or_else(unknown)?;
        Ok(self.shown(found))
    }

    fn shown(&self, actor: ActorOverview) -> wire::Actor {
        wire::Actor {
            state: shown_state(&actor).into(),
            actor_id: actor.id,
            actor_type: actor.actor_type,
            node_id: self.door.actors.node().to_string(),
            metrics: Some(wire::ActorMetrics {
                restarts: actor.restarts.into(),
                ..Default::default()
            }),
            error_message: actor.last_error.unwrap_or_default(),
            ..Default::default()
        }
    }
}

#[tonic::async_trait]
impl ActorService for Actors {
    async fn spawn_actor(
        &self,
        request: Request<wire::SpawnActorRequest>,
    ) -> Result<Response<wire::SpawnActorResponse>, Status> {
        let entry = Arrival::of(&request).entry();
        let wanted = self.wanted(request.into_inner());
        let address = spawned(&self.door, entry, wanted).await?;
        let actor = self.actor(&address)?;
        Ok(Response::new(wire::SpawnActorResponse {
            actor_ref: actor.actor_id.clone(),
            actor: Some(actor),
        }))
    }

    async fn get_actor(
        &self,
        request: Request<wire::GetActorRequest>,
    ) -> Result<Response<wire::GetActorResponse>, Status> {
        let actor = Some(self.actor(&request.into_inner().actor_id)?);
        Ok(Response::new(wire::GetActorResponse { actor }))
    }

    async fn list_actors(
        &self,
        request: Request<wire::ListActorsRequest>,
    ) -> Result<Response<wire::ListActorsResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner())?))
    }

    async fn send_message(
        &self,
        request: Request<wire::SendMessageRequest>,
    ) -> Result<Response<wire::SendMessageResponse>, Status> {
        let arrival = Arrival::of(&request);
        let sent = self.send(request.into_inner(), &arrival).await;
        Ok(sent.map_err(|it| OF_SEND_MESSAGE.in_words(it))?)
    }

    async fn delete_actor(
        &self,
        request: Request<wire::DeleteActorRequest>,
    ) -> Result<Response<common::Empty>, Status> {
        let entry = Arrival::of(&request).entry();
        self.delete(request.into_inner(), entry).await?;
        Ok(Response::new(common::Empty {}))
    }

    async fn check_actor_exists(
        &self,
        request: Request<wire::CheckActorExistsRequest>,
    ) -> Result<Response<wire::CheckActorExistsResponse>, Status> {
        let id = request.into_inner().actor_id;
        require(&[("actor_id", id.is_empty())])?;
        let found = self.found(&id);
        Ok(Response::new(wire::CheckActorExistsResponse {
            exists: found.is_some(),
            is_active: found.is_some_and(|actor| actor.state == ActorState::Running),
            is_virtual: false,
        }))
    }

    async fn invoke_actor(
        &self,
        request: Request<wire::InvokeActorRequest>,
    ) -> Result<Response<wire::InvokeActorResponse>, Status> {
        let arrival = Arrival::of(&request);
        let tenant = match request.metadata().get("x-tenant-id") {
            None => Scope::default(),
            Some(tenant) => {
                let tenant = tenant.to_str().unwrap_or_default();
                Scope::parse("tenant", tenant).map_err(Refusal::from)?
            }
        };
        let answered = self.invoke(request.into_inner(), tenant, &arrival).await;
        Ok(answered.map_err(|it| OF_INVOKE_ACTOR.in_words(it))?)
    }
}

/// An invoke as the HTTP gateway would have got it, so that both are read alike.
fn as_http(request: &wire::InvokeActorRequest) -> Result<Parts, Refusal> {
    let method = match &*request.http_method {
        "" => "POST",
        method @ ("GET" | "POST" | "PUT" | "DELETE") => method,
        _ => {
            let text = "http_method is GET, POST, PUT or DELETE; without one it is POST";
            return Err(Refusal::new(Kind::Malformed, text));
        }
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(&request.query_params);
    let uri = format!("/?{}", query.finish());
    let mut http = HttpRequest::builder().method(method).uri(uri);
    for (name, value) in &request.headers {
        http = http.header(name, value);
    }
    let built = http.body(());
    let built = built.map_err(|error| {
        let text = format!("headers or query_params are not what HTTP can carry: {error}");
        Refusal::new(Kind::Malformed, text)
    })?;
    Ok(built.into_parts().0)
}

/// What a message may ask for on other nodes, and not on this one.
fn refuse_unknown_wishes(message: &wire::Message) -> Result<(), Refusal> {
    let unknown = [
        ("message.priority", message.priority != 0),
        ("message.ttl", message.ttl.is_some()),
        (
            "message.idempotency_key",
            !message.idempotency_key.is_empty(),
        ),
    ];
    match unknown.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(not_supported(name)),
        None => Ok(()),
    }
}

/// The configuration of an actor that is spawned: of all that the wire knows, the size of its mailbox.
fn configured(config: wire::ActorConfig) -> Result<Config, Refusal> {
    let rest = wire::ActorConfig {
        max_mailbox_size: 0,
        ..config.clone()
    };
    if rest != wire::ActorConfig::default() {
        return Err(not_supported("config, but for max_mailbox_size,"));
    }
    let mut limits = Table::new();
    if config.max_mailbox_size > 0 {
        let max = i64::from(config.max_mailbox_size);
        limits.insert("max_mailbox".into(), max.into());
    }
    let mut table = Table::new();
    table.insert("limits".into(), limits.into());
    Ok(Config::Table(table))
}

fn not_supported(what: &str) -> Refusal {
    let text = format!("{what} is not supported by this node yet; leave it out");
    Refusal::new(Kind::Unprocessable, text)
}

fn shown_state(actor: &ActorOverview) -> wire::ActorState {
    match actor.state {
        ActorState::Starting | ActorState::Restarting => wire::ActorState::Activating,
        ActorState::Running => wire::ActorState::Active,
        ActorState::Stopping => wire::ActorState::Stopping,
        ActorState::Stopped => wire::ActorState::Terminated,
        ActorState::Failed => wire::ActorState::Failed,
    }
}
