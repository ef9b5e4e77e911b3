//! Guests as text: one body of core WebAssembly, dressed as a core module and as a component.
//!
//! A body sees the same functions in both dresses, in the core ABI's spelling, and defines
//! `$act (param from from_len type type_len payload payload_len) (result i64)`, which returns length and pointer
//! packed into one.

use plexspaces_node::wasm::Kind;

/// A guest in the dress of this kind.
pub fn guest(kind: Kind, body: &str) -> Vec<u8> {
    let text = match kind {
        Kind::Core => core(body),
        Kind::Component => component(body),
        Kind::Command => command(body),
    };
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// A component with this beside what every one has.
pub fn component_with(more: &str, body: &str) -> Vec<u8> {
    let text = component(body);
    let open = text.trim_end().strip_suffix(')').unwrap();
    wat::parse_str(format!("{open}{more})")).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a test for both kinds, each as a test of its own.
macro_rules! for_both_kinds {
    ($($(#[$attribute:meta])* fn $name:ident($node:ident, $kind:ident) $body:block)*) => {$(
        mod $name {
            use super::*;

            fn run($node: $crate::harness::Node, $kind: plexspaces_node::wasm::Kind) $body

            #[test]
            fn core() {
                run($crate::harness::node(), plexspaces_node::wasm::Kind::Core);
            }

            #[test]
            fn component() {
                run($crate::harness::node(), plexspaces_node::wasm::Kind::Component);
            }
        }
    )*};
}
pub(crate) use for_both_kinds;

/// Answers with what it got.
pub const ECHO: &str = r"
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (call $packed (local.get 4) (local.get 5)))";

/// Counts its messages and answers with the count, one digit.
pub const COUNTER: &str = r#"
    (global $count (mut i32) (i32.const 48))
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (i32.store8 (i32.const 64) (global.get $count))
        (call $packed (i32.const 64) (i32.const 1)))"#;

/// Does what the first letter of its message says: (s)pins, (t)raps, (r)ecurses, (h)ogs memory and says "full",
/// answers from a bad (p)ointer or with a bad (l)ength, (w)aits 20 ms, tells who it is and when (i), else echoes.
pub const RASCAL: &str = r#"
    (data (i32.const 64) "full")
    (func $recurse (param i32) (result i32)
        (i32.add (local.get 0) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
    (func $is (param i32 i32) (result i32)
        (i32.eq (i32.load8_u (local.get 0)) (local.get 1)))
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (if (call $is (local.get 4) (i32.const 115)) (then (loop $forever (br $forever))))
        (if (call $is (local.get 4) (i32.const 116)) (then (unreachable)))
        (if (call $is (local.get 4) (i32.const 114)) (then (drop (call $recurse (i32.const 0)))))
        (if (call $is (local.get 4) (i32.const 104)) (then
            (loop $more
                (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
            (return (call $packed (i32.const 64) (i32.const 4)))))
        (if (call $is (local.get 4) (i32.const 112)) (then
            (return (call $packed (i32.const -16) (i32.const 64)))))
        (if (call $is (local.get 4) (i32.const 108)) (then
            (return (call $packed (i32.const 64) (i32.const -1)))))
        (if (call $is (local.get 4) (i32.const 119)) (then
            (call $sleep (i64.const 20))))
        (if (call $is (local.get 4) (i32.const 105)) (then
            (if (i64.eqz (call $now)) (then (unreachable)))
            (if (call $self_id (i32.const 1024)) (then (unreachable)))
            (return (call $packed (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))))
        (call $packed (local.get 4) (local.get 5)))"#;

/// Asks the actor whose address it gets, passes its answer on; where that fails, answers `-` and the error's digit.
pub const RELAY: &str = r#"
    (data (i32.const 64) "hello")
    (data (i32.const 80) "call")
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64) (local $status i32)
        (local.set $status
            (call $ask (local.get 4) (local.get 5) (i32.const 80) (i32.const 4) (i32.const 64) (i32.const 5)
                (i64.const 2000) (i32.const 1024)))
        (if (i32.eqz (local.get $status)) (then
            (return (call $packed (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))))
        (i32.store8 (i32.const 96) (i32.const 45))
        (i32.store8 (i32.const 97) (i32.sub (i32.const 47) (local.get $status)))
        (call $packed (i32.const 96) (i32.const 2)))"#;

/// Tells the actor whose address it gets, with the type `note`, and answers with the status, one digit.
pub const TELLER: &str = r#"
    (data (i32.const 64) "a note")
    (data (i32.const 80) "note")
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (i32.store8 (i32.const 96) (i32.sub (i32.const 48)
            (call $tell (local.get 4) (local.get 5) (i32.const 80) (i32.const 4) (i32.const 64) (i32.const 6))))
        (call $packed (i32.const 96) (i32.const 1)))"#;

/// Answers an ask at once by `reply`, logs what it got, and returns something nobody should see.
pub const EARLY: &str = r#"
    (data (i32.const 64) "early")
    (data (i32.const 80) "too late")
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (call $log (local.get 4) (local.get 5))
        (drop (call $reply (i32.const 64) (i32.const 5)))
        (call $packed (i32.const 80) (i32.const 8)))"#;

/// Answers with who sent the message and its type, with a space between.
pub const WITNESS: &str = r"
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (memory.copy (i32.const 2048) (local.get 0) (local.get 1))
        (i32.store8 (i32.add (i32.const 2048) (local.get 1)) (i32.const 32))
        (memory.copy (i32.add (i32.const 2049) (local.get 1)) (local.get 2) (local.get 3))
        (call $packed (i32.const 2048) (i32.add (i32.const 1) (i32.add (local.get 1) (local.get 3)))))";

/// Logs an ask that begins with `w`, keeps it open, and answers it with the next message; traps on `t`. Every other message is
/// answered with the status of that late reply, one digit.
pub const DEFERRER: &str = r#"
    (data (i32.const 80) "nobody sees this")
    (global $len (mut i32) (i32.const 0))
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (if (i32.eq (i32.load8_u (local.get 4)) (i32.const 119)) (then
            (call $log (local.get 4) (local.get 5))
            (if (call $defer (i32.const 1024)) (then (unreachable)))
            (global.set $len (i32.load (i32.const 1028)))
            (memory.copy (i32.const 2048) (i32.load (i32.const 1024)) (global.get $len))
            (return (call $packed (i32.const 80) (i32.const 16)))))
        (if (i32.eq (i32.load8_u (local.get 4)) (i32.const 116)) (then (unreachable)))
        (i32.store8 (i32.const 96) (i32.sub (i32.const 48)
            (call $reply_to (i32.const 2048) (global.get $len) (local.get 4) (local.get 5))))
        (call $packed (i32.const 96) (i32.const 1)))"#;

/// Hands its ask on to the actor whose address it gets, in the name of whoever asked; where that fails, answers with
/// the status, one digit.
pub const FORWARDER: &str = r#"
    (data (i32.const 64) "hello")
    (data (i32.const 80) "call")
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64) (local $status i32)
        (if (call $defer (i32.const 1024)) (then (unreachable)))
        (local.set $status (call $forward (local.get 4) (local.get 5) (i32.const 80) (i32.const 4)
            (i32.const 64) (i32.const 5) (local.get 0) (local.get 1)
            (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
        (if (local.get $status) (then
            (i32.store8 (i32.const 96) (i32.sub (i32.const 48) (local.get $status)))
            (drop (call $reply_to (i32.load (i32.const 1024)) (i32.load (i32.const 1028))
                (i32.const 96) (i32.const 1)))))
        (call $packed (i32.const 80) (i32.const 4)))"#;

/// On `s` sends itself a `tick` 10 ms later, and logs it with its sender when it comes; on `c` sets a timer, cancels it
/// twice, and answers with both statuses, a digit each.
pub const TIMEKEEPER: &str = r#"
    (data (i32.const 64) "tock")
    (data (i32.const 80) "tick")
    (global $timer (mut i64) (i64.const 0))
    (func $cancel (result i32) (i32.sub (i32.const 48) (call $cancel_timer (global.get $timer))))
    (func $set (param $delay i64)
        (global.set $timer
            (call $send_after (local.get $delay) (i32.const 80) (i32.const 4) (i32.const 64) (i32.const 4)))
        (if (i64.lt_s (global.get $timer) (i64.const 1)) (then (unreachable))))
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (if (i32.eq (i32.load8_u (local.get 2)) (i32.const 116)) (then
            (call $log (local.get 4) (local.get 5))
            (call $log (local.get 0) (local.get 1))))
        (if (i32.eq (i32.load8_u (local.get 4)) (i32.const 115)) (then (call $set (i64.const 10))))
        (if (i32.eq (i32.load8_u (local.get 4)) (i32.const 99)) (then
            (call $set (i64.const 600000))
            (i32.store8 (i32.const 96) (call $cancel))
            (i32.store8 (i32.const 97) (call $cancel))
            (return (call $packed (i32.const 96) (i32.const 2)))))
        (call $packed (local.get 4) (local.get 5)))"#;

/// A command that answers with what it reads.
pub const CAT: &str = "(call $write (i32.const 1) (i32.const 1024) (call $read))";

/// The imports by which a component writes to an `output-stream` of WASI 0.2, there called `$a-stream`.
pub const OUTPUT_STREAM: &str = r#"
        (import "wasi:io/error@0.2.0" (instance $io-error (export "error" (type (sub resource)))))
        (alias export $io-error "error" (type $an-error))
        (import "wasi:io/streams@0.2.0" (instance $streams
            (export "output-stream" (type $output-stream (sub resource)))
            (alias outer 1 $an-error (type $outer-error))
            (export "error" (type $error (eq $outer-error)))
            (type $stream-error' (variant (case "last-operation-failed" (own $error)) (case "closed")))
            (export "stream-error" (type $stream-error (eq $stream-error')))
            (export "[method]output-stream.blocking-write-and-flush" (func
                (param "self" (borrow $output-stream)) (param "contents" (list u8))
                (result (result (error $stream-error)))))))
        (alias export $streams "output-stream" (type $a-stream))"#;

/// A pointer and a length in one.
pub const PACKED: &str = r"
    (func $packed (param $pointer i32) (param $len i32) (result i64)
        (i64.or
            (i64.shl (i64.extend_i32_u (local.get $len)) (i64.const 32))
            (i64.extend_i32_u (local.get $pointer))))";

/// Hands out memory from 64 KiB upwards and never takes any back.
pub const ALLOCATE: &str = r"
    (global $free (mut i32) (i32.const 65536))
    (func $allocate (param $size i32) (result i32) (local $start i32)
        (local.set $start (global.get $free))
        (global.set $free (i32.and
            (i32.add (i32.add (global.get $free) (local.get $size)) (i32.const 7))
            (i32.const -8)))
        (block $enough (loop $more
            (br_if $enough (i32.le_u (global.get $free) (i32.shl (memory.size) (i32.const 16))))
            (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
            (return (i32.const 0))))
        (local.get $start))";

/// The errors of the node's interfaces, within the instance that one of them is.
pub const ERRORS: &str = r#"
            (type $code (enum "unknown" "actor-not-found" "delivery-failed" "timeout" "invalid-message"
                "not-permitted" "resource-exhausted" "internal" "not-implemented"))
            (export "error-code" (type $error-code (eq $code)))
            (type $record (record
                (field "code" $error-code) (field "message" string) (field "details" (option string))))
            (export "actor-error" (type $actor-error (eq $record)))"#;

/// How results of lowered functions come to be those of the core ABI.
pub const LOWERED: &str = r"
            ;; Results lie as: 0 for ok or 1 for error, then at 4 the value or the error's code.
            (func $status (param $result i32) (result i32)
                (if (result i32) (i32.load8_u (local.get $result))
                    (then (i32.sub (i32.const -1) (i32.load8_u offset=4 (local.get $result))))
                    (else (i32.const 0))))
            ;; The answer's pointer and length land where the core ABI wants them.
            (func $ask (param i32 i32 i32 i32 i32 i32 i64 i32) (result i32)
                (call $lowered_ask (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
                    (local.get 5) (local.get 6) (i32.sub (local.get 7) (i32.const 4)))
                (call $status (i32.sub (local.get 7) (i32.const 4))))";

/// Returns `$answer` as the result of a lifted handler.
pub const ANSWERED: &str = r"
                (i32.store (i32.const 576) (i32.const 0))
                (i32.store (i32.const 580) (i32.wrap_i64 (local.get $answer)))
                (i32.store (i32.const 584) (i32.wrap_i64 (i64.shr_u (local.get $answer) (i64.const 32))))
                (i32.const 576)";

/// A component's memory, which its guest and the functions that it lowers share.
pub fn heap() -> String {
    format!(
        r#"
        (core module $heap
            (memory (export "memory") 2)
            {ALLOCATE}
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $allocate (local.get 3))))
        (core instance $heap (instantiate $heap))
        (alias core export $heap "memory" (core memory $memory))
        (alias core export $heap "realloc" (core func $realloc))"#
    )
}

fn core(body: &str) -> String {
    format!(
        r#"(module
        (import "plexspaces" "log" (func $log (param i32 i32)))
        (import "plexspaces" "tell" (func $tell (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "plexspaces" "ask" (func $ask (param i32 i32 i32 i32 i32 i32 i64 i32) (result i32)))
        (import "plexspaces" "reply" (func $reply (param i32 i32) (result i32)))
        (import "plexspaces" "reply_to" (func $reply_to (param i32 i32 i32 i32) (result i32)))
        (import "plexspaces" "forward"
            (func $forward (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "plexspaces" "defer" (func $defer (param i32) (result i32)))
        (import "plexspaces" "send_after" (func $send_after (param i64 i32 i32 i32 i32) (result i64)))
        (import "plexspaces" "cancel_timer" (func $cancel_timer (param i64) (result i32)))
        (import "plexspaces" "self_id" (func $self_id (param i32) (result i32)))
        (import "plexspaces" "now" (func $now (result i64)))
        (import "plexspaces" "sleep" (func $sleep (param i64)))
        (memory (export "memory") 2)
        {ALLOCATE}
        (export "alloc" (func $allocate))
        {PACKED}
        {body}
        (export "handle_request" (func $act)))"#
    )
}

fn component(body: &str) -> String {
    let heap = heap();
    format!(
        r#"(component
        (import "plexspaces:actor/logging@0.1.0" (instance $logging
            (export "info" (func (param "message" string)))))
        (import "plexspaces:actor/messaging@0.1.0" (instance $messaging
            {ERRORS}
            (export "tell" (func (param "to" string) (param "msg-type" string) (param "payload" (list u8))
                (result (result string (error $actor-error)))))
            (export "ask" (func (param "to" string) (param "msg-type" string) (param "payload" (list u8))
                (param "timeout-ms" u64) (result (result (list u8) (error $actor-error)))))
            (export "reply" (func (param "correlation-id" string) (param "payload" (list u8))
                (result (result (error $actor-error)))))
            (export "forward" (func (param "to" string) (param "msg-type" string) (param "payload" (list u8))
                (param "original-sender" string) (param "correlation-id" (option string))
                (result (result string (error $actor-error)))))
            (export "send-after" (func (param "delay-ms" u64) (param "msg-type" string)
                (param "payload" (list u8)) (result (result u64 (error $actor-error)))))
            (export "cancel-timer" (func (param "timer-id" u64) (result (result (error $actor-error)))))
            (export "self-id" (func (result string)))
            (export "now" (func (result u64)))
            (export "sleep" (func (param "duration-ms" u64)))))
        (import "plexspaces:actor/conversation@0.1.0" (instance $conversation
            (export "defer" (func (result string)))))
        {heap}
        (core func $info (canon lower (func $logging "info") (memory $memory)))
        (core func $tell (canon lower (func $messaging "tell") (memory $memory) (realloc $realloc)))
        (core func $ask (canon lower (func $messaging "ask") (memory $memory) (realloc $realloc)))
        (core func $reply (canon lower (func $messaging "reply") (memory $memory) (realloc $realloc)))
        (core func $forward (canon lower (func $messaging "forward") (memory $memory) (realloc $realloc)))
        (core func $send-after (canon lower (func $messaging "send-after") (memory $memory) (realloc $realloc)))
        (core func $cancel-timer (canon lower (func $messaging "cancel-timer") (memory $memory) (realloc $realloc)))
        (core func $defer (canon lower (func $conversation "defer") (memory $memory) (realloc $realloc)))
        (core func $self-id (canon lower (func $messaging "self-id") (memory $memory) (realloc $realloc)))
        (core func $now (canon lower (func $messaging "now")))
        (core func $sleep (canon lower (func $messaging "sleep")))
        (core module $guest
            (import "heap" "memory" (memory 2))
            (import "host" "info" (func $log (param i32 i32)))
            (import "host" "tell" (func $lowered_tell (param i32 i32 i32 i32 i32 i32 i32)))
            (import "host" "ask" (func $lowered_ask (param i32 i32 i32 i32 i32 i32 i64 i32)))
            (import "host" "reply" (func $lowered_reply (param i32 i32 i32 i32 i32)))
            (import "host" "forward"
                (func $lowered_forward (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "host" "send-after" (func $lowered_send_after (param i64 i32 i32 i32 i32 i32)))
            (import "host" "cancel-timer" (func $lowered_cancel_timer (param i64 i32)))
            (import "host" "defer" (func $lowered_defer (param i32)))
            (import "host" "self-id" (func $lowered_self_id (param i32)))
            (import "host" "now" (func $now (result i64)))
            (import "host" "sleep" (func $sleep (param i64)))
            (func $tell (param i32 i32 i32 i32 i32 i32) (result i32)
                (call $lowered_tell (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
                    (local.get 5) (i32.const 512))
                (call $status (i32.const 512)))
            {LOWERED}
            (func $reply (param i32 i32) (result i32)
                (call $lowered_reply (i32.const 0) (i32.const 0) (local.get 0) (local.get 1) (i32.const 512))
                (call $status (i32.const 512)))
            (func $reply_to (param i32 i32 i32 i32) (result i32)
                (call $lowered_reply (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 512))
                (call $status (i32.const 512)))
            (func $forward (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                (call $lowered_forward (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
                    (local.get 5) (local.get 6) (local.get 7) (i32.ne (local.get 9) (i32.const 0)) (local.get 8)
                    (local.get 9) (i32.const 512))
                (call $status (i32.const 512)))
            ;; A u64 is aligned, so value and code lie at 8.
            (func $send_after (param i64 i32 i32 i32 i32) (result i64)
                (call $lowered_send_after (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
                    (i32.const 512))
                (if (result i64) (i32.load8_u (i32.const 512))
                    (then (i64.sub (i64.const -1) (i64.load8_u (i32.const 520))))
                    (else (i64.load (i32.const 520)))))
            (func $cancel_timer (param i64) (result i32)
                (call $lowered_cancel_timer (local.get 0) (i32.const 512))
                (call $status (i32.const 512)))
            (func $defer (param i32) (result i32)
                (call $lowered_defer (local.get 0))
                (i32.const 0))
            (func $self_id (param i32) (result i32)
                (call $lowered_self_id (local.get 0))
                (i32.const 0))
            {PACKED}
            {body}
            (func (export "handle-request") (param i32 i32 i32 i32 i32 i32) (result i32) (local $answer i64)
                (local.set $answer (call $act
                    (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
                {ANSWERED}))
        (core instance $guest (instantiate $guest
            (with "heap" (instance $heap))
            (with "host" (instance
                (export "info" (func $info)) (export "tell" (func $tell)) (export "ask" (func $ask))
                (export "reply" (func $reply)) (export "forward" (func $forward))
                (export "send-after" (func $send-after)) (export "cancel-timer" (func $cancel-timer))
                (export "defer" (func $defer)) (export "self-id" (func $self-id)) (export "now" (func $now))
                (export "sleep" (func $sleep))))))
        (func (export "handle-request")
            (param "from-actor" string) (param "msg-type" string) (param "payload" (list u8))
            (result (result (list u8) (error string)))
            (canon lift (core func $guest "handle-request") (memory $memory) (realloc $realloc))))"#
    )
}

/// A program with a `main`, whose body may `(call $read)` all of its input to 1024 and `(call $write fd pointer len)`.
fn command(body: &str) -> String {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 40)
        (global $runs (mut i32) (i32.const 48))
        (func $read (result i32) (local $len i32)
            (loop $more
                (i32.store (i32.const 0) (i32.add (i32.const 1024) (local.get $len)))
                (i32.store (i32.const 4) (i32.const 65536))
                (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
                (local.set $len (i32.add (local.get $len) (i32.load (i32.const 8))))
                (br_if $more (i32.load (i32.const 8))))
            (local.get $len))
        (func $write (param $fd i32) (param $from i32) (param $len i32)
            (loop $more
                (i32.store (i32.const 0) (local.get $from))
                (i32.store (i32.const 4) (local.get $len))
                (if (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
                (local.set $from (i32.add (local.get $from) (i32.load (i32.const 8))))
                (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 8))))
                (br_if $more (local.get $len))))
        (data (i32.const 64) "no luck\0atoday")
        (func (export "_start") {body}))"#
    )
}
