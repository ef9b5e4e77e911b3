//! Deploys by gRPC: the same application as by HTTP, within its limits, and refused in the same words.

use plexspaces_node::grpc::proto::application::{
    ApplicationInfo, ApplicationSpec, ApplicationState, ApplicationStatus, ApplicationType,
    ChildSpec, DeployApplicationRequest, GetApplicationStatusRequest, HealthStatus,
    ListApplicationsRequest, StartApplicationRequest, StopApplicationRequest, SupervisorSpec,
    UndeployApplicationRequest,
};
use plexspaces_node::grpc::proto::node::ReleaseSpec;
use plexspaces_node::limits::GRPC_WASM_BYTES_MAX;
use plexspaces_node::wasm::Kind;
use serde_json::Value;
use tonic::{Code, Status};

use crate::grpc_client::{Rpc, applications, deploy_of, is_refused};
use crate::guests::{COUNTER, ECHO, guest};
use crate::harness::{Node, node};
use crate::uploads::echo_of;

/// An application as the gateway shows it, but for what differs from one deploy to the next.
fn shown(node: &Node, name: &str) -> Value {
    let mut shown = node.get(&format!("/api/v1/applications/{name}")).json();
    for key in ["deployed_at", "application_id"] {
        assert!(shown[key].take().is_string(), "{key}");
    }
    shown["metrics"]["uptime_seconds"].take();
    shown
}

fn env(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn status(rpc: &Rpc, reference: &str) -> Result<ApplicationInfo, Status> {
    let application_id = reference.to_owned();
    let answer = applications!(
        rpc,
        get_application_status(GetApplicationStatusRequest { application_id })
    );
    answer.map(|answer| answer.application.unwrap())
}

fn undeploy(rpc: &Rpc, reference: &str) -> Result<(), Status> {
    let request = UndeployApplicationRequest {
        application_id: reference.to_owned(),
        timeout: None,
    };
    let answer = applications!(rpc, undeploy_application(request));
    answer.map(|answer| assert!(answer.success && answer.error.is_none()))
}

#[test]
fn the_same_deploy_makes_the_same_application_through_either_door() {
    let (by_http, by_grpc) = (node(), node());
    let rpc = Rpc::to(&by_grpc);
    for kind in [Kind::Core, Kind::Component] {
        let wasm = guest(kind, ECHO);
        let name = format!("plain-{kind:?}").to_lowercase();
        by_http.deploy(&name, &wasm).is_deployed();
        let deployed = rpc.deploy(deploy_of(&name, &wasm)).unwrap();
        assert_eq!(deployed.application_id, format!("{name}-app"));
        assert_eq!(deployed.status(), ApplicationStatus::Running);
        assert!(deployed.success && deployed.error.is_none());
        assert_eq!(shown(&by_grpc, &name), shown(&by_http, &name));
    }
    let wasm = guest(Kind::Core, ECHO);
    let toml = "name = 'set'\nversion = '1.0.0'\ndescription = 'echoes'\ntype = 'active'\n\
                [env]\nMODE = 'fast'\nAPI_KEY = 'hush'\n";
    by_http.form("set", &wasm).config(toml).send().is_deployed();
    let config = ApplicationSpec {
        name: "set".into(),
        version: "1.0.0".into(),
        description: "echoes".into(),
        r#type: ApplicationType::Active.into(),
        env: env(&[("MODE", "fast"), ("API_KEY", "hush")]),
        ..Default::default()
    };
    let request = DeployApplicationRequest {
        config: Some(config),
        ..deploy_of("set", &wasm)
    };
    rpc.deploy(request.clone()).unwrap();
    assert_eq!(shown(&by_grpc, "set"), shown(&by_http, "set"));
    assert_eq!(by_grpc.ask("set", b"1").body_payload(), "1");
    // The same again changes nothing, whichever door it comes through.
    rpc.deploy(request).unwrap();
    by_grpc.form("set", &wasm).config(toml).send().is_deployed();
    assert_eq!(by_grpc.total_applications(), 3);
}

#[test]
fn a_module_of_exactly_five_mebibytes_passes_and_one_byte_more_is_told_of_http() {
    let node = node();
    let rpc = Rpc::to(&node);
    let mut wasm = echo_of(GRPC_WASM_BYTES_MAX as u64);
    rpc.deploy(deploy_of("large", &wasm)).unwrap();
    assert_eq!(node.ask("large", b"1").body_payload(), "1");
    wasm.push(0);
    let words = ["Message length too large", "5242880", "HTTP", "/deploy"];
    let refused = rpc.deploy(deploy_of("larger", &wasm));
    is_refused(refused, Code::ResourceExhausted, &words);
    // What does not even fit the message is refused by its announcement.
    let refused = rpc.deploy(deploy_of("largest", &vec![0; 16 << 20]));
    is_refused(refused, Code::ResourceExhausted, &words);
    node.uploads_end();
    assert_eq!(node.total_applications(), 1);
}

#[test]
fn a_refused_deploy_is_a_status_and_leaves_nothing() {
    let node = node();
    let rpc = Rpc::to(&node);
    let wasm = guest(Kind::Core, ECHO);
    let check = |request: DeployApplicationRequest, code, words: &[&str]| {
        is_refused(rpc.deploy(request), code, words);
        node.uploads_end();
        assert_eq!((node.total_applications(), node.files()), (0, vec![]));
    };
    check(
        DeployApplicationRequest::default(),
        Code::InvalidArgument,
        &["application_id, name, version, wasm_module.module_bytes"],
    );
    check(
        deploy_of("../echo", &wasm),
        Code::InvalidArgument,
        &["name", "letters"],
    );
    check(
        deploy_of("text", b"not wasm"),
        Code::InvalidArgument,
        &["\\0asm"],
    );
    let mut hashed = deploy_of("echo", &wasm);
    hashed.wasm_module.as_mut().unwrap().module_hash = "0".repeat(64);
    check(
        hashed,
        Code::InvalidArgument,
        &["module_hash does not match"],
    );
    let with = |config| DeployApplicationRequest {
        config: Some(config),
        ..deploy_of("echo", &wasm)
    };
    let other = ApplicationSpec {
        version: "2.0.0".into(),
        ..Default::default()
    };
    check(
        with(other),
        Code::InvalidArgument,
        &["version", "2.0.0", "1.0.0"],
    );
    let odd = ApplicationSpec {
        r#type: 7,
        ..Default::default()
    };
    check(with(odd), Code::InvalidArgument, &["config.type", "7"]);
}

#[test]
fn a_hash_that_matches_passes_in_either_case() {
    let node = node();
    let rpc = Rpc::to(&node);
    let wasm = guest(Kind::Core, ECHO);
    rpc.deploy(deploy_of("first", &wasm)).unwrap();
    let hash = shown(&node, "first")["module_hash"].clone();
    let hash = hash.as_str().unwrap();
    for (name, hash) in [("lower", hash.to_owned()), ("upper", hash.to_uppercase())] {
        let mut request = deploy_of(name, &wasm);
        request.wasm_module.as_mut().unwrap().module_hash = hash;
        rpc.deploy(request).unwrap();
    }
}

#[test]
fn what_a_config_may_not_say_is_refused_in_the_words_of_toml() {
    let node = node();
    let rpc = Rpc::to(&node);
    let wasm = guest(Kind::Core, ECHO);
    let said = |toml: &str| {
        let answer = node.form("echo", &wasm).config(toml).send();
        answer.json()["error"].as_str().unwrap().to_owned()
    };
    let library = ApplicationSpec {
        r#type: ApplicationType::Library.into(),
        supervisor: Some(SupervisorSpec::default()),
        ..Default::default()
    };
    let needy = ApplicationSpec {
        dependencies: vec!["no-such-application".into()],
        ..Default::default()
    };
    // A child of no name is impossible in any tree.
    let nameless = ApplicationSpec {
        supervisor: Some(SupervisorSpec {
            children: vec![ChildSpec::default()],
            ..Default::default()
        }),
        ..Default::default()
    };
    for (config, toml) in [
        (library, "type = 'library'\n[supervisor]"),
        (needy, "dependencies = ['no-such-application']"),
        (nameless, "[[supervisor.children]]"),
    ] {
        let request = DeployApplicationRequest {
            config: Some(config),
            ..deploy_of("echo", &wasm)
        };
        let status = rpc.deploy(request).unwrap_err();
        // The line and its text are TOML's alone.
        let by_toml = said(toml);
        let same = by_toml.contains(status.message())
            || status
                .message()
                .split(": ")
                .all(|part| by_toml.contains(part));
        assert!(same, "{:?}, not {by_toml:?}", status.message());
    }
}

#[test]
fn a_release_brings_environment_and_the_config_has_the_last_word() {
    let node = node();
    let rpc = Rpc::to(&node);
    let request = DeployApplicationRequest {
        config: Some(ApplicationSpec {
            env: env(&[("MODE", "fast")]),
            ..Default::default()
        }),
        release_config: Some(ReleaseSpec {
            env: env(&[("MODE", "slow"), ("REGION", "north")]),
            ..Default::default()
        }),
        ..deploy_of("echo", &guest(Kind::Core, ECHO))
    };
    rpc.deploy(request).unwrap();
    let expected = serde_json::json!({"MODE": "fast", "REGION": "north"});
    assert_eq!(shown(&node, "echo")["spec"]["env"], expected);
}

#[test]
fn applications_are_listed_by_status_and_found_by_name_or_id() {
    let node = Node::unforgiving();
    let rpc = Rpc::to(&node);
    for name in ["a", "b"] {
        rpc.deploy(deploy_of(name, &guest(Kind::Core, COUNTER)))
            .unwrap();
    }
    assert_eq!(node.wish("b", "stop").status, 200);
    let listed = |filter: Option<ApplicationStatus>| {
        let status_filter = filter.map(Into::into);
        let answer = applications!(
            rpc,
            list_applications(ListApplicationsRequest { status_filter })
        );
        let listed = answer.unwrap().applications.into_iter();
        listed.map(|it| it.name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(listed(None), "a b");
    assert_eq!(listed(Some(ApplicationStatus::Unspecified)), "a b");
    assert_eq!(listed(Some(ApplicationStatus::Running)), "a");
    assert_eq!(listed(Some(ApplicationStatus::Stopped)), "b");
    assert_eq!(listed(Some(ApplicationStatus::Failed)), "");
    let odd = ListApplicationsRequest {
        status_filter: Some(99),
    };
    let refused = applications!(rpc, list_applications(odd));
    is_refused(refused, Code::InvalidArgument, &["status_filter", "99"]);

    for reference in ["a", "a-app"] {
        let info = status(&rpc, reference).unwrap();
        assert_eq!((&*info.name, &*info.application_id), ("a", "a-app"));
        assert_eq!(info.status(), ApplicationStatus::Running);
        assert_eq!(info.metrics.unwrap().actor_count, 1);
        assert!(info.deployed_at.unwrap().seconds > 1_700_000_000);
    }
    // A name is meant before an id that reads the same.
    let mut confusing = deploy_of("a-app", &guest(Kind::Core, ECHO));
    confusing.application_id = "third".into();
    rpc.deploy(confusing).unwrap();
    assert_eq!(status(&rpc, "a-app").unwrap().name, "a-app");
    is_refused(status(&rpc, "c"), Code::NotFound, &["\"c\""]);
    is_refused(status(&rpc, ""), Code::InvalidArgument, &["application_id"]);
}

#[test]
fn an_application_is_stopped_started_and_undeployed() {
    let node = node();
    let rpc = Rpc::to(&node);
    rpc.deploy(deploy_of("echo", &guest(Kind::Core, ECHO)))
        .unwrap();
    for force in [false, true] {
        let name = "echo".to_owned();
        let request = StopApplicationRequest {
            name: name.clone(),
            force,
        };
        let stopped = applications!(rpc, stop_application(request));
        let stopped = stopped.unwrap().application.unwrap();
        assert_eq!(stopped.state(), ApplicationState::Stopped);
        assert_eq!(node.status_of("echo"), "STOPPED");
        let started = applications!(rpc, start_application(StartApplicationRequest { name }));
        let started = started.unwrap().application.unwrap();
        assert_eq!(started.state(), ApplicationState::Running);
        assert_eq!(started.health(), HealthStatus::Healthy);
        assert_eq!(node.ask("echo", b"1").body_payload(), "1");
    }
    let late = UndeployApplicationRequest {
        application_id: "echo".into(),
        timeout: Some(prost_types::Duration {
            seconds: -1,
            nanos: 0,
        }),
    };
    let refused = applications!(rpc, undeploy_application(late));
    is_refused(refused, Code::InvalidArgument, &["timeout", "600"]);
    undeploy(&rpc, "echo-app").unwrap();
    assert_eq!(node.total_applications(), 0);
    is_refused(undeploy(&rpc, "echo-app"), Code::NotFound, &["echo-app"]);
    let gone = StartApplicationRequest {
        name: "echo".into(),
    };
    let refused = applications!(rpc, start_application(gone));
    is_refused(refused, Code::NotFound, &["echo"]);
}
