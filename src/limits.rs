//! Every ceiling of the node, with its unit and with what breaks without it.

use std::time::Duration;

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;

// ── uploads ─────────────────────────────────────────────────────────────────

/// Largest module, exact to the byte: the deployment guide's 100 MB. Past it a device's flash fills up.
pub const WASM_FILE_BYTES_MAX: u64 = 100 * MIB as u64;
/// What a deploy's body may hold beside the module: the other parts and the envelope.
pub const DEPLOY_ENVELOPE_BYTES_MAX: u64 = 2 * MIB as u64;
/// Largest `config` part.
pub const CONFIG_BYTES_MAX: usize = MIB;
/// Largest node.toml.
pub const NODE_CONFIG_BYTES_MAX: usize = MIB;
/// Largest other text part of a deploy.
pub const FIELD_BYTES_MAX: usize = 4 * KIB;
/// Most parts in one deploy: without it a body of ten thousand parts keeps the loop busy.
pub const PARTS_MAX: usize = 32;
/// Bytes that multer may search for the end of a preamble or of part headers; it rescans them each time.
pub const PART_HEADERS_BYTES_MAX: usize = 64 * KIB;
/// Bytes of one read from a connection, so of one chunk on its way to the disk.
pub const CHUNK_BYTES_MAX: usize = 64 * KIB;
/// Uploads that stream at the same time; more are told to come back.
pub const UPLOADS_MAX: usize = 2;
/// Deploys under way: each holds a module on the disk until the compiler, which serves one at a time, has come to it.
pub const DEPLOYS_MAX: usize = 8;
/// Bytes in a second below which an upload makes room for another, and how long it has to show its pace.
pub const UPLOAD_PACE_CONTESTED: u64 = 16 * KIB as u64;
pub const UPLOAD_PACE_AFTER: Duration = Duration::from_secs(30);
/// Seconds that a refused upload is told to wait.
pub const UPLOAD_RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long a body may say nothing at all.
pub const BODY_SILENCE_MAX: Duration = Duration::from_secs(30);
/// What must come of a body in that time, the last piece apart: 1 KiB a second.
pub const BODY_PACE_BYTES: usize = 30 * KIB;
/// How long one upload may take from its first byte to its last.
pub const UPLOAD_TIME_MAX: Duration = Duration::from_secs(3600);
/// What is read and dropped after an early refusal, so that the client sees the answer.
pub const REFUSED_BODY_BYTES_MAX: usize = MIB;
pub const REFUSED_BODY_TIME_MAX: Duration = Duration::from_secs(2);

// ── connections ─────────────────────────────────────────────────────────────

/// Connections on each port; without it file descriptors run out.
pub const CONNECTIONS_MAX: usize = 512;
/// The part of them, one in so many, that one peer from elsewhere may hold.
pub const CONNECTIONS_PEER_SHARE: usize = 4;
/// The part of them, one in so many, that peers from elsewhere leave to the machine itself.
pub const CONNECTIONS_RESERVED_SHARE: usize = 8;
/// How often the log says that connections cannot be accepted; without it a shortage fills the log.
pub const ACCEPT_WARNING_EVERY: Duration = Duration::from_secs(10);
/// From a connection's first byte to the end of its first request's headers.
pub const FIRST_REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// Later request headers on HTTP/1.1.
pub const HEADERS_TIME_MAX: Duration = Duration::from_secs(10);
/// A connection on which nothing is asked and nothing answered.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(75);
/// What is asked over HTTP/2 and came whole gets so long to be read and answered, where the connection's end came with it.
pub const LEAVING_TIME_MAX: Duration = Duration::from_secs(1);
/// What open connections get to end once a stopping node has answered everything.
pub const CLOSING_TIME_MAX: Duration = Duration::from_secs(1);
/// All request headers together.
pub const HEADERS_BYTES_MAX: usize = 32 * KIB;
/// Requests in flight on one HTTP/2 connection.
pub const STREAMS_MAX: u32 = 64;
/// Bytes that one HTTP/2 connection may send before somebody reads them.
pub const WINDOW_BYTES_MAX: u32 = 256 * KIB as u32;
/// How often somebody who waits on HTTP/2 is asked whether he is still there, and how long he has to answer: without
/// it a watcher that lost its power holds its place for good.
pub const PING_EVERY: Duration = Duration::from_secs(60);
pub const PING_ANSWER_MAX: Duration = Duration::from_secs(20);
/// Resets that one HTTP/2 connection may leave pending (rapid reset, CVE-2023-44487).
pub const PENDING_RESETS_MAX: usize = 16;

// ── gRPC ────────────────────────────────────────────────────────────────────

/// Largest module in a gRPC message, exact to the byte; larger ones go by HTTP, where they are streamed to the disk.
pub const GRPC_WASM_BYTES_MAX: usize = 5 * MIB;
/// What such a message may hold beside the module: spec, environment, initial state and the envelope.
pub const GRPC_DEPLOY_ENVELOPE_BYTES_MAX: usize = 2 * MIB;
/// How deep a tree may be written in one message: each level is a call of the parser's.
pub const WRITTEN_TREE_DEPTH_MAX: usize = 32;
/// Clients that watch the node's health: each holds a connection, and strangers may do so.
pub const HEALTH_WATCHERS_MAX: usize = 64;
/// A call that anybody may make: it names a service or a part of the node, and is held without being counted.
pub const GRPC_BARE_BYTES_MAX: usize = KIB;
/// What any other message may hold beside a payload.
pub const GRPC_ENVELOPE_BYTES_MAX: usize = 128 * KIB;

/// Text of one error; a guest's own words may be longer.
pub const ERROR_BYTES_MAX: usize = 4 * KIB;
/// Items of a list that is asked for without a limit.
pub const PAGE_ITEMS_DEFAULT: usize = 50;
/// Items of a list in one answer; without it an answer grows with the node.
pub const PAGE_ITEMS_MAX: usize = 1_000;

// ── messages ────────────────────────────────────────────────────────────────

/// Largest payload of one message, and of an invoke's body.
pub const MESSAGE_BYTES_MAX: usize = MIB;
/// Longest message type: it is held in memory for each waiting message.
pub const MESSAGE_TYPE_CHARS_MAX: usize = 128;
/// A message in hand for longer is shown to operators.
pub const BUSY_AFTER: Duration = Duration::from_secs(1);
/// Messages waiting for one actor.
pub const MAILBOX_MESSAGES_MAX: usize = 1_000;
/// The most messages that a spec, or a spawn, may let wait for one actor.
pub const MAILBOX_MESSAGES_CEILING: usize = 1_000_000;
/// Bytes waiting for one actor.
pub const MAILBOX_BYTES_MAX: usize = 4 * MIB;
/// An ask that names no deadline.
pub const ASK_TIME_DEFAULT: Duration = Duration::from_secs(5);
/// The longest deadline an invoke may ask for.
pub const ASK_TIME_MAX: Duration = Duration::from_secs(600);
/// Messages one actor handles before others get their turn.
pub const TURN_MESSAGES_MAX: usize = 32;

/// Asks that one actor keeps open to answer later; one more is refused at once.
pub const DEFERRED_ASKS_MAX: usize = 1_000;
/// Timers of one actor that have not fired.
pub const TIMERS_MAX: usize = 256;
/// What those timers' payloads and types weigh together: they wait outside the mailbox's bounds.
pub const TIMERS_BYTES_MAX: usize = 4 * MIB;
/// The longest delay of a timer: the runtime's clock ends at about two years.
pub const TIMER_DELAY_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// When a timer that found its mailbox full tries again.
pub const TIMER_RETRY: Duration = Duration::from_millis(100);
/// Longest address of a sender that a forwarded message names.
pub const ADDRESS_CHARS_MAX: usize = 512;

// ── services ────────────────────────────────────────────────────────────────

/// Fields of one tuple or pattern.
pub const TUPLE_FIELDS_MAX: usize = 64;
/// Bytes of one tuple or pattern.
pub const TUPLE_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
/// Tuples of one namespace. A pattern without an exact first field looks at all of its length, on the loop: 10 ms here.
pub const TUPLES_MAX: usize = 100_000;
/// Bytes of the tuples that one `read-all` answers with.
pub const TUPLES_READ_BYTES_MAX: usize = 4 * MIB;
/// Who may wait for tuples of one namespace.
pub const TUPLE_WAITERS_MAX: usize = 20_000;
/// Subscriptions to tuples of one namespace: a write may have to tell them all.
pub const TUPLE_SUBSCRIPTIONS_MAX: usize = 1_000;
/// Subscriptions of one kind that one actor has.
pub const SUBSCRIPTIONS_MAX: usize = 256;
/// The longest that a tuple lives, or a lease lasts: the runtime's clock ends at about two years.
pub const TTL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// Longest name of a lock, its holder, a group or a topic, in characters.
pub const SERVICE_NAME_CHARS_MAX: usize = 256;
/// Locks of one namespace; those that nobody holds make room.
pub const LOCKS_MAX: usize = 10_000;
/// Who may wait for one lock.
pub const LOCK_WAITERS_MAX: usize = 1_000;
/// Groups of one namespace.
pub const GROUPS_MAX: usize = 1_000;
/// Members of one group: each gets every message published to it.
pub const GROUP_MEMBERS_MAX: usize = 1_000;
/// How often one actor may have joined groups, and topics in one such joining.
pub const GROUP_JOINS_MAX: usize = 256;
pub const GROUP_TOPICS_MAX: usize = 64;
/// Registrations of one namespace.
pub const REGISTRATIONS_MAX: usize = 1_000;
/// Capabilities, and labels, of one registration.
pub const REGISTRATION_TEXTS_MAX: usize = 64;
/// How long a registration lives after its last heartbeat.
pub const REGISTRATION_LIFETIME: Duration = Duration::from_secs(60);

// ── actors ──────────────────────────────────────────────────────────────────

/// Restarts within the window before a supervisor gives up, unless its spec says otherwise.
pub const RESTARTS_DEFAULT: usize = 3;
pub const RESTART_WINDOW_DEFAULT: Duration = Duration::from_secs(5);
/// The most a spec may allow: a supervisor remembers each restart that still counts.
pub const RESTARTS_MAX: usize = 1_000;
pub const RESTART_WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);
/// What an actor gets to finish its message and its `shutdown`, unless its spec says otherwise.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
pub const SHUTDOWN_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// What a whole tree gets to stop, right to left, when its operator stops it.
pub const TREE_STOP_MAX: Duration = Duration::from_secs(600);
/// What all trees get when the node ends; beyond it systemd would end the node.
pub const TREE_CLOSE_MAX: Duration = Duration::from_secs(10);
/// Supervisors above each other.
pub const TREE_DEPTH_MAX: usize = 8;
/// Children in one spec, supervisors included.
pub const TREE_CHILDREN_MAX: usize = 16_384;
/// Actors of one application, those that it spawns included.
pub const TREE_ACTORS_MAX: usize = 20_000;
/// What one tree is asked at a time; one more spawn is refused.
pub const TREE_ORDERS_MAX: usize = 256;
/// The part of a pool, one slot in so many, that actors which guests spawn leave to deploys, upgrades and restarts:
/// without it one application keeps the others' actors from coming back.
pub const POOL_RESERVED_SHARE: u32 = 8;
/// Fiber stacks of a pool beside one for each slot: a call takes one, and another while the node asks the guest for
/// memory, which ends before it waits for anything.
pub const POOL_SPARE_STACKS_MAX: u32 = 1_000;
/// Characters of one child's args, keys included: `init` gets them as JSON.
pub const CHILD_ARGS_BYTES_MAX: usize = 64 * KIB;
/// Links and monitors of one actor, on either side: each is a notice when it ends.
pub const TIES_MAX: usize = 10_000;
/// Labels that a spawned actor gets, and the length of each with its name.
pub const LABELS_MAX: usize = 32;
pub const LABEL_BYTES_MAX: usize = 256;
/// How long a new version is watched: one that fails within it is replaced by the one before.
pub const PROBATION: Duration = Duration::from_secs(60);
/// From the start of an actor to the end of its `init`, waits included.
pub const START_TIME_MAX: Duration = Duration::from_secs(60);
/// What a stopping node gives the messages in flight.
pub const DRAIN_TIME_DEFAULT: Duration = Duration::from_secs(10);
/// The least and the most that an operator may choose: at 0 nothing in flight would end in order.
pub const DRAIN_TIME_MIN: Duration = Duration::from_millis(100);
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(600);
/// The wait before a failed application is started again, the first time; it doubles from there.
pub const REVIVAL_DELAY: Duration = Duration::from_secs(1);
pub const REVIVAL_DELAY_MAX: Duration = Duration::from_secs(300);
/// The least and the most that an operator may choose for the first wait: at 0 a failing start would keep the node busy.
pub const RESTART_DELAY_MIN: Duration = Duration::from_millis(10);
pub const RESTART_DELAY_MAX: Duration = Duration::from_secs(3600);
/// An application that ran this long begins anew with its waits.
pub const REVIVAL_FORGIVEN_AFTER: Duration = Duration::from_secs(600);
/// Starts of an application that the node may fail to outlive before it is held back.
pub const START_ATTEMPTS_MAX: u32 = 3;
/// How long the others wait for one application when the node restores them.
pub const RESTORE_TURN: Duration = Duration::from_secs(1);
/// How long callers wait for the restored applications: those that are not there by then come while the node serves.
pub const RESTORE_PATIENCE: Duration = Duration::from_secs(3);
/// What a backup has of one table in one entry of its archive, about.
pub const BACKUP_PIECE_BYTES: usize = MIB;
/// The most that one such entry has, and is read into memory: the last row of it may be a large one.
pub const BACKUP_PIECE_BYTES_MAX: u64 = 16 * MIB as u64;
/// What its head says, and its seal: a line or two each.
pub const BACKUP_MARK_BYTES_MAX: u64 = 4 * KIB as u64;
/// The same for a backup of format 1, which has all records, or the states of one application, in one entry.
pub const BACKUP_OLDER_ENTRY_BYTES_MAX: u64 = 1024 * MIB as u64;
/// How long a backup reads the store: what changes meanwhile takes room beside what is read.
pub const BACKUP_READ_TIME_MAX: Duration = Duration::from_secs(900);
/// Applications that one may depend on.
pub const DEPENDENCIES_MAX: usize = 64;
/// Modules that are kept for themselves; without it they fill the disk, since nobody has to name one again.
pub const MODULES_MAX: usize = 64;
/// Applications on one node: each holds at least one slot of the pool.
pub const APPLICATIONS_MAX: usize = 1_000;

// ── guests ──────────────────────────────────────────────────────────────────

/// All linear memories of one actor together, unless its spec says otherwise.
pub const GUEST_MEMORY_BYTES_DEFAULT: u64 = 64 * MIB as u64;
/// The most a spec may ask for. One `memory.fill` runs to its end whoever waits: over memory that was never touched it
/// takes 0.4 ms for each MiB on a PC, so 0.2 s at this ceiling, and several seconds at the 4 GiB that a guest could
/// address. Giving the memory back takes a fifth of that, on the loop too.
pub const GUEST_MEMORY_BYTES_MAX: u64 = 512 * MIB as u64;
/// Time inside the guest for one message, unless the spec says otherwise.
pub const GUEST_TIME_DEFAULT: Duration = Duration::from_secs(30);
pub const GUEST_TIME_MAX: Duration = Duration::from_secs(3600);
/// Elements of each table of one actor, unless the spec says otherwise.
pub const GUEST_TABLE_ELEMENTS_DEFAULT: usize = 10_000;
pub const GUEST_TABLE_ELEMENTS_MAX: usize = 100_000;
/// The beat of the epoch ticker, and the least a guest computes before others get the loop.
pub const GUEST_SLICE: Duration = Duration::from_millis(1);
/// A line that a guest writes; the rest goes on a line of its own.
pub const GUEST_LINE_BYTES_MAX: usize = 4 * KIB;
/// A text that a core module passes, such as an address or a line, and the words of an error; the rest is not read.
pub const GUEST_TEXT_BYTES_MAX: usize = 8 * KIB;
/// Bytes that a guest may pass to WASI at once, however small its messages: toolchains write 4 to 64 KiB.
pub const GUEST_TRANSFER_BYTES_MIN: usize = 256 * KIB;
/// What is kept of a guest's standard error for the answer to an ask that it failed.
pub const GUEST_STDERR_TAIL_BYTES: usize = 2 * KIB;
/// Lines that one guest may log in a second before the rest of that second is only counted.
pub const GUEST_LINES_PER_SECOND_MAX: u32 = 200;
/// Spans that one guest has begun and not ended.
pub const SPANS_MAX: usize = 100;
/// Random bytes in one piece: making them holds up the loop.
pub const GUEST_RANDOM_BYTES_MAX: u64 = 64 * KIB as u64;
/// Native stack for one guest call; deeper recursion traps.
pub const GUEST_STACK_BYTES: usize = MIB;

/// Of the reason why an actor ended, in the node's log; its application's has all of it.
pub const REASON_BYTES_IN_NODES_LOG: usize = 160;
/// One line of an application's log; the rest is cut off.
pub const LOG_LINE_BYTES_MAX: usize = 8 * KIB;
/// Lines wait in memory up to this long, or until there are this many bytes: a flash card wears with every write.
pub const LOG_FLUSH_AFTER: Duration = Duration::from_secs(30);
pub const LOG_FLUSH_BYTES: usize = 16 * KIB;
/// What may wait while the disk is slow; lines on top are dropped and counted.
pub const LOG_UNWRITTEN_BYTES_MAX: usize = 64 * KIB;
/// Each of the two files in which an application's lines lie.
pub const LOG_SEGMENT_BYTES: u64 = 128 * KIB as u64;
/// Lines that one follower may fall behind.
pub const LOG_FOLLOWER_LINES_MAX: usize = 256;
/// Followers of logs on one node: each holds a connection.
pub const LOG_FOLLOWERS_MAX: usize = 32;
/// How often a follower hears that there is nothing to hear, so that one that is gone is noticed.
pub const LOG_HEARTBEAT: Duration = Duration::from_secs(30);

// ── compiling ───────────────────────────────────────────────────────────────

/// Memory that must be free before a small module is compiled: the compiler itself, and for each byte of the module.
pub const COMPILE_MEMORY_BYTES_BASE: u64 = 24 * MIB as u64;
pub const COMPILE_MEMORY_PER_SMALL_MODULE_BYTE: u64 = 32;
/// From here on large modules need less for their size: a Python component of 18 MB takes 300 MB.
pub const COMPILE_MEMORY_BYTES_SMALL_MAX: u64 = 96 * MIB as u64;
pub const COMPILE_MEMORY_PER_MODULE_BYTE: u64 = 16;
/// CPU seconds of one compilation.
pub const COMPILE_CPU_SECONDS_MAX: u64 = 300;
/// Wall time of one compilation, waiting for the processor included.
pub const COMPILE_TIME_MAX: Duration = Duration::from_secs(900);
/// What the compile child may answer.
pub const COMPILE_REPORT_BYTES_MAX: usize = 256 * KIB;
/// Elements that a module's segments list; each costs the compiler far more than its byte (9 GiB for three million).
pub const MODULE_ELEMENTS_MAX: u32 = 100_000;
/// Names that a module imports or exports.
pub const MODULE_NAMES_MAX: u32 = 20_000;
/// What the compile child may take, at the least and for each byte of its module.
pub const COMPILE_CHILD_BYTES_MIN: u64 = 1024 * MIB as u64;
pub const COMPILE_CHILD_PER_MODULE_BYTE: u64 = 64;
/// Functions in one module: each costs the node memory for as long as it is loaded.
pub const MODULE_FUNCTIONS_MAX: u32 = 200_000;
/// Size of one function: compile time grows faster than size (wasmtime#4291).
pub const FUNCTION_BYTES_MAX: usize = 2 * MIB;
/// Compiled code kept on disk; the oldest goes first.
pub const COMPILED_BYTES_MAX: u64 = 512 * MIB as u64;

// ── what guests keep ────────────────────────────────────────────────────────

/// Longest key, and longest prefix of keys.
pub const KEY_BYTES_MAX: usize = KIB;
/// Keys of one application, and what they weigh with their values: they share the disk with everything else.
pub const KEYS_MAX: u64 = 100_000;
pub const KEYS_BYTES_MAX: u64 = 64 * MIB as u64;
/// Keys that one actor watches.
pub const WATCHES_MAX: usize = 256;
/// Longest name of a queue or a topic, and longest filter.
pub const CHANNEL_NAME_BYTES_MAX: usize = 255;
/// Queues that one application made.
pub const QUEUES_MAX: u64 = 1_000;
/// Messages of one application in queues, and what they weigh.
pub const QUEUED_MESSAGES_MAX: u64 = 100_000;
pub const QUEUED_BYTES_MAX: u64 = 64 * MIB as u64;
/// Headers of one queued message.
pub const QUEUE_HEADERS_MAX: usize = 64;
pub const QUEUE_HEADERS_BYTES_MAX: usize = 16 * KIB;
/// Messages that one actor has received and neither acknowledged nor given back.
pub const UNACKED_MAX: usize = 1_000;
/// Deliveries of one message before it goes to the dead letters: without it a message that kills its receivers
/// does so for ever.
pub const DELIVERIES_MAX: u32 = 20;
/// Topics that one actor subscribes to.
pub const TOPICS_MAX: usize = 256;
/// Longest type of an entry in a journal.
pub const EVENT_TYPE_BYTES_MAX: usize = 255;
/// Journals of one application: each actor that persists something has one.
pub const JOURNALS_MAX: u64 = 20_000;
/// Entries and recorded side effects in all journals of one application, and what they weigh.
pub const JOURNAL_ENTRIES_MAX: u64 = 100_000;
pub const JOURNAL_BYTES_MAX: u64 = 64 * MIB as u64;
/// What of a journal is in memory at once while it is replayed.
pub const REPLAY_ENTRIES_MAX: usize = 256;
pub const REPLAY_BYTES_MAX: usize = 4 * MIB;
/// Longest id, type or signal name of a workflow, and longest retry policy.
pub const WORKFLOW_NAME_BYTES_MAX: usize = 255;
pub const RETRY_POLICY_BYTES_MAX: usize = KIB;
/// Runs of one application that have not ended, and what they weigh with their inputs, steps and signals.
pub const RUNS_MAX: u64 = 1_000;
pub const RUNS_BYTES_MAX: u64 = 64 * MIB as u64;
/// Runs of one application that have ended and are kept to be asked for their results; the oldest go first.
pub const RUNS_ENDED_MAX: u64 = 1_000;
pub const RUNS_ENDED_BYTES_MAX: u64 = 16 * MIB as u64;
pub const RUNS_ENDED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// What the steps may weigh that stay with a run that has ended without a result.
pub const RUN_COURSE_BYTES_MAX: u64 = 64 * KIB as u64;
/// Steps of one run, and what they weigh: all of them are replayed whenever it comes back.
pub const RUN_STEPS_MAX: u64 = 10_000;
pub const RUN_STEPS_BYTES_MAX: u64 = 16 * MIB as u64;
/// Signals of one run, what they weigh, and how many of them it has yet to take.
pub const RUN_SIGNALS_MAX: u64 = 10_000;
pub const RUN_SIGNALS_BYTES_MAX: u64 = 4 * MIB as u64;
pub const RUN_SIGNALS_WAITING_MAX: u64 = 1_000;
/// Callers that wait for one run to end.
pub const RUN_WAITERS_MAX: usize = 64;
/// Why a run failed, and how many activities it names that may have been done twice.
pub const RUN_REASON_CHARS_MAX: usize = 1_000;
pub const RUN_DOUBTS_MAX: usize = 64;
/// How long the actor of a run that sleeps, or waits for signals, is kept before it makes room.
pub const RUN_IDLE_MAX: Duration = Duration::from_secs(10);
/// How long a run gets to finish its step when its application is stopped or upgraded.
pub const RUN_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a run's actor may take over one message, and an activity that has no limit of its own.
pub const RUN_STEP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a run waits for room, or for a disk that fails, before it tries again, at first and at most.
pub const RUN_RETRY_FIRST: Duration = Duration::from_millis(200);
pub const RUN_RETRY_MAX: Duration = Duration::from_secs(60);
/// Attempts of an activity or a run, and the longest wait between two of them.
pub const ATTEMPTS_MAX: u32 = 10_000;
pub const RETRY_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Largest blob; larger ones hold up the uploads of others for too long.
pub const BLOB_BYTES_MAX: u64 = 256 * MIB as u64;
/// Blobs of one application, and of what fleet tools put into one namespace, and what they weigh.
pub const BLOBS_MAX: u64 = 10_000;
pub const BLOBS_BYTES_MAX: u64 = 1024 * MIB as u64;
/// What blobs leave of the disk, so that deploys, keys and logs go on.
pub const BLOB_DISK_LEFT_MIN: u64 = 32 * MIB as u64;
/// Content type of a blob.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// What is swept away in one transaction, so that others get their turn.
pub const SWEEP_ITEMS_MAX: usize = 256;
/// When a sweep that the disk refused is tried again.
pub const SWEEP_RETRY: Duration = Duration::from_secs(60);

// ── tokens ──────────────────────────────────────────────────────────────────

/// Tokens of one node: each bearer is held against all of them.
pub const TOKENS_MAX: usize = 100;
/// The file of all tokens, as far as it is read.
pub const TOKENS_FILE_BYTES_MAX: u64 = 256 * KIB as u64;
/// Audit lines in a second for calls that were turned away; without it a stranger fills the log.
pub const AUDIT_TURNED_AWAY_PER_SECOND_MAX: u32 = 20;
/// Method and path in an audit line.
pub const AUDIT_CALL_BYTES_MAX: usize = 256;
