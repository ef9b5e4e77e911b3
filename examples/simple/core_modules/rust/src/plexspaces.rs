//! The node's functions that this worker uses, and Rust's types around their pointers.

use std::alloc::Layout;

mod host {
    #[link(wasm_import_module = "plexspaces")]
    extern "C" {
        pub fn fail(text: *const u8, len: usize);
        pub fn keyvalue_get(key: *const u8, key_len: usize, answer: *mut Answer) -> i32;
        pub fn keyvalue_increment(key: *const u8, key_len: usize, delta: i64, sum: *mut i64) -> i32;
        pub fn send_to_queue(
            queue: *const u8,
            queue_len: usize,
            kind: *const u8,
            kind_len: usize,
            payload: *const u8,
            len: usize,
        ) -> i32;
        pub fn receive_from_queue(queue: *const u8, queue_len: usize, timeout_ms: u64) -> i32;
        pub fn received_id(answer: *mut Answer) -> i32;
        pub fn ack(queue: *const u8, queue_len: usize, id: *const u8, id_len: usize) -> i32;
    }

    /// Where the node writes the pointer and the length of bytes that are the guest's from then on.
    #[repr(C)]
    pub struct Answer {
        pub bytes: *mut u8,
        pub len: usize,
    }
}

/// Below 0: -1-n is error-code n.
#[derive(Debug)]
#[allow(dead_code)]
pub struct Status(i32);

/// A job on loan.
pub struct Job {
    id: String,
    pub text: String,
}

pub fn fail(why: &str) {
    unsafe { host::fail(why.as_ptr(), why.len()) }
}

pub fn value(key: &str) -> Result<Option<String>, Status> {
    let mut answer = nothing();
    let found = unsafe { host::keyvalue_get(key.as_ptr(), key.len(), &mut answer) };
    Ok((done(found)? != 0).then(|| owned(answer.bytes, answer.len)))
}

pub fn increment(key: &str, delta: i64) -> Result<i64, Status> {
    let mut sum = 0;
    done(unsafe { host::keyvalue_increment(key.as_ptr(), key.len(), delta, &mut sum) })?;
    Ok(sum)
}

pub fn send(queue: &str, kind: &str, payload: &str) -> Result<(), Status> {
    let (queue, kind, payload) = (queue.as_bytes(), kind.as_bytes(), payload.as_bytes());
    let status = unsafe {
        host::send_to_queue(
            queue.as_ptr(),
            queue.len(),
            kind.as_ptr(),
            kind.len(),
            payload.as_ptr(),
            payload.len(),
        )
    };
    done(status).map(drop)
}

/// The first job, waiting so long for one.
pub fn receive(queue: &str, timeout_ms: u64) -> Result<Option<Job>, Status> {
    let pointer = unsafe { host::receive_from_queue(queue.as_ptr(), queue.len(), timeout_ms) };
    if done(pointer)? == 0 {
        return Ok(None);
    }
    // The length, as four bytes, and the payload behind it.
    let bytes = pointer as *mut u8;
    let len = unsafe { bytes.cast::<u32>().read_unaligned() } as usize;
    let mut text = owned(bytes, 4 + len);
    let text = text.split_off(4);
    let mut id = nothing();
    done(unsafe { host::received_id(&mut id) })?;
    let id = owned(id.bytes, id.len);
    Ok(Some(Job { id, text }))
}

impl Job {
    pub fn acknowledge(&self, queue: &str) -> Result<(), Status> {
        let (queue, id) = (queue.as_bytes(), self.id.as_bytes());
        done(unsafe { host::ack(queue.as_ptr(), queue.len(), id.as_ptr(), id.len()) }).map(drop)
    }
}

/// What the node lends for one call.
pub fn argument(bytes: *const u8, len: usize) -> String {
    if len == 0 {
        return String::new();
    }
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(bytes, len) }).into_owned()
}

/// A reply stays the guest's: this one until the next takes its place.
pub fn reply(text: String) -> u64 {
    static LAST: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());
    let mut last = LAST.lock().unwrap();
    *last = text;
    (last.len() as u64) << 32 | last.as_ptr() as u64
}

pub fn alloc(size: usize) -> *mut u8 {
    unsafe { std::alloc::alloc(layout(size)) }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size.max(1), 1).expect("a size within a 32-bit memory")
}

/// Takes over memory that `alloc` gave to the node.
fn owned(bytes: *mut u8, len: usize) -> String {
    let text = argument(bytes, len);
    unsafe { std::alloc::dealloc(bytes, layout(len)) };
    text
}

fn nothing() -> host::Answer {
    host::Answer {
        bytes: std::ptr::null_mut(),
        len: 0,
    }
}

fn done(status: i32) -> Result<i32, Status> {
    if status < 0 { Err(Status(status)) } else { Ok(status) }
}
