;; WASI preview 1 on WASI 0.2, as much of it as Go's runtime calls: what turns a core module of Go's into a component.
;;
;; The stock adapter asks the module for memory, which Go cannot give before it has started, nor while it is calling out.
;; This one asks for none: Go's linker leaves addresses 4096 to 12287 free, and the few bytes needed lie there.
(module
  (import "env" "memory" (memory 0))
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $get-stdout (result i32)))
  (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $get-stderr (result i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-stream (param i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop-pollable (param i32)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $ticks (result i64)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
  (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall-clock (param i32)))
  (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))

  (global $scratch i32 (i32.const 4096))
  (global $success i32 (i32.const 0))
  (global $badf i32 (i32.const 8))
  (global $io i32 (i32.const 29))

  ;; No arguments and no environment.
  (func (export "args_sizes_get") (param $count i32) (param $bytes i32) (result i32)
    (call $none (local.get $count) (local.get $bytes)))
  (func (export "environ_sizes_get") (param $count i32) (param $bytes i32) (result i32)
    (call $none (local.get $count) (local.get $bytes)))
  (func (export "args_get") (param i32 i32) (result i32) (global.get $success))
  (func (export "environ_get") (param i32 i32) (result i32) (global.get $success))
  (func $none (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (global.get $success))

  ;; No files but the two streams.
  (func (export "fd_close") (param i32) (result i32) (global.get $badf))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (global.get $badf))

  (func (export "fd_write") (param $fd i32) (param $slices i32) (param $count i32) (param $written i32) (result i32)
    (local $stream i32) (local $status i32)
    (i32.store (local.get $written) (i32.const 0))
    (if (i32.eq (local.get $fd) (i32.const 1)) (then (local.set $stream (call $get-stdout)))
      (else (if (i32.eq (local.get $fd) (i32.const 2)) (then (local.set $stream (call $get-stderr)))
        (else (return (global.get $badf))))))
    (block $done
      (loop $slice
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $status (call $write-all
          (local.get $stream) (i32.load (local.get $slices)) (i32.load offset=4 (local.get $slices))))
        (br_if $done (local.get $status))
        (i32.store (local.get $written)
          (i32.add (i32.load (local.get $written)) (i32.load offset=4 (local.get $slices))))
        (local.set $slices (i32.add (local.get $slices) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $slice)))
    (call $drop-stream (local.get $stream))
    (local.get $status))

  ;; 4096 bytes at a time, which is what a stream takes.
  (func $write-all (param $stream i32) (param $at i32) (param $len i32) (result i32)
    (local $now i32)
    (loop $more
      (local.set $now (select (i32.const 4096) (local.get $len) (i32.gt_u (local.get $len) (i32.const 4096))))
      (call $write (local.get $stream) (local.get $at) (local.get $now) (global.get $scratch))
      (if (i32.load8_u (global.get $scratch)) (then (return (global.get $io))))
      (local.set $at (i32.add (local.get $at) (local.get $now)))
      (local.set $len (i32.sub (local.get $len) (local.get $now)))
      (br_if $more (local.get $len)))
    (global.get $success))

  ;; Clock 0 is the time of day; all others are the monotonic clock.
  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $time i32) (result i32)
    (if (local.get $clock)
      (then (i64.store (local.get $time) (call $ticks)))
      (else
        (call $wall-clock (global.get $scratch))
        (i64.store (local.get $time) (i64.add
          (i64.mul (i64.load (global.get $scratch)) (i64.const 1000000000))
          (i64.load32_u offset=8 (global.get $scratch))))))
    (global.get $success))

  (func (export "random_get") (param $at i32) (param $len i32) (result i32)
    (local $bits i64)
    (block $done
      (loop $byte
        (br_if $done (i32.eqz (local.get $len)))
        (if (i64.eqz (local.get $bits)) (then (local.set $bits (call $random))))
        (i64.store8 (local.get $at) (local.get $bits))
        (local.set $bits (i64.shr_u (local.get $bits) (i64.const 8)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $byte)))
    (global.get $success))

  ;; Sleeps for the first clock among the subscriptions, as there is nothing else to wait for.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $count i32) (param $happened i32) (result i32)
    (local $pollable i32)
    (i32.store (local.get $happened) (i32.const 0))
    (loop $subscription
      (if (i32.eqz (local.get $count)) (then (return (global.get $io))))
      (if (i32.load8_u offset=8 (local.get $in))
        (then
          (local.set $in (i32.add (local.get $in) (i32.const 48)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $subscription))))
    (local.set $pollable (call $after (i64.load offset=24 (local.get $in))))
    (call $block (local.get $pollable))
    (call $drop-pollable (local.get $pollable))
    (i64.store (local.get $out) (i64.load (local.get $in)))
    (i64.store offset=8 (local.get $out) (i64.const 0))
    (i32.store (local.get $happened) (i32.const 1))
    (global.get $success))

  (func (export "sched_yield") (result i32) (global.get $success))

  ;; How a panic ends, its text on standard error already.
  (func (export "proc_exit") (param i32) (unreachable)))
