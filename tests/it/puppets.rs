//! A guest that does what its messages say, in both dresses: it spawns, stops, links, watches and breaks to order.
//!
//! The first letter is the order, the rest what it is about: `s` spawns its own module as the actor of this id, `S` the
//! module of this name, `k` stops an actor, `l` links to one, `u` undoes that, `m` watches one; these answer `0`, or `-`
//! and the error's digit, a spawn with the new actor's id. `a` asks an actor to count, `p` tells who spawned it, `c`
//! counts, `q` tells the last notice, `t` breaks, `z` computes for ever, `h` takes all memory there is and breaks.

use plexspaces_node::wasm::Kind;

use crate::guests::{ALLOCATE, ANSWERED, ERRORS, LOWERED, PACKED, heap};

/// The puppet in the dress of this kind. It hears of others' ends.
pub fn puppet(kind: Kind) -> Vec<u8> {
    let text = match kind {
        Kind::Component => component(),
        _ => core(r#"(export "handle_info" (func $act))"#),
    };
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// One without a handler for notices.
pub fn deaf_puppet() -> Vec<u8> {
    wat::parse_str(core("")).unwrap_or_else(|error| panic!("{error}"))
}

/// Answers with the state that `init` got, which it is `fail` anywhere after the second byte that keeps it from
/// starting; its snapshot is that state.
pub fn stateful(more: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (memory (export "memory") 2)
        (global $len (mut i32) (i32.const 0))
        {more}
        (func (export "init") (param i32 i32) (result i32)
            (memory.copy (i32.const 4096) (local.get 0) (local.get 1))
            (global.set $len (local.get 1))
            (i32.eq (i32.load8_u (i32.const 4098)) (i32.const 102)))
        (func $state (result i64)
            (i64.or (i64.shl (i64.extend_i32_u (global.get $len)) (i64.const 32)) (i64.const 4096)))
        (func (export "snapshot_state") (result i64) (call $state))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64)
            (if (i32.eq (local.get 5) (i32.const 1)) (then
                (if (i32.eq (i32.load8_u (local.get 4)) (i32.const 116)) (then (unreachable)))))
            (if (i32.gt_u (local.get 5) (i32.const 1)) (then
                (memory.copy (i32.const 4096) (local.get 4) (local.get 5))
                (global.set $len (local.get 5))))
            (call $state)))"#
    );
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

const BODY: &str = r#"
    (data (i32.const 64) "call")
    (data (i32.const 80) "c")
    (global $count (mut i32) (i32.const 48))
    (global $notice (mut i32) (i32.const 0))
    ;; 0, or `-` and the digit of an error.
    (func $answer (param $status i32) (result i64)
        (if (i32.ge_s (local.get $status) (i32.const 0)) (then
            (i32.store8 (i32.const 96) (i32.const 48))
            (return (call $packed (i32.const 96) (i32.const 1)))))
        (i32.store8 (i32.const 96) (i32.const 45))
        (i32.store8 (i32.const 97) (i32.sub (i32.const 47) (local.get $status)))
        (call $packed (i32.const 96) (i32.const 2)))
    (func $or_text (param $status i32) (result i64)
        (if (local.get $status) (then (return (call $answer (local.get $status)))))
        (call $packed (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
    (func $hog
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        (unreachable))
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64) (local $order i32) (local $about i32) (local $len i32)
        (if (i32.and (i32.eq (local.get 3) (i32.const 4)) (i32.eq (i32.load8_u (local.get 2)) (i32.const 105))) (then
            (memory.copy (i32.const 8192) (local.get 4) (local.get 5))
            (global.set $notice (local.get 5))
            (return (call $packed (i32.const 0) (i32.const 0)))))
        (local.set $order (i32.load8_u (local.get 4)))
        (local.set $about (i32.add (local.get 4) (i32.const 1)))
        (local.set $len (i32.sub (local.get 5) (i32.const 1)))
        (if (i32.eq (local.get $order) (i32.const 115)) (then
            (return (call $or_text (call $spawn (i32.const 0) (i32.const 0)
                (local.get $about) (local.get $len) (i32.const 1024))))))
        (if (i32.eq (local.get $order) (i32.const 83)) (then
            (return (call $or_text (call $spawn (local.get $about) (local.get $len)
                (i32.const 0) (i32.const 0) (i32.const 1024))))))
        (if (i32.eq (local.get $order) (i32.const 107)) (then
            (return (call $answer (call $stop (local.get $about) (local.get $len))))))
        (if (i32.eq (local.get $order) (i32.const 108)) (then
            (return (call $answer (call $link (local.get $about) (local.get $len))))))
        (if (i32.eq (local.get $order) (i32.const 117)) (then
            (return (call $answer (call $unlink (local.get $about) (local.get $len))))))
        (if (i32.eq (local.get $order) (i32.const 109)) (then
            (return (call $answer (i32.wrap_i64 (call $monitor (local.get $about) (local.get $len)))))))
        (if (i32.eq (local.get $order) (i32.const 97)) (then
            (return (call $or_text (call $ask (local.get $about) (local.get $len) (i32.const 64) (i32.const 4)
                (i32.const 80) (i32.const 1) (i64.const 2000) (i32.const 1024))))))
        (if (i32.eq (local.get $order) (i32.const 112)) (then
            (return (call $or_text (call $parent_id (i32.const 1024))))))
        (if (i32.eq (local.get $order) (i32.const 113)) (then
            (return (call $packed (i32.const 8192) (global.get $notice)))))
        (if (i32.eq (local.get $order) (i32.const 116)) (then (unreachable)))
        (if (i32.eq (local.get $order) (i32.const 122)) (then (loop $forever (br $forever))))
        (if (i32.eq (local.get $order) (i32.const 104)) (then (call $hog)))
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (i32.store8 (i32.const 96) (global.get $count))
        (call $packed (i32.const 96) (i32.const 1)))"#;

fn core(more: &str) -> String {
    format!(
        r#"(module
        (import "plexspaces" "ask" (func $ask (param i32 i32 i32 i32 i32 i32 i64 i32) (result i32)))
        (import "plexspaces" "spawn" (func $spawn_as (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "plexspaces" "stop" (func $stop_within (param i32 i32 i64) (result i32)))
        (import "plexspaces" "link" (func $link (param i32 i32) (result i32)))
        (import "plexspaces" "unlink" (func $unlink (param i32 i32) (result i32)))
        (import "plexspaces" "monitor" (func $monitor (param i32 i32) (result i64)))
        (import "plexspaces" "parent_id" (func $parent_id (param i32) (result i32)))
        (memory (export "memory") 2)
        {ALLOCATE}
        (export "alloc" (func $allocate))
        (data (i32.const 3072) "{{\"actor_id\":\"")
        (func $spawn (param $module i32) (param $len i32) (param $id i32) (param $id_len i32) (param $at i32)
            (result i32)
            (if (i32.eqz (local.get $id_len)) (then
                (return (call $spawn_as (local.get $module) (local.get $len) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (local.get $at)))))
            (memory.copy (i32.const 3085) (local.get $id) (local.get $id_len))
            (i32.store16 (i32.add (i32.const 3085) (local.get $id_len)) (i32.const 0x7d22))
            (call $spawn_as (local.get $module) (local.get $len) (i32.const 0) (i32.const 0)
                (i32.const 3072) (i32.add (i32.const 15) (local.get $id_len)) (local.get $at)))
        (func $stop (param i32 i32) (result i32)
            (call $stop_within (local.get 0) (local.get 1) (i64.const 0)))
        {PACKED}
            {BODY}
        {more}
        (export "handle_request" (func $act)))"#
    )
}

fn component() -> String {
    let heap = heap();
    format!(
        r#"(component
        (import "plexspaces:actor/messaging@0.1.0" (instance $messaging
            {ERRORS}
            (type $options (record
                (field "actor-id" (option string)) (field "labels" (list (tuple string string)))
                (field "mailbox-size" (option u32)) (field "durable" bool) (field "supervisor" (option string))))
            (export "spawn-options" (type $spawn-options (eq $options)))
            (export "ask" (func (param "to" string) (param "msg-type" string) (param "payload" (list u8))
                (param "timeout-ms" u64) (result (result (list u8) (error $actor-error)))))
            (export "spawn" (func (param "module-ref" string) (param "initial-state" (list u8))
                (param "options" $spawn-options) (result (result string (error $actor-error)))))
            (export "stop" (func (param "actor-id" string) (param "timeout-ms" u64)
                (result (result (error $actor-error)))))
            (export "link" (func (param "actor-id" string) (result (result (error $actor-error)))))
            (export "unlink" (func (param "actor-id" string) (result (result (error $actor-error)))))
            (export "monitor" (func (param "actor-id" string) (result (result u64 (error $actor-error)))))
            (export "parent-id" (func (result (option string))))))
        {heap}
        (core func $ask (canon lower (func $messaging "ask") (memory $memory) (realloc $realloc)))
        (core func $spawn (canon lower (func $messaging "spawn") (memory $memory) (realloc $realloc)))
        (core func $stop (canon lower (func $messaging "stop") (memory $memory) (realloc $realloc)))
        (core func $link (canon lower (func $messaging "link") (memory $memory) (realloc $realloc)))
        (core func $unlink (canon lower (func $messaging "unlink") (memory $memory) (realloc $realloc)))
        (core func $monitor (canon lower (func $messaging "monitor") (memory $memory) (realloc $realloc)))
        (core func $parent-id (canon lower (func $messaging "parent-id") (memory $memory) (realloc $realloc)))
        (core module $guest
            (import "heap" "memory" (memory 2))
            (import "host" "ask" (func $lowered_ask (param i32 i32 i32 i32 i32 i32 i64 i32)))
            (import "host" "spawn" (func $lowered_spawn
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "host" "stop" (func $lowered_stop (param i32 i32 i64 i32)))
            (import "host" "link" (func $lowered_link (param i32 i32 i32)))
            (import "host" "unlink" (func $lowered_unlink (param i32 i32 i32)))
            (import "host" "monitor" (func $lowered_monitor (param i32 i32 i32)))
            (import "host" "parent-id" (func $lowered_parent_id (param i32)))
            {LOWERED}
            (func $spawn (param $module i32) (param $len i32) (param $id i32) (param $id_len i32) (param $at i32)
                (result i32)
                (call $lowered_spawn (local.get $module) (local.get $len) (i32.const 0) (i32.const 0)
                    (i32.ne (local.get $id_len) (i32.const 0)) (local.get $id) (local.get $id_len)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.sub (local.get $at) (i32.const 4)))
                (call $status (i32.sub (local.get $at) (i32.const 4))))
            (func $stop (param i32 i32) (result i32)
                (call $lowered_stop (local.get 0) (local.get 1) (i64.const 0) (i32.const 512))
                (call $status (i32.const 512)))
            (func $link (param i32 i32) (result i32)
                (call $lowered_link (local.get 0) (local.get 1) (i32.const 512))
                (call $status (i32.const 512)))
            (func $unlink (param i32 i32) (result i32)
                (call $lowered_unlink (local.get 0) (local.get 1) (i32.const 512))
                (call $status (i32.const 512)))
            (func $monitor (param i32 i32) (result i64)
                (call $lowered_monitor (local.get 0) (local.get 1) (i32.const 512))
                (if (result i64) (i32.load8_u (i32.const 512))
                    (then (i64.sub (i64.const -1) (i64.load8_u (i32.const 520))))
                    (else (i64.load (i32.const 520)))))
            (func $parent_id (param $at i32) (result i32)
                (call $lowered_parent_id (i32.sub (local.get $at) (i32.const 4)))
                (if (i32.eqz (i32.load8_u (i32.sub (local.get $at) (i32.const 4)))) (then
                    (i32.store offset=4 (local.get $at) (i32.const 0))))
                (i32.const 0))
            {PACKED}
            {BODY}
            (func (export "handle") (param i32 i32 i32 i32 i32 i32) (result i32) (local $answer i64)
                (local.set $answer (call $act
                    (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
                {ANSWERED}))
        (core instance $guest (instantiate $guest
            (with "heap" (instance $heap))
            (with "host" (instance
                (export "ask" (func $ask)) (export "spawn" (func $spawn)) (export "stop" (func $stop))
                (export "link" (func $link)) (export "unlink" (func $unlink)) (export "monitor" (func $monitor))
                (export "parent-id" (func $parent-id))))))
        (func $handle
            (param "from-actor" string) (param "msg-type" string) (param "payload" (list u8))
            (result (result (list u8) (error string)))
            (canon lift (core func $guest "handle") (memory $memory) (realloc $realloc)))
        (export "handle-request" (func $handle))
        (export "handle-message" (func $handle)))"#
    )
}
