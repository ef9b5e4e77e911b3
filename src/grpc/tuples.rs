//! TuplePlexSpaceService: write, read, take and count tuples, as fleet tools do over HTTP.

use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::arrival::{Arrival, Sent};
use super::moment::within;
use super::proto::common::Empty;
use super::proto::tuplespace::tuple_field::Value;
use super::proto::tuplespace::tuple_plex_space_service_server::TuplePlexSpaceService;
use super::proto::tuplespace::{
    CountRequest, CountResponse, ExistsRequest, ExistsResponse, GetStatsResponse, ReadRequest,
    ReadResponse, StorageStats, Tuple as WireTuple, TupleField, WriteRequest, WriteResponse,
};
use crate::coordination::tuplespace::Wish;
use crate::coordination::{Field, FieldPattern, Pattern, Tuple};
use crate::gate::{Client, Door, Search};
use crate::id::Scope;
use crate::limits;
use crate::place::Place;
use crate::refusal::{Kind, Refusal};

/// What a call's metadata may hold beside its message.
const TENANT: &str = "x-tenant-id";
const NAMESPACE: &str = "x-namespace";
/// Tuples that are cleared before others get their turn.
const CLEARED_AT_ONCE: usize = 1_000;

pub struct Tuples {
    door: Door,
}

impl Tuples {
    pub fn new(door: &Door) -> Self {
        let door = door.clone();
        Self { door }
    }

    async fn written(&self, place: &Place, request: WriteRequest) -> Result<Vec<String>, Refusal> {
        not_served("transaction_id", !request.transaction_id.is_empty())?;
        // All are read before any is written.
        let tuples = request.tuples.into_iter().map(|wire| {
            let ttl = ttl(&wire)?;
            Ok((wire.id, (tuple(wire.fields)?, ttl)))
        });
        let tuples = tuples.collect::<Result<Vec<_>, Refusal>>()?;
        let (ids, batch) = tuples.into_iter().unzip();
        self.door.services.write_all(place, batch).await?;
        Ok(ids)
    }

    async fn found(
        &self,
        client: &Client,
        search: Search,
        wish: Wish,
    ) -> Result<ReadResponse, Refusal> {
        let found = self.door.find_tuples(&search, wish, client.gone()).await?;
        let tuples = &self.door.services.coordination.tuples;
        let there = tuples.count(&search.place, &search.pattern);
        let has_more = match wish {
            Wish::Read => there > found.len() && !found.is_empty(),
            Wish::Take => there > 0,
        };
        let tuples = found.iter().map(wire).collect();
        Ok(ReadResponse { tuples, has_more })
    }

    fn answer(&self, found: ReadResponse) -> Response<ReadResponse> {
        let bytes = prost::Message::encoded_len(&found);
        let share = self.door.actors.budget().overdraw(bytes);
        let mut response = Response::new(found);
        response.extensions_mut().insert(Sent::new(Some(share)));
        response
    }

    async fn clear_all(&self, place: &Place) -> Result<(), Refusal> {
        let services = &self.door.services;
        for arity in 0..=limits::TUPLE_FIELDS_MAX {
            let any = vec![FieldPattern::Any; arity];
            let pattern = Pattern::new(any);
            let cleared = || services.take_all(place, &pattern, Some(CLEARED_AT_ONCE));
            while !cleared().await?.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl TuplePlexSpaceService for Tuples {
    async fn write(
        &self,
        request: Request<WriteRequest>,
    ) -> Result<Response<WriteResponse>, Status> {
        let place = place(request.metadata())?;
        let tuple_ids = self.written(&place, request.into_inner()).await?;
        Ok(Response::new(WriteResponse { tuple_ids }))
    }

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<ReadResponse>, Status> {
        let (place, client) = (place(request.metadata())?, Arrival::of(&request).client);
        let request = request.into_inner();
        if request.take {
            let text = "Read takes nothing; call Take, which needs the scope invoke";
            return Err(Refusal::new(Kind::Malformed, text).into());
        }
        let found = self
            .found(&client, search(place, request)?, Wish::Read)
            .await?;
        Ok(self.answer(found))
    }

    async fn take(&self, request: Request<ReadRequest>) -> Result<Response<ReadResponse>, Status> {
        let (place, client) = (place(request.metadata())?, Arrival::of(&request).client);
        let search = search(place, request.into_inner())?;
        Ok(self.answer(self.found(&client, search, Wish::Take).await?))
    }

    async fn count(
        &self,
        request: Request<CountRequest>,
    ) -> Result<Response<CountResponse>, Status> {
        let place = place(request.metadata())?;
        let request = request.into_inner();
        not_served("transaction_id", !request.transaction_id.is_empty())?;
        not_served("spatial_filter", request.spatial_filter.is_some())?;
        let tuples = &self.door.services.coordination.tuples;
        let count = tuples.count(&place, &pattern(request.template)?) as i64;
        Ok(Response::new(CountResponse { count }))
    }

    async fn exists(
        &self,
        request: Request<ExistsRequest>,
    ) -> Result<Response<ExistsResponse>, Status> {
        let place = place(request.metadata())?;
        let request = request.into_inner();
        not_served("transaction_id", !request.transaction_id.is_empty())?;
        let tuples = &self.door.services.coordination.tuples;
        let exists = tuples.read(&place, &pattern(request.template)?).is_some();
        Ok(Response::new(ExistsResponse { exists }))
    }

    async fn clear(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.clear_all(&place(request.metadata())?).await?;
        Ok(Response::new(Empty {}))
    }

    async fn get_stats(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        let place = place(request.metadata())?;
        let stats = self.door.services.coordination.tuples.stats(&place);
        let stats = StorageStats {
            tuple_count: stats.tuples as u64,
            memory_bytes: stats.bytes as u64,
            ..StorageStats::default()
        };
        let stats = Some(stats);
        Ok(Response::new(GetStatsResponse { stats }))
    }
}

/// Whose tuples; both are `default` where nothing is said.
fn place(metadata: &MetadataMap) -> Result<Place, Refusal> {
    let scope = |what: &str, key: &str| match metadata.get(key) {
        None => Ok(Scope::default()),
        Some(value) => match value.to_str() {
            Ok("") => Ok(Scope::default()),
            Ok(text) => Ok(Scope::parse(what, text)?),
            Err(_) => Err(malformed(format!("the metadata {key} is no text"))),
        },
    };
    Ok(Place {
        tenant: scope("tenant", TENANT)?,
        namespace: scope("namespace", NAMESPACE)?,
    })
}

fn search(place: Place, request: ReadRequest) -> Result<Search, Refusal> {
    not_served("transaction_id", !request.transaction_id.is_empty())?;
    not_served("spatial_filter", request.spatial_filter.is_some())?;
    let limit = match request.max_results {
        0 => 1,
        wanted => usize::try_from(wanted).map_err(|_| {
            malformed(
                "max_results is the most that is answered: 1 or more, and 1 where it is 0".into(),
            )
        })?,
    };
    let timeout = within(
        "timeout",
        request.timeout,
        limits::ASK_TIME_DEFAULT,
        limits::ASK_TIME_MAX,
    )?;
    Ok(Search {
        place,
        pattern: pattern(request.template)?,
        limit: Some(limit),
        timeout: (request.blocking && timeout > Duration::ZERO).then_some(timeout),
    })
}

/// The conditions of a template: its fields exactly, or anything in the place of a wildcard.
fn pattern(template: Option<WireTuple>) -> Result<Pattern, Refusal> {
    let template = template.ok_or_else(|| malformed("missing required fields: template".into()))?;
    check_arity(template.fields.len())?;
    let fields = template.fields.into_iter().map(|field| match field.value {
        Some(Value::Wildcard(_)) => Ok(FieldPattern::Any),
        _ => Ok(FieldPattern::Exact(exactly(field)?)),
    });
    let fields: Vec<_> = fields.collect::<Result<_, Refusal>>()?;
    Ok(Pattern::new(fields))
}

fn tuple(fields: Vec<TupleField>) -> Result<Tuple, Refusal> {
    check_arity(fields.len())?;
    let fields = fields.into_iter().map(exactly);
    let fields: Vec<_> = fields.collect::<Result<_, Refusal>>()?;
    Ok(Tuple::new(fields))
}

fn check_arity(fields: usize) -> Result<(), Refusal> {
    let most = limits::TUPLE_FIELDS_MAX;
    match fields > most {
        true => Err(malformed(format!(
            "a tuple or template has at most {most} fields"
        ))),
        false => Ok(()),
    }
}

fn exactly(field: TupleField) -> Result<Field, Refusal> {
    Ok(match field.value {
        Some(Value::Integer(number)) => Field::Int(number),
        Some(Value::Float(number)) => Field::Float(number),
        Some(Value::String(text)) => Field::String(text.into()),
        Some(Value::Boolean(truth)) => Field::Bool(truth),
        Some(Value::Binary(bytes)) => Field::Bytes(bytes.to_vec().into()),
        Some(Value::Null(_)) => Field::Null,
        Some(Value::Wildcard(_)) => {
            return Err(malformed(
                "a wildcard is for templates; a tuple has values".into(),
            ));
        }
        None => return Err(malformed("a field has no value; null is one".into())),
    })
}

/// How long a tuple lives.
fn ttl(tuple: &WireTuple) -> Result<Option<Duration>, Refusal> {
    not_served("location", tuple.location.is_some())?;
    let Some(ttl) = tuple.lease.as_ref().and_then(|lease| lease.ttl) else {
        return Ok(None);
    };
    within("lease.ttl", Some(ttl), Duration::ZERO, limits::TTL_MAX).map(Some)
}

fn wire(tuple: &Tuple) -> WireTuple {
    let fields = tuple.fields().iter().map(|field| {
        let value = match field {
            Field::String(text) => Value::String(text.to_string()),
            Field::Int(number) => Value::Integer(*number),
            Field::Float(number) => Value::Float(*number),
            Field::Bytes(bytes) => Value::Binary(bytes.to_vec().into()),
            Field::Bool(truth) => Value::Boolean(*truth),
            Field::Null => Value::Null(true),
        };
        TupleField { value: Some(value) }
    });
    WireTuple {
        fields: fields.collect(),
        ..WireTuple::default()
    }
}

fn not_served(field: &str, given: bool) -> Result<(), Refusal> {
    match given {
        true => Err(malformed(format!(
            "this node does not serve {field}; leave it out"
        ))),
        false => Ok(()),
    }
}

fn malformed(text: String) -> Refusal {
    Refusal::new(Kind::Malformed, text)
}
