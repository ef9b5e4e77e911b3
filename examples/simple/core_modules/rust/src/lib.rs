//! Works off a durable queue and counts in a durable key what it has done.
//!
//! `send TEXT` puts a job into the queue, `work` does the first one, `done` tells how many were done.

mod plexspaces;

use plexspaces::{Status, fail};

const QUEUE: &str = "jobs";
const COUNT: &str = "done";

fn handle(request: &str) -> Result<String, &'static str> {
    match request {
        "work" => work(),
        "done" => {
            let count = plexspaces::value(COUNT).map_err(|_| "the count cannot be read")?;
            Ok(count.unwrap_or_else(|| "0".into()))
        }
        _ => {
            let job = request.strip_prefix("send ").ok_or("say: send TEXT, work, or done")?;
            plexspaces::send(QUEUE, "job", job).map_err(|_| "the queue takes no more")?;
            Ok("sent".into())
        }
    }
}

fn work() -> Result<String, &'static str> {
    let Some(job) = plexspaces::receive(QUEUE, 0).map_err(|_| "the queue cannot be read")? else {
        return Ok("nothing to do".into());
    };
    let count = plexspaces::increment(COUNT, 1).map_err(|_| "the count cannot be written")?;
    // Only now: whoever breaks before this gets the job again.
    job.acknowledge(QUEUE).map_err(|_: Status| "the job cannot be acknowledged")?;
    Ok(format!("{count}: {}", job.text))
}

/// The node asks for memory here; what it puts there is the guest's.
#[no_mangle]
pub extern "C" fn alloc(size: usize) -> *mut u8 {
    plexspaces::alloc(size)
}

#[no_mangle]
pub extern "C" fn handle_request(
    _from: *const u8,
    _from_len: usize,
    _type: *const u8,
    _type_len: usize,
    payload: *const u8,
    len: usize,
) -> u64 {
    let request = plexspaces::argument(payload, len);
    let reply = handle(&request).unwrap_or_else(|why| {
        fail(why);
        String::new()
    });
    plexspaces::reply(reply)
}
