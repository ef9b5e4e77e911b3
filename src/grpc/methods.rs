//! Every call that is served, in one flat table: who may make it, and what its message may weigh.

use crate::auth::Scope;
use crate::gate::Access;
use crate::limits;
use crate::refusal::{Kind, Refusal};

/// One call.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    pub service: &'static str,
    pub name: &'static str,
    pub access: Access,
    pub intake: Intake,
}

/// How a call's message comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Whole, of a few words, from whoever comes.
    Bare,
    /// Whole, with at most a payload in it.
    Small,
    /// Whole, with a module in it; it takes a deploy's turn and an upload's place.
    Module,
    /// Small ones, as long as the client has some.
    Stream,
}

pub const APPLICATION: &str = "plexspaces.application.v1.ApplicationService";
pub const WASM: &str = "plexspaces.wasm.v1.WasmRuntimeService";
pub const ACTOR: &str = "plexspaces.actor.v1.ActorService";
pub const TUPLES: &str = "plexspaces.tuplespace.v1.TuplePlexSpaceService";
pub const SYSTEM: &str = "plexspaces.system.v1.SystemService";
pub const HEALTH: &str = "grpc.health.v1.Health";
pub const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
pub const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// The services that are served, in the order in which they are listed.
pub const SERVICES: [&str; 8] = [
    APPLICATION,
    WASM,
    ACTOR,
    TUPLES,
    SYSTEM,
    HEALTH,
    REFLECTION,
    REFLECTION_ALPHA,
];

const OPEN: Access = Access::Open;
pub const READ: Access = Access::Needs(Scope::Read);
const INVOKE: Access = Access::Needs(Scope::Invoke);
pub const DEPLOY: Access = Access::Needs(Scope::Deploy);

#[rustfmt::skip]
pub const METHODS: [Method; 31] = [
    method(APPLICATION, "DeployApplication",    DEPLOY, Intake::Module),
    method(APPLICATION, "UndeployApplication",  DEPLOY, Intake::Small),
    method(APPLICATION, "ListApplications",     READ,   Intake::Small),
    method(APPLICATION, "GetApplicationStatus", READ,   Intake::Small),
    method(APPLICATION, "StartApplication",     DEPLOY, Intake::Small),
    method(APPLICATION, "StopApplication",      DEPLOY, Intake::Small),
    method(WASM,        "DeployModule",         DEPLOY, Intake::Module),
    method(WASM,        "InstantiateActor",     DEPLOY, Intake::Small),
    method(ACTOR,       "SpawnActor",           DEPLOY, Intake::Small),
    method(ACTOR,       "GetActor",             READ,   Intake::Small),
    method(ACTOR,       "ListActors",           READ,   Intake::Small),
    method(ACTOR,       "SendMessage",          INVOKE, Intake::Small),
    method(ACTOR,       "DeleteActor",          DEPLOY, Intake::Small),
    method(ACTOR,       "CheckActorExists",     READ,   Intake::Small),
    method(ACTOR,       "InvokeActor",          INVOKE, Intake::Small),
    method(TUPLES,      "Write",                INVOKE, Intake::Small),
    method(TUPLES,      "Read",                 READ,   Intake::Small),
    method(TUPLES,      "Take",                 INVOKE, Intake::Small),
    method(TUPLES,      "Count",                READ,   Intake::Small),
    method(TUPLES,      "Exists",               READ,   Intake::Small),
    method(TUPLES,      "Clear",                INVOKE, Intake::Small),
    method(TUPLES,      "GetStats",             READ,   Intake::Small),
    method(SYSTEM,      "GetSystemInfo",        READ,   Intake::Small),
    method(SYSTEM,      "GetHealth",            OPEN,   Intake::Bare),
    method(SYSTEM,      "LivenessProbe",        OPEN,   Intake::Bare),
    method(SYSTEM,      "ReadinessProbe",       OPEN,   Intake::Bare),
    method(SYSTEM,      "StartupProbe",         OPEN,   Intake::Bare),
    method(HEALTH,      "Check",                OPEN,   Intake::Bare),
    method(HEALTH,      "Watch",                OPEN,   Intake::Bare),
    method(REFLECTION,       "ServerReflectionInfo", READ, Intake::Stream),
    method(REFLECTION_ALPHA, "ServerReflectionInfo", READ, Intake::Stream),
];

const fn method(
    service: &'static str,
    name: &'static str,
    access: Access,
    intake: Intake,
) -> Method {
    Method {
        service,
        name,
        access,
        intake,
    }
}

/// The call that a request's path means.
pub fn find(path: &str) -> Option<&'static Method> {
    let (service, name) = path.strip_prefix('/')?.split_once('/')?;
    METHODS
        .iter()
        .find(|it| it.service == service && it.name == name)
}

impl Method {
    /// Whether it is answered in every phase of the node, since it asks for that.
    pub fn speaks_of_health(&self) -> bool {
        self.access == OPEN
    }
}

impl Intake {
    /// The most that one message may weigh, and the answer to one that weighs more.
    pub fn bytes_max(self) -> usize {
        match self {
            Self::Bare => limits::GRPC_BARE_BYTES_MAX,
            Self::Small => limits::MESSAGE_BYTES_MAX + limits::GRPC_ENVELOPE_BYTES_MAX,
            Self::Module => limits::GRPC_WASM_BYTES_MAX + limits::GRPC_DEPLOY_ENVELOPE_BYTES_MAX,
            Self::Stream => limits::GRPC_ENVELOPE_BYTES_MAX,
        }
    }

    pub fn too_large(self) -> Refusal {
        match self {
            Self::Module => module_too_large(),
            Self::Bare | Self::Small | Self::Stream => {
                let max = self.bytes_max();
                let text = format!("Message length too large: this call takes at most {max} bytes");
                Refusal::new(Kind::TooLarge, text)
            }
        }
    }
}

/// The answer to a module that only HTTP takes.
pub fn module_too_large() -> Refusal {
    let text = format!(
        "Message length too large: gRPC takes a module of at most {} bytes (5 MiB); deploy this one by HTTP, \
         POST /api/v1/applications/deploy on the next port, which takes 100 MiB",
        limits::GRPC_WASM_BYTES_MAX
    );
    Refusal::new(Kind::TooLarge, text)
}

/// The answer to a call that is not served.
pub fn not_served(path: &str) -> Refusal {
    let shown: String = path.chars().take(160).collect();
    let text =
        format!("this node does not serve {shown}; docs/grpc.md lists the calls that it serves");
    Refusal::new(Kind::MethodNotAllowed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_method() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(find(path).map(|method| method.name), expected, "{path}");
        };
        check("/grpc.health.v1.Health/Check", Some("Check"));
        check(
            "/plexspaces.system.v1.SystemService/GetHealth",
            Some("GetHealth"),
        );
        check("/plexspaces.system.v1.SystemService/Shutdown", None);
        check("/grpc.health.v1.Health/Check/", None);
        check("//Check", None);
        check("/health", None);
    }

    /// Reads `docs/grpc.md`, so that it stays true.
    #[test]
    fn the_page_of_calls_lists_what_is_served() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/grpc.md");
        let page = std::fs::read_to_string(page).unwrap();
        let listed = page.lines().filter(|line| line.starts_with("| `"));
        let listed: Vec<&str> = listed.collect();
        let served = METHODS.iter().map(|method| {
            let scope = match method.access {
                Access::Open => "none",
                Access::Needs(scope) => scope.name(),
            };
            let (service, name, max) = (method.service, method.name, method.intake.bytes_max());
            format!("| `{service}` | `{name}` | {scope} | {max} |")
        });
        let served: Vec<String> = served.collect();
        assert_eq!(listed, served);
        let modules = limits::MODULES_MAX;
        for figure in [
            format!("A node keeps {modules};"),
            format!("at most {} clients watch", limits::HEALTH_WATCHERS_MAX),
            format!("at most {} s)", limits::TREE_STOP_MAX.as_secs()),
            format!("at most {} s).", limits::ASK_TIME_MAX.as_secs()),
            format!(
                "the message may hold {} MiB",
                limits::GRPC_DEPLOY_ENVELOPE_BYTES_MAX / limits::MIB
            ),
        ] {
            assert!(page.contains(&figure), "{figure:?} is not in docs/grpc.md");
        }
    }

    #[test]
    fn every_method_is_in_the_wire_contract() {
        use prost::Message;
        let set = prost_types::FileDescriptorSet::decode(super::super::proto::DESCRIPTORS).unwrap();
        let health = prost_types::FileDescriptorSet::decode(tonic_health::pb::FILE_DESCRIPTOR_SET);
        let files = set.file.into_iter().chain(health.unwrap().file);
        let calls: Vec<String> = files
            .flat_map(|file| {
                let package = file.package().to_owned();
                file.service.into_iter().flat_map(move |service| {
                    let service_name = format!("{package}.{}", service.name());
                    let calls = service.method.into_iter();
                    calls.map(move |call| format!("{service_name}/{}", call.name()))
                })
            })
            .collect();
        let reflection = [REFLECTION, REFLECTION_ALPHA];
        for method in METHODS
            .iter()
            .filter(|it| !reflection.contains(&it.service))
        {
            let call = format!("{}/{}", method.service, method.name);
            assert!(calls.contains(&call), "{call}");
        }
    }
}
