//! A greeter in Rust as a core module: no WIT, no WASI; docs/core-abi.md says how bytes pass.

use std::cell::{Cell, RefCell};

thread_local! {
    static GREETED: Cell<u64> = const { Cell::new(0) };
    /// The last reply: the node has copied it before it calls again.
    static REPLY: RefCell<String> = const { RefCell::new(String::new()) };
}

mod node {
    #[link(wasm_import_module = "plexspaces")]
    unsafe extern "C" {
        pub safe fn fail(text: *const u8, len: usize);
        pub safe fn tell(
            to: *const u8,
            to_len: usize,
            msg_type: *const u8,
            msg_type_len: usize,
            payload: *const u8,
            payload_len: usize,
        ) -> i32;
    }
}

#[unsafe(no_mangle)]
extern "C" fn init(state: *const u8, len: usize) -> i32 {
    match text(state, len) {
        "" => 0,
        count => count.parse().map_or(1, |count| {
            GREETED.set(count);
            0
        }),
    }
}

#[unsafe(no_mangle)]
extern "C" fn snapshot_state() -> u64 {
    reply(GREETED.get().to_string())
}

#[unsafe(no_mangle)]
extern "C" fn handle_request(
    _from: *const u8,
    _from_len: usize,
    msg_type: *const u8,
    msg_type_len: usize,
    payload: *const u8,
    payload_len: usize,
) -> u64 {
    let text_of_payload = text(payload, payload_len);
    reply(match text(msg_type, msg_type_len) {
        "call" | "greet" => greet(text_of_payload),
        "count" => GREETED.get().to_string(),
        "tell" => tell(text_of_payload),
        other => fail(&format!("unknown message type: {other}")),
    })
}

fn greet(name: &str) -> String {
    GREETED.set(GREETED.get() + 1);
    let number = GREETED.get();
    format!("Hello, {name}, from Rust! You are number {number}.")
}

/// Says hello to another actor, and waits for nothing.
fn tell(other: &str) -> String {
    let (to, kind, payload) = (other, "greet", "Rust");
    let status = node::tell(
        to.as_ptr(),
        to.len(),
        kind.as_ptr(),
        kind.len(),
        payload.as_ptr(),
        payload.len(),
    );
    match status {
        0.. => format!("told {other}"),
        _ => fail(&format!("cannot tell {other}: status {status}")),
    }
}

fn fail(why: &str) -> String {
    node::fail(why.as_ptr(), why.len());
    String::new()
}

/// A text that the node has put into memory; empty if it is not UTF-8.
fn text<'a>(at: *const u8, len: usize) -> &'a str {
    match len {
        0 => "",
        // The node wrote these bytes and leaves them alone until the handler returns.
        _ => str::from_utf8(unsafe { std::slice::from_raw_parts(at, len) }).unwrap_or_default(),
    }
}

fn reply(text: String) -> u64 {
    let [at, len] = [text.as_ptr() as u64, text.len() as u64];
    REPLY.set(text);
    len << 32 | at
}

/// Where the node puts what it passes in.
#[unsafe(no_mangle)]
extern "C" fn alloc(size: usize) -> *mut u8 {
    Vec::leak(vec![0; size]).as_mut_ptr()
}
