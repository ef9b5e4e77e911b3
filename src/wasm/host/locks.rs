//! Locks: the meaning once, as the WIT trait, and below it as core modules spell it, with a lock as JSON.

use std::time::Duration;

use serde::Serialize;
use wasmtime::{Caller, Linker};

use super::bindings::locks::{Host, Lock};
use super::bindings::types::{ActorError, Context, ErrorCode};
use super::messaging::Answer;
use super::{Guest, actor_error, own_place};
use crate::coordination::locks::{Afterwards, Lease, LockError};
use crate::wasm::core_abi::MODULE;
use crate::wasm::exchange::{self, Slice, Unmet};

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &["acquire", "renew", "release", "try-acquire", "get-lock"];

/// The same as core modules spell them.
pub const CORE_FUNCTIONS: &[&str] = &[
    "lock_acquire",
    "lock_try_acquire",
    "lock_renew",
    "lock_release",
    "lock_look",
];

impl Host for Guest {
    async fn acquire(
        &mut self,
        ctx: Context,
        key: String,
        holder: String,
        lease_ms: u64,
    ) -> Answer<Lock> {
        let acquiring = self.place(&ctx).and_then(|place| {
            let (holder, lease) = (self.holder(&holder), Duration::from_millis(lease_ms));
            let acquiring = self.holdings.locks.acquire(&place, &key, holder, lease)?;
            Ok(self.patiently(Duration::ZERO, acquiring))
        });
        let acquired = match acquiring {
            Ok(acquiring) => acquiring.await,
            Err(error) => Err(error),
        };
        Ok(acquired.map(|lease| {
            let lease = lease.expect("a wait without end ends with a lock");
            self.shown(&lease)
        }))
    }

    fn renew(
        &mut self,
        ctx: Context,
        key: String,
        holder: String,
        version: String,
        lease_ms: u64,
    ) -> Answer<Lock> {
        let renewed = self.place(&ctx).and_then(|place| {
            let (holder, lease) = (self.holder(&holder), Duration::from_millis(lease_ms));
            let locks = &self.services.coordination.locks;
            Ok(locks.renew(&place, &key, holder, parsed(&version)?, lease)?)
        });
        Ok(renewed.map(|lease| self.shown(&lease)))
    }

    fn release(
        &mut self,
        ctx: Context,
        key: String,
        holder: String,
        version: String,
        delete_lock: bool,
    ) -> Answer<()> {
        Ok(self.place(&ctx).and_then(|place| {
            let afterwards = if delete_lock {
                Afterwards::Forget
            } else {
                Afterwards::Keep
            };
            let (holder, version) = (self.holder(&holder), parsed(&version)?);
            let locks = &self.services.coordination.locks;
            Ok(locks.release(&place, &key, holder, version, afterwards)?)
        }))
    }

    fn try_acquire(
        &mut self,
        ctx: Context,
        key: String,
        holder: String,
        lease_ms: u64,
    ) -> Answer<Option<Lock>> {
        let tried = self.place(&ctx).and_then(|place| {
            let (holder, lease) = (self.holder(&holder), Duration::from_millis(lease_ms));
            let locks = &self.holdings.locks;
            Ok(locks.try_acquire(&place, &key, holder, lease)?)
        });
        Ok(tried.map(|lease| lease.map(|lease| self.shown(&lease))))
    }

    fn get_lock(&mut self, ctx: Context, key: String) -> Answer<Option<Lock>> {
        let place = self.place(&ctx);
        Ok(place.map(|place| {
            let lease = self.services.coordination.locks.look(&place, &key);
            lease.map(|lease| self.shown(&lease))
        }))
    }
}

impl Guest {
    /// Whoever names no holder is the holder itself.
    fn holder<'a>(&'a self, named: &'a str) -> &'a str {
        match named {
            "" => self.actor.address(),
            named => named,
        }
    }

    /// A lease as the guest sees it: without times where it sees no clocks.
    fn shown(&self, lease: &Lease) -> Lock {
        let seen = |ms| if self.capabilities.clocks { ms } else { 0 };
        Lock {
            lock_key: lease.key.to_string(),
            holder_id: lease.holder.to_string(),
            version: format!("{:020}", lease.version),
            locked: lease.locked,
            expires_at: seen(lease.expires_at_ms),
            last_heartbeat: seen(lease.heartbeat_ms),
        }
    }
}

fn parsed(version: &str) -> Result<u64, ActorError> {
    version.parse().map_err(|_| {
        let text = "a version is what acquire or renew answered with";
        actor_error(ErrorCode::InvalidMessage, text)
    })
}

impl From<LockError> for ActorError {
    fn from(error: LockError) -> Self {
        let code = match error {
            LockError::Name
            | LockError::Duration
            | LockError::Unknown(_)
            | LockError::NotHeld(_) => ErrorCode::InvalidMessage,
            LockError::TooMany | LockError::TooManyWaiting | LockError::NoRoom => {
                ErrorCode::ResourceExhausted
            }
        };
        actor_error(code, error.to_string())
    }
}

/// What a core module gets of a lock.
#[derive(Serialize)]
struct Shown {
    lock_key: String,
    holder_id: String,
    version: String,
    locked: bool,
    expires_at: u64,
    last_heartbeat: u64,
}

type Named = (i32, i32, i32, i32, i64, i32);
type Versioned = (i32, i32, i32, i32, i32, i32, i64, i32);

pub fn add_to_core_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "lock_acquire",
        |mut caller: Caller<'_, Guest>, (a, b, c, d, lease_ms, answer_at): Named| {
            Box::new(async move {
                let lock = acquire(&mut caller, Slice(a, b), Slice(c, d), lease_ms).await;
                exchange::answer(&mut caller, lock.map(json), answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "lock_try_acquire",
        |mut caller: Caller<'_, Guest>, (a, b, c, d, lease_ms, answer_at): Named| {
            Box::new(async move {
                let lock = try_acquire(&mut caller, Slice(a, b), Slice(c, d), lease_ms);
                exchange::maybe(&mut caller, lock.map(|lock| lock.map(json)), answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "lock_renew",
        |mut caller: Caller<'_, Guest>, (a, b, c, d, e, f, lease_ms, answer_at): Versioned| {
            Box::new(async move {
                let names = [Slice(a, b), Slice(c, d), Slice(e, f)];
                let lock = renew(&mut caller, names, lease_ms);
                exchange::answer(&mut caller, lock.map(json), answer_at).await
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "lock_release",
        |mut caller: Caller<'_, Guest>,
         a: i32,
         b: i32,
         c: i32,
         d: i32,
         e: i32,
         f: i32,
         delete_lock: i32| {
            let names = [Slice(a, b), Slice(c, d), Slice(e, f)];
            exchange::status(release(&mut caller, names, delete_lock != 0))
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "lock_look",
        |mut caller: Caller<'_, Guest>, (key, len, answer_at): (i32, i32, i32)| {
            Box::new(async move {
                let lock = look(&mut caller, Slice(key, len));
                exchange::maybe(&mut caller, lock.map(|lock| lock.map(json)), answer_at).await
            })
        },
    )?;
    Ok(())
}

async fn acquire(
    caller: &mut Caller<'_, Guest>,
    key: Slice,
    holder: Slice,
    lease_ms: i64,
) -> Result<Lock, Unmet> {
    let [key, holder] = texts(caller, [key, holder])?;
    let lease_ms = lease_ms.cast_unsigned();
    let acquired = caller
        .data_mut()
        .acquire(own_place(), key, holder, lease_ms);
    Ok(acquired.await??)
}

fn try_acquire(
    caller: &mut Caller<'_, Guest>,
    key: Slice,
    holder: Slice,
    lease_ms: i64,
) -> Result<Option<Lock>, Unmet> {
    let [key, holder] = texts(caller, [key, holder])?;
    let lease_ms = lease_ms.cast_unsigned();
    Ok(caller
        .data_mut()
        .try_acquire(own_place(), key, holder, lease_ms)??)
}

fn renew(caller: &mut Caller<'_, Guest>, names: [Slice; 3], lease_ms: i64) -> Result<Lock, Unmet> {
    let [key, holder, version] = texts(caller, names)?;
    let lease_ms = lease_ms.cast_unsigned();
    Ok(caller
        .data_mut()
        .renew(own_place(), key, holder, version, lease_ms)??)
}

fn release(
    caller: &mut Caller<'_, Guest>,
    names: [Slice; 3],
    delete_lock: bool,
) -> Result<(), Unmet> {
    let [key, holder, version] = texts(caller, names)?;
    Ok(caller
        .data_mut()
        .release(own_place(), key, holder, version, delete_lock)??)
}

fn look(caller: &mut Caller<'_, Guest>, key: Slice) -> Result<Option<Lock>, Unmet> {
    let [key] = texts(caller, [key])?;
    Ok(caller.data_mut().get_lock(own_place(), key)??)
}

fn texts<const N: usize>(
    caller: &Caller<'_, Guest>,
    slices: [Slice; N],
) -> Result<[String; N], Unmet> {
    let mut texts = [const { String::new() }; N];
    for (text, slice) in texts.iter_mut().zip(slices) {
        *text = exchange::text(caller, slice)?;
    }
    Ok(texts)
}

fn json(lock: Lock) -> Vec<u8> {
    let shown = Shown {
        lock_key: lock.lock_key,
        holder_id: lock.holder_id,
        version: lock.version,
        locked: lock.locked,
        expires_at: lock.expires_at,
        last_heartbeat: lock.last_heartbeat,
    };
    serde_json::to_vec(&shown).expect("texts and numbers are JSON")
}
