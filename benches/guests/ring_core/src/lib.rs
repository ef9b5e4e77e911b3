//! The same as the component beside it, in the node's spelling for core modules, and with nothing but that.

use std::alloc::{Layout, alloc as allocate};
use std::cell::RefCell;
use std::slice;

#[link(wasm_import_module = "plexspaces")]
unsafe extern "C" {
    fn tell(to: *const u8, to_len: usize, kind: *const u8, kind_len: usize, payload: *const u8, len: usize) -> i32;
    fn reply_to(id: *const u8, id_len: usize, payload: *const u8, len: usize) -> i32;
    fn self_id(answer: *mut Answer) -> i32;
    fn defer(answer: *mut Answer) -> i32;
}

/// Where the node writes where bytes are.
#[repr(C)]
struct Answer {
    bytes: *const u8,
    len: usize,
}

const MESSAGE_BYTES: usize = 64;

#[derive(Default)]
struct Ring {
    next: String,
    asker: String,
}

thread_local! {
    static RING: RefCell<Ring> = RefCell::default();
}

#[unsafe(no_mangle)]
extern "C" fn alloc(size: usize) -> *mut u8 {
    unsafe { allocate(Layout::from_size_align(size.max(1), 1).unwrap()) }
}

#[unsafe(no_mangle)]
extern "C" fn handle_request(
    _from: *const u8,
    _from_len: usize,
    kind: *const u8,
    kind_len: usize,
    payload: *const u8,
    len: usize,
) -> u64 {
    let at = payload as u64;
    let (kind, payload) = unsafe { (slice::from_raw_parts(kind, kind_len), slice::from_raw_parts(payload, len)) };
    if kind == b"echo" {
        return (len as u64) << 32 | at;
    }
    RING.with_borrow_mut(|ring| match kind {
        b"hop" => ring.hop(payload.try_into().expect("hops have a length")),
        _ => ring.start(payload),
    });
    0
}

impl Ring {
    fn start(&mut self, asked: &[u8]) {
        let asked = String::from_utf8_lossy(asked);
        let (actors, hops) = asked.split_once(' ').expect("ask: RING HOPS");
        let (actors, hops): (u32, u32) = (actors.parse().expect("a number"), hops.parse().expect("a number"));
        self.asker = text(defer);
        let mut message = [0; MESSAGE_BYTES];
        message[..4].copy_from_slice(&hops.to_le_bytes());
        message[4..8].copy_from_slice(&actors.to_le_bytes());
        self.hop(message)
    }

    fn hop(&mut self, mut message: [u8; MESSAGE_BYTES]) {
        let word = |at: usize| u32::from_le_bytes(message[at..at + 4].try_into().unwrap());
        let (left, actors) = (word(0), word(4));
        if left == 0 {
            let done = b"done";
            let replied = unsafe { reply_to(self.asker.as_ptr(), self.asker.len(), done.as_ptr(), done.len()) };
            assert_eq!(replied, 0);
            return;
        }
        if self.next.is_empty() {
            self.next = format!("a{}", (place(&text(self_id)) + 1) % actors);
        }
        message[..4].copy_from_slice(&(left - 1).to_le_bytes());
        let (to, kind) = (&self.next, "hop");
        let told = unsafe { tell(to.as_ptr(), to.len(), kind.as_ptr(), kind.len(), message.as_ptr(), message.len()) };
        assert_eq!(told, 0);
    }
}

fn text(ask: unsafe extern "C" fn(*mut Answer) -> i32) -> String {
    let mut answer = Answer { bytes: std::ptr::null(), len: 0 };
    unsafe {
        assert_eq!(ask(&mut answer), 0);
        String::from_utf8_lossy(slice::from_raw_parts(answer.bytes, answer.len)).into_owned()
    }
}

/// The number in `APPLICATION/aNUMBER@NODE`.
fn place(id: &str) -> u32 {
    let own = id.split(['/', '@']).nth(1).unwrap_or_default();
    own.trim_start_matches('a').parse().unwrap_or_default()
}
