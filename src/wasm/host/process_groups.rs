//! Process groups: the meaning once, as the WIT trait, and below it as core modules spell it, with lists as JSON.

use wasmtime::{Caller, Linker};

use super::bindings::process_groups::Host;
use super::bindings::types::{ActorError, Context, ErrorCode};
use super::messaging::Answer;
use super::{Guest, actor_error, own_place};
use crate::coordination::in_words;
use crate::coordination::process_groups::GroupError;
use crate::id::ActorId;
use crate::place::Place;
use crate::wasm::core_abi::MODULE;
use crate::wasm::exchange::{self, Slice, Unmet};

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &[
    "create-group",
    "delete-group",
    "join-group",
    "leave-group",
    "get-members",
    "get-local-members",
    "list-groups",
    "publish-to-group",
];

/// The same as core modules spell them.
pub const CORE_FUNCTIONS: &[&str] = &[
    "group_create",
    "group_delete",
    "group_join",
    "group_leave",
    "group_members",
    "group_list",
    "group_publish",
];

impl Host for Guest {
    fn create_group(&mut self, ctx: Context, name: String, namespace: String) -> Answer<()> {
        let place = self.group_place(&ctx, &namespace);
        Ok(place.and_then(|place| Ok(self.services.coordination.groups.create(&place, &name)?)))
    }

    fn delete_group(&mut self, ctx: Context, name: String) -> Answer<()> {
        let place = self.place(&ctx);
        Ok(place.and_then(|place| Ok(self.services.coordination.groups.delete(&place, &name)?)))
    }

    fn join_group(
        &mut self,
        ctx: Context,
        name: String,
        namespace: String,
        topics: Vec<String>,
    ) -> Answer<()> {
        let place = self.group_place(&ctx, &namespace);
        Ok(place.and_then(|place| Ok(self.holdings.memberships.join(&place, &name, topics)?)))
    }

    fn leave_group(&mut self, ctx: Context, name: String) -> Answer<()> {
        let place = self.place(&ctx);
        Ok(place.and_then(|place| Ok(self.holdings.memberships.leave(&place, &name)?)))
    }

    fn get_members(&mut self, ctx: Context, name: String) -> Answer<Vec<String>> {
        let place = self.place(&ctx);
        Ok(place.map(|place| {
            let members = self.services.coordination.groups.members(&place, &name);
            members.iter().map(ActorId::to_string).collect()
        }))
    }

    /// All groups are this node's own, and so are their members.
    fn get_local_members(&mut self, ctx: Context, name: String) -> Answer<Vec<String>> {
        self.get_members(ctx, name)
    }

    fn list_groups(&mut self, ctx: Context) -> Answer<Vec<String>> {
        let place = self.place(&ctx);
        Ok(place.map(|place| {
            let groups = self.services.coordination.groups.list(&place);
            groups.iter().map(|name| name.to_string()).collect()
        }))
    }

    fn publish_to_group(
        &mut self,
        ctx: Context,
        name: String,
        topic: Option<String>,
        message: Vec<u8>,
    ) -> Answer<Vec<String>> {
        let checked = self.may_send().and_then(|()| self.fits(message.len()));
        let place = checked.and_then(|()| self.place(&ctx));
        Ok(place.map(|place| {
            let (topic, from) = (topic.as_deref(), self.actor.address());
            let reached = self.services.publish(&place, &name, topic, from, &message);
            reached.iter().map(ActorId::to_string).collect()
        }))
    }
}

impl Guest {
    /// The place of a call that names a namespace twice: beside the context's, which is left empty or says the same.
    fn group_place(&self, context: &Context, namespace: &str) -> Result<Place, ActorError> {
        let named = match &*context.namespace {
            "" => namespace,
            named => named,
        };
        if !namespace.is_empty() && namespace != named {
            let text = "the namespace is not the one in ctx; name one, and the same in every call about the group";
            return Err(actor_error(ErrorCode::InvalidMessage, text));
        }
        self.place(&Context {
            tenant_id: context.tenant_id.clone(),
            namespace: named.into(),
        })
    }
}

impl From<GroupError> for ActorError {
    fn from(error: GroupError) -> Self {
        let code = match error {
            GroupError::Name | GroupError::Unknown(_) | GroupError::NotIn(_) => {
                ErrorCode::InvalidMessage
            }
            GroupError::TooMany
            | GroupError::TooManyMembers
            | GroupError::TooManyJoinings
            | GroupError::NoRoom => ErrorCode::ResourceExhausted,
        };
        actor_error(code, error.to_string())
    }
}

pub fn add_to_core_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "group_create",
        |mut caller: Caller<'_, Guest>, name: i32, len: i32| {
            let name = exchange::text(&caller, Slice(name, len))?;
            let created = caller
                .data_mut()
                .create_group(own_place(), name, String::new())?;
            exchange::status(created.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "group_delete",
        |mut caller: Caller<'_, Guest>, name: i32, len: i32| {
            let name = exchange::text(&caller, Slice(name, len))?;
            let deleted = caller.data_mut().delete_group(own_place(), name)?;
            exchange::status(deleted.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "group_join",
        |mut caller: Caller<'_, Guest>, name: i32, len: i32, topics: i32, topics_len: i32| {
            exchange::status(join(
                &mut caller,
                Slice(name, len),
                Slice(topics, topics_len),
            ))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "group_leave",
        |mut caller: Caller<'_, Guest>, name: i32, len: i32| {
            let name = exchange::text(&caller, Slice(name, len))?;
            let left = caller.data_mut().leave_group(own_place(), name)?;
            exchange::status(left.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "group_members",
        |mut caller: Caller<'_, Guest>, (name, len, answer_at): (i32, i32, i32)| {
            Box::new(async move {
                let name = exchange::text(&caller, Slice(name, len))?;
                let members = caller.data_mut().get_members(own_place(), name)?;
                listed(&mut caller, members, answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "group_list",
        |mut caller: Caller<'_, Guest>, (answer_at,): (i32,)| {
            Box::new(async move {
                let groups = caller.data_mut().list_groups(own_place())?;
                listed(&mut caller, groups, answer_at).await
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "group_publish",
        |mut caller: Caller<'_, Guest>, a: i32, b: i32, c: i32, d: i32, e: i32, f: i32| {
            let reached = publish(&mut caller, Slice(a, b), Slice(c, d), Slice(e, f));
            match reached {
                Ok(reached) => Ok(i32::try_from(reached).unwrap_or(i32::MAX)),
                Err(unmet) => exchange::status(Err(unmet)),
            }
        },
    )?;
    Ok(())
}

/// Topics are an array of strings; nothing at all is every topic.
fn join(caller: &mut Caller<'_, Guest>, name: Slice, topics: Slice) -> Result<(), Unmet> {
    let name = exchange::text(caller, name)?;
    let topics = exchange::payload(caller, topics)?;
    let topics = match &topics[..] {
        b"" => Vec::new(),
        json => serde_json::from_slice(json).map_err(|error| {
            let text = format!(
                "topics are a JSON array of strings, such as [\"heat\"]: {}",
                in_words(&error)
            );
            actor_error(ErrorCode::InvalidMessage, text)
        })?,
    };
    Ok(caller
        .data_mut()
        .join_group(own_place(), name, String::new(), topics)??)
}

/// How many it reached. An empty topic is none.
fn publish(
    caller: &mut Caller<'_, Guest>,
    name: Slice,
    topic: Slice,
    message: Slice,
) -> Result<usize, Unmet> {
    let name = exchange::text(caller, name)?;
    let topic = Some(exchange::text(caller, topic)?).filter(|topic| !topic.is_empty());
    let message = exchange::payload(caller, message)?;
    let reached = caller
        .data_mut()
        .publish_to_group(own_place(), name, topic, message)??;
    Ok(reached.len())
}

/// How many there are, and their names.
async fn listed(
    caller: &mut Caller<'_, Guest>,
    names: Result<Vec<String>, ActorError>,
    answer_at: i32,
) -> wasmtime::Result<i32> {
    let count = names.as_ref().map_or(0, Vec::len);
    let json = names.map(|names| serde_json::to_vec(&names).expect("names are JSON"));
    let status = exchange::answer(caller, json.map_err(Unmet::from), answer_at).await?;
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    Ok(if status == 0 { count } else { status })
}
