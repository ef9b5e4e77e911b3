//! Actors by gRPC: modules that are kept, actors that are spawned of them, and messages.

use plexspaces_node::grpc::proto::actor::{
    Actor, ActorConfig, ActorState, CheckActorExistsRequest, DeleteActorRequest, GetActorRequest,
    InvokeActorRequest, InvokeActorResponse, ListActorsRequest, Message, SendMessageRequest,
    SendMessageResponse, SpawnActorRequest,
};
use plexspaces_node::grpc::proto::application::DeployApplicationRequest;
use plexspaces_node::grpc::proto::common::PageRequest;
use plexspaces_node::grpc::proto::wasm::{
    DeployWasmModuleRequest, InstantiateActorRequest, ResourceLimits, WasmCapabilities, WasmConfig,
    WasmModule,
};
use plexspaces_node::wasm::Kind;
use tonic::{Code, Status};

use crate::grpc_client::{Rpc, actors, deploy_of, is_refused, modules};
use crate::guests::{COUNTER, ECHO, RASCAL, WITNESS, guest};
use crate::harness::{Node, node};

pub fn keep(rpc: &Rpc, name: &str, version: &str, wasm: &[u8]) -> Result<String, Status> {
    let module = WasmModule {
        name: name.into(),
        version: version.into(),
        module_bytes: wasm.to_vec().into(),
        ..Default::default()
    };
    let request = DeployWasmModuleRequest {
        module: Some(module),
        ..Default::default()
    };
    let answer = modules!(rpc, deploy_module(request));
    answer.map(|answer| answer.module_hash)
}

pub fn instantiate(rpc: &Rpc, module_ref: &str, actor_id: &str) -> Result<String, Status> {
    let request = InstantiateActorRequest {
        module_ref: module_ref.into(),
        actor_id: actor_id.into(),
        ..Default::default()
    };
    let answer = modules!(rpc, instantiate_actor(request));
    answer.map(|answer| answer.actor_id)
}

fn actor(rpc: &Rpc, actor_id: &str) -> Result<Actor, Status> {
    let actor_id = actor_id.to_owned();
    let answer = actors!(rpc, get_actor(GetActorRequest { actor_id }));
    answer.map(|answer| answer.actor.unwrap())
}

fn exists(rpc: &Rpc, actor_id: &str) -> (bool, bool) {
    let actor_id = actor_id.to_owned();
    let answer = actors!(
        rpc,
        check_actor_exists(CheckActorExistsRequest { actor_id })
    );
    let answer = answer.unwrap();
    (answer.exists, answer.is_active)
}

fn delete(rpc: &Rpc, actor_id: &str) -> Result<(), Status> {
    let request = DeleteActorRequest {
        actor_id: actor_id.into(),
        force: false,
    };
    actors!(rpc, delete_actor(request)).map(drop)
}

fn message(to: &str, payload: &[u8]) -> Message {
    Message {
        receiver_id: to.into(),
        payload: payload.to_vec().into(),
        ..Default::default()
    }
}

fn send(rpc: &Rpc, message: Message, wait: bool) -> Result<SendMessageResponse, Status> {
    let request = SendMessageRequest {
        message: Some(message),
        wait_for_response: wait,
        timeout: None,
    };
    actors!(rpc, send_message(request))
}

fn ask(rpc: &Rpc, to: &str, payload: &[u8]) -> Result<Vec<u8>, Status> {
    let answer = send(rpc, message(to, payload), true)?;
    Ok(answer.response.unwrap().payload.to_vec())
}

fn invoke(
    rpc: &Rpc,
    name: &str,
    request: InvokeActorRequest,
) -> Result<InvokeActorResponse, Status> {
    let request = InvokeActorRequest {
        namespace: name.into(),
        actor_type: name.into(),
        ..request
    };
    actors!(rpc, invoke_actor(request))
}

fn listed(rpc: &Rpc, request: ListActorsRequest) -> Vec<String> {
    let answer = actors!(rpc, list_actors(request)).unwrap();
    answer.actors.into_iter().map(|it| it.actor_id).collect()
}

#[test]
fn a_module_is_kept_and_actors_are_spawned_of_it_over_restarts() {
    let node = node();
    let rpc = Rpc::to(&node);
    let wasm = guest(Kind::Core, COUNTER);
    let hash = keep(&rpc, "counter", "1.2.0", &wasm).unwrap();
    assert_eq!(keep(&rpc, "counter", "1.2.0", &wasm).unwrap(), hash);
    assert_eq!(node.total_applications(), 0);
    assert_eq!(
        instantiate(&rpc, &hash, "by-hash").unwrap(),
        "by-hash@test-node"
    );
    let by_name = instantiate(&rpc, "counter@1.2.0", "by-name@test-node").unwrap();
    assert_eq!(by_name, "by-name@test-node");
    assert_eq!(ask(&rpc, "by-hash", b"").unwrap(), b"1");
    assert_eq!(ask(&rpc, "by-name@test-node", b"").unwrap(), b"1");
    assert_eq!(actor(&rpc, "by-name").unwrap().actor_type, "counter");
    // The same again is the same actor.
    instantiate(&rpc, "counter@1.2.0", "by-name").unwrap();
    assert_eq!(ask(&rpc, "by-name", b"").unwrap(), b"2");
    delete(&rpc, "by-name").unwrap();
    assert_eq!(exists(&rpc, "by-name"), (false, false));

    let node = Node::again(node.kill());
    let rpc = Rpc::to(&node);
    assert_eq!(ask(&rpc, "by-hash", b"").unwrap(), b"1");
    is_refused(ask(&rpc, "by-name", b""), Code::NotFound, &["by-name"]);
    instantiate(&rpc, "counter@1.2.0", "third").unwrap();
    delete(&rpc, "third").unwrap();
    delete(&rpc, "by-hash").unwrap();
    // Nobody runs it, and it is kept all the same.
    instantiate(&rpc, &hash, "fourth").unwrap();
}

#[test]
fn what_was_kept_under_a_version_can_be_replaced() {
    let node = node();
    let rpc = Rpc::to(&node);
    let first = keep(&rpc, "m", "1", &guest(Kind::Core, COUNTER)).unwrap();
    let second = keep(&rpc, "m", "1", &guest(Kind::Core, ECHO)).unwrap();
    is_refused(instantiate(&rpc, &first, "old"), Code::NotFound, &[&first]);
    instantiate(&rpc, "m@1", "new").unwrap();
    assert_eq!(ask(&rpc, "new", b"hello").unwrap(), b"hello");
    assert!(
        !node
            .files()
            .iter()
            .any(|it| it.ends_with(format!("{first}.wasm")))
    );
    // An application's module is known by its hash too, and outlives what was kept.
    node.deploy("counter", &guest(Kind::Core, COUNTER))
        .is_deployed();
    instantiate(&rpc, &first, "old").unwrap();
    assert_eq!(node.undeploy("counter").status, 200);
    assert_eq!(ask(&rpc, "old", b"").unwrap(), b"1");
    assert_ne!(first, second);
}

#[test]
fn a_refused_module_or_actor_leaves_nothing() {
    let node = node();
    let rpc = Rpc::to(&node);
    let refused = keep(&rpc, "m", "1", b"not wasm");
    is_refused(refused, Code::InvalidArgument, &["\\0asm"]);
    let refused = keep(&rpc, "../m", "1", &guest(Kind::Core, ECHO));
    is_refused(refused, Code::InvalidArgument, &["module name"]);
    let refused = keep(&rpc, "", "", b"");
    is_refused(
        refused,
        Code::InvalidArgument,
        &["module.name, module.version, module.module_bytes"],
    );
    let ahead = DeployWasmModuleRequest {
        target_node_tags: vec!["gpu".into()],
        ..Default::default()
    };
    let refused = modules!(rpc, deploy_module(ahead));
    is_refused(refused, Code::InvalidArgument, &["target_node_tags"]);
    node.uploads_end();
    assert_eq!(node.files(), Vec::<std::path::PathBuf>::new());

    keep(&rpc, "m", "1", &guest(Kind::Core, ECHO)).unwrap();
    let check = |request: InstantiateActorRequest, code, words: &[&str]| {
        let request = InstantiateActorRequest {
            module_ref: if request.module_ref.is_empty() {
                "m@1".into()
            } else {
                request.module_ref
            },
            ..request
        };
        is_refused(modules!(rpc, instantiate_actor(request)), code, words);
        assert_eq!(node.total_applications(), 0);
    };
    let named = |actor_id: &str| InstantiateActorRequest {
        actor_id: actor_id.into(),
        ..Default::default()
    };
    check(named(""), Code::InvalidArgument, &["actor_id"]);
    check(
        named("a@elsewhere"),
        Code::InvalidArgument,
        &["another node"],
    );
    check(named("app/child"), Code::InvalidArgument, &["child"]);
    check(named("-a"), Code::InvalidArgument, &["letters"]);
    let unknown = InstantiateActorRequest {
        module_ref: "m@2".into(),
        ..named("a")
    };
    check(unknown, Code::NotFound, &["m@2", "DeployModule"]);
    let away = InstantiateActorRequest {
        target_node_id: "elsewhere".into(),
        ..named("a")
    };
    check(away, Code::InvalidArgument, &["target_node_id"]);
    let limited = |limits| InstantiateActorRequest {
        config: Some(WasmConfig {
            limits: Some(limits),
            ..Default::default()
        }),
        ..named("a")
    };
    let fuelled = ResourceLimits {
        max_fuel: 1,
        ..Default::default()
    };
    check(limited(fuelled), Code::InvalidArgument, &["max_fuel"]);
    let huge = ResourceLimits {
        max_memory_bytes: u64::MAX,
        ..Default::default()
    };
    check(limited(huge), Code::InvalidArgument, &["max_memory_bytes"]);
    let networked = InstantiateActorRequest {
        config: Some(WasmConfig {
            capabilities: Some(WasmCapabilities {
                allow_network: true,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..named("a")
    };
    check(networked, Code::InvalidArgument, &["allow_network"]);
}

#[test]
fn an_actor_is_spawned_by_its_modules_name() {
    let node = node();
    let rpc = Rpc::to(&node);
    keep(&rpc, "echo", "1.0.0", &guest(Kind::Component, ECHO)).unwrap();
    let spawn = |request: SpawnActorRequest| {
        let request = SpawnActorRequest {
            actor_type: "echo".into(),
            ..request
        };
        actors!(rpc, spawn_actor(request))
    };
    let spawned = spawn(SpawnActorRequest::default()).unwrap();
    assert_eq!(spawned.actor_ref, "echo-1@test-node");
    let shown = spawned.actor.unwrap();
    assert_eq!(
        (&*shown.actor_type, shown.state()),
        ("echo", ActorState::Active)
    );
    assert_eq!(shown.node_id, "test-node");
    let second = spawn(SpawnActorRequest::default()).unwrap();
    assert_eq!(second.actor_ref, "echo-2@test-node");
    let small = ActorConfig {
        max_mailbox_size: 3,
        ..Default::default()
    };
    let third = SpawnActorRequest {
        actor_id: "small".into(),
        config: Some(small),
        ..Default::default()
    };
    spawn(third).unwrap();
    let limits = node.get("/api/v1/applications/small").json()["spec"]["limits"].clone();
    assert_eq!(limits["max_mailbox"], 3);
    let persistent = SpawnActorRequest {
        config: Some(ActorConfig {
            enable_persistence: true,
            ..Default::default()
        }),
        ..Default::default()
    };
    is_refused(spawn(persistent), Code::InvalidArgument, &["config"]);

    let all = ["echo-1@test-node", "echo-2@test-node", "small@test-node"];
    assert_eq!(listed(&rpc, ListActorsRequest::default()), all);
    let page = |offset, limit| ListActorsRequest {
        page_request: Some(PageRequest {
            offset,
            limit,
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(listed(&rpc, page(1, 1)), all[1..2]);
    let elsewhere = ListActorsRequest {
        node_id: "elsewhere".into(),
        ..Default::default()
    };
    assert_eq!(listed(&rpc, elsewhere), Vec::<String>::new());
    let failed = ListActorsRequest {
        state: ActorState::Failed.into(),
        ..Default::default()
    };
    assert_eq!(listed(&rpc, failed), Vec::<String>::new());
    is_refused(
        actors!(rpc, list_actors(page(-1, 0))),
        Code::InvalidArgument,
        &["offset"],
    );
}

/// Answers with what its `init` got.
const MINDFUL: &str = r#"(module
    (memory (export "memory") 2)
    (global $length (mut i32) (i32.const 0))
    (func (export "alloc") (param i32) (result i32) (i32.const 1024))
    (func (export "init") (param i32 i32) (result i32)
        (memory.copy (i32.const 65536) (local.get 0) (local.get 1))
        (global.set $length (local.get 1))
        (i32.const 0))
    (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64)
        (i64.or
            (i64.shl (i64.extend_i32_u (global.get $length)) (i64.const 32))
            (i64.const 65536))))"#;

#[test]
fn an_actor_begins_with_its_initial_state() {
    let node = node();
    let rpc = Rpc::to(&node);
    let wasm = wat::parse_str(MINDFUL).unwrap();
    let deploy = DeployApplicationRequest {
        initial_state: (&b"deployed"[..]).into(),
        ..deploy_of("mindful", &wasm)
    };
    rpc.deploy(deploy).unwrap();
    assert_eq!(ask(&rpc, "mindful", b"").unwrap(), b"deployed");
    keep(&rpc, "mindful", "1", &wasm).unwrap();
    let request = InstantiateActorRequest {
        module_ref: "mindful@1".into(),
        actor_id: "a".into(),
        initial_state: (&b"instantiated"[..]).into(),
        ..Default::default()
    };
    modules!(rpc, instantiate_actor(request)).unwrap();
    assert_eq!(ask(&rpc, "a", b"").unwrap(), b"instantiated");
    let request = SpawnActorRequest {
        actor_type: "mindful".into(),
        initial_state: (&b"spawned"[..]).into(),
        ..Default::default()
    };
    let spawned = actors!(rpc, spawn_actor(request)).unwrap();
    assert_eq!(ask(&rpc, &spawned.actor_ref, b"").unwrap(), b"spawned");
    // Over a restart too.
    let node = Node::again(node.kill());
    assert_eq!(ask(&Rpc::to(&node), "a", b"").unwrap(), b"instantiated");
}

#[test]
fn messages_are_told_and_asked_in_the_doors_name() {
    let node = node();
    let rpc = Rpc::to(&node);
    rpc.deploy(deploy_of("witness", &guest(Kind::Core, WITNESS)))
        .unwrap();
    let asked = send(&rpc, message("witness", b""), true).unwrap();
    let response = asked.response.unwrap();
    assert_eq!(&*response.payload, b"grpc@test-node call");
    assert_eq!(response.sender_id, "witness@test-node");
    assert_eq!(response.receiver_id, "grpc@test-node");
    assert!(asked.message_id.starts_with("m-"));
    // A sender cannot be made up.
    let forged = Message {
        sender_id: "orders@test-node".into(),
        message_type: "note".into(),
        ..message("witness@test-node", b"")
    };
    let answer = send(&rpc, forged, true).unwrap().response.unwrap();
    assert_eq!(&*answer.payload, b"grpc@test-node note");

    rpc.deploy(deploy_of("counter", &guest(Kind::Core, COUNTER)))
        .unwrap();
    let told = send(&rpc, message("counter", b""), false).unwrap();
    assert!(told.response.is_none() && !told.message_id.is_empty());
    assert_eq!(ask(&rpc, "counter", b"").unwrap(), b"2");
}

#[test]
fn a_message_that_fails_is_a_status() {
    let node = node();
    let rpc = Rpc::to(&node);
    rpc.deploy(deploy_of("rascal", &guest(Kind::Core, RASCAL)))
        .unwrap();
    is_refused(ask(&rpc, "nobody", b""), Code::NotFound, &["nobody"]);
    is_refused(ask(&rpc, "", b""), Code::InvalidArgument, &["receiver_id"]);
    is_refused(
        ask(&rpc, "rascal", b"trap"),
        Code::Aborted,
        &["unreachable"],
    );
    let big = vec![b'x'; (1 << 20) + 1];
    is_refused(
        ask(&rpc, "rascal", &big),
        Code::ResourceExhausted,
        &["Payload too large"],
    );
    let bigger = vec![b'x'; 2 << 20];
    is_refused(
        ask(&rpc, "rascal", &bigger),
        Code::ResourceExhausted,
        &["Message length too large"],
    );
    assert_eq!(ask(&rpc, "rascal", &big[1..]).unwrap().len(), 1 << 20);
    let hurried = SendMessageRequest {
        message: Some(message("rascal", b"spin")),
        wait_for_response: true,
        timeout: Some(prost_types::Duration {
            seconds: 0,
            nanos: 1_000_000,
        }),
    };
    is_refused(
        actors!(rpc, send_message(hurried)),
        Code::DeadlineExceeded,
        &["rascal", "give it longer with timeout, or"],
    );
    let urgent = Message {
        priority: 9,
        ..message("rascal", b"")
    };
    is_refused(
        send(&rpc, urgent, true),
        Code::InvalidArgument,
        &["priority"],
    );
    let typed = Message {
        message_type: "x".repeat(129),
        ..message("rascal", b"")
    };
    is_refused(
        send(&rpc, typed, true),
        Code::InvalidArgument,
        &["message.message_type has 1 to 128"],
    );
}

#[test]
fn an_invoke_is_read_as_http_reads_it() {
    let node = node();
    let rpc = Rpc::to(&node);
    for (name, body) in [("echo", ECHO), ("witness", WITNESS)] {
        rpc.deploy(deploy_of(name, &guest(Kind::Core, body)))
            .unwrap();
    }
    let pairs = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    };
    let posted = InvokeActorRequest {
        payload: (&b"hello"[..]).into(),
        ..Default::default()
    };
    let answer = invoke(&rpc, "echo", posted.clone()).unwrap();
    assert!(answer.success && answer.error_message.is_empty());
    assert_eq!(
        (&*answer.payload, &*answer.actor_id),
        (&b"hello"[..], "echo@test-node")
    );
    let queried = InvokeActorRequest {
        http_method: "GET".into(),
        query_params: pairs(&[("a", "1"), ("b", "two words")]),
        payload: (&b"not looked at"[..]).into(),
        ..Default::default()
    };
    let answer = invoke(&rpc, "echo", queried).unwrap();
    assert_eq!(&*answer.payload, br#"{"a":"1","b":"two words"}"#);
    let typed = InvokeActorRequest {
        headers: pairs(&[("X-Message-Type", "note")]),
        ..Default::default()
    };
    assert_eq!(
        &*invoke(&rpc, "witness", typed).unwrap().payload,
        b"grpc@test-node note"
    );
    let typed = InvokeActorRequest {
        query_params: pairs(&[("type", "memo")]),
        ..Default::default()
    };
    assert_eq!(
        &*invoke(&rpc, "witness", typed).unwrap().payload,
        b"grpc@test-node memo"
    );
    let told = InvokeActorRequest {
        headers: pairs(&[("Prefer", "respond-async")]),
        ..Default::default()
    };
    let answer = invoke(&rpc, "echo", told).unwrap();
    assert!(answer.payload.is_empty() && answer.headers["x-message-id"].starts_with("m-"));

    let check = |request: InvokeActorRequest, word: &str| {
        is_refused(
            invoke(&rpc, "echo", request),
            Code::InvalidArgument,
            &[word],
        );
    };
    let by = |method: &str| InvokeActorRequest {
        http_method: method.into(),
        ..Default::default()
    };
    check(by("PATCH"), "http_method");
    let slow = InvokeActorRequest {
        headers: pairs(&[("X-Timeout-Ms", "soon")]),
        ..Default::default()
    };
    check(
        slow,
        r#"headers["X-Timeout-Ms"] (or query_params["timeout_ms"]) is a number"#,
    );
    let typed = InvokeActorRequest {
        query_params: pairs(&[("type", "")]),
        ..Default::default()
    };
    check(
        typed,
        r#"headers["X-Message-Type"] (or query_params["type"]) has 1 to 128"#,
    );
    let odd = InvokeActorRequest {
        headers: pairs(&[("not a name", "1")]),
        ..Default::default()
    };
    check(odd, "headers");
    let refused = invoke(&rpc, "nobody", InvokeActorRequest::default());
    is_refused(refused, Code::NotFound, &["nobody"]);
    // Another tenant has no such actor.
    let other = Rpc::to(&node).with("x-tenant-id", "acme");
    is_refused(invoke(&other, "echo", posted), Code::NotFound, &["echo"]);
}

#[test]
fn an_actor_of_an_application_stays_away_until_that_is_started() {
    let node = node();
    let rpc = Rpc::to(&node);
    rpc.deploy(deploy_of("echo", &guest(Kind::Core, ECHO)))
        .unwrap();
    assert_eq!(exists(&rpc, "echo"), (true, true));
    delete(&rpc, "echo@test-node").unwrap();
    assert_eq!(exists(&rpc, "echo"), (true, false));
    assert_eq!(actor(&rpc, "echo").unwrap().state(), ActorState::Terminated);
    for wait in [true, false] {
        let words = ["echo@test-node is stopped", "echo:start starts it"];
        is_refused(
            send(&rpc, message("echo", b"x"), wait),
            Code::NotFound,
            &words,
        );
    }
    assert_eq!(node.wish("echo", "start").status, 200);
    assert_eq!(exists(&rpc, "echo"), (true, true));
    is_refused(delete(&rpc, "nobody"), Code::NotFound, &["nobody"]);
    is_refused(actor(&rpc, "nobody"), Code::NotFound, &["nobody"]);
}
