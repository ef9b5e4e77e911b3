//! From a module and its spec to a running tree, for a deploy and for every start after it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::Applications;
use super::record::{Record, Version, tree_of};
use super::spec::{ApplicationType, Spec};
use super::supervisor;
use crate::actor::{
    Bounds, ChildSpec, Estate, Fault, NotStarted, Planting, Standing, Tree, TreeSpec,
};
use crate::id::{ActorId, ApplicationName, ChildId, Digest};
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::services::workflows::Stage;
use crate::storage::{Artifact, Left};
use crate::wasm::{self, Birth, Program, ProgramError, Setting, Snapshot, Starter};

/// A module on this node's disk.
pub struct Binary {
    pub digest: Digest,
    pub bytes: u64,
    pub path: PathBuf,
    /// Where nobody has kept it yet. Dropped, it is gone.
    pub artifact: Option<Artifact>,
}

impl From<Artifact> for Binary {
    fn from(artifact: Artifact) -> Self {
        Self {
            digest: artifact.digest,
            bytes: artifact.bytes,
            path: artifact.path().to_owned(),
            artifact: Some(artifact),
        }
    }
}

/// A version of an application, ready to start.
pub struct Prepared {
    pub program: Arc<Program>,
    pub own_tree: Option<TreeSpec>,
    setting: Arc<Setting>,
    spec: Spec,
}

/// What runs of an application. A library has no tree.
pub struct Active {
    pub tree: Option<Tree<Starter>>,
    pub program: Arc<Program>,
    /// What its workflows are carried out by.
    pub stage: Option<Box<Stage>>,
}

impl Applications {
    /// Compiles or finds a module, and all that its actors need.
    pub(super) async fn prepare(
        &self,
        spec: &Spec,
        module: &Binary,
        known_tree: Option<TreeSpec>,
    ) -> Result<Prepared, Refusal> {
        let libraries = self.libraries_of(spec)?;
        let program = self
            .wasm
            .program(module.digest, &module.path, module.bytes, &spec.limits)
            .await?;
        let mut prepared = Prepared::new(spec, program, libraries, None);
        if spec.kind == ApplicationType::Active && spec.supervisor.is_none() {
            let own_tree = match known_tree {
                Some(tree) => Some(tree),
                None => self.ask_for_tree(&prepared).await?,
            };
            let libraries = self.libraries_of(spec)?;
            prepared = Prepared::new(spec, prepared.program, libraries, own_tree);
        }
        Ok(prepared)
    }

    async fn ask_for_tree(&self, prepared: &Prepared) -> Result<Option<TreeSpec>, Refusal> {
        let starter = prepared.starter(Bytes::new());
        let actor = self.worker_id(&prepared.spec);
        let Some(tree) = starter.tree(actor).await? else {
            return Ok(None);
        };
        supervisor::of_protobuf(&tree).map(Some).map_err(|text| {
            let text = format!("the tree that get_supervisor_tree answers is refused: {text}");
            Refusal::new(Kind::Unprocessable, text)
        })
    }

    /// Starts a version with what its actors left.
    pub(super) async fn bring_up(
        &self,
        prepared: &Prepared,
        left: &[Left],
    ) -> Result<Active, Refusal> {
        let program = prepared.program.clone();
        let tree = match prepared.spec.kind {
            ApplicationType::Library => None,
            ApplicationType::Active => {
                let planting = prepared.planting(left);
                let planted = Tree::plant(&self.actors, prepared.estate(), planting).await;
                Some(planted.map_err(|error| prepared.refusal(error))?)
            }
        };
        let stage = tree.as_ref().map(|tree| Box::new(prepared.stage(tree)));
        Ok(Active {
            tree,
            program,
            stage,
        })
    }

    /// Starts what is deployed, from what its actors left when they last stopped in order.
    pub(super) async fn reactivate(&self, record: &Record) -> Result<Active, Refusal> {
        self.needs(&record.spec)?;
        let module = self.kept(record.digest, record.bytes);
        let prepared = self
            .prepare(&record.spec, &module, record.own_tree.clone())
            .await?;
        let name = record.spec.name.to_string();
        let left = self.storage.deployments.all_left(name).await?;
        self.bring_up(&prepared, &left).await
    }

    /// The actor that an application without a tree is.
    pub(super) fn worker_id(&self, spec: &Spec) -> ActorId {
        let id = ChildId::of_application(&spec.name);
        estate_of(spec).actor(&id, None, &self.actors)
    }

    /// A module that was kept.
    pub(super) fn kept(&self, digest: Digest, bytes: u64) -> Binary {
        Binary {
            digest,
            bytes,
            path: self.storage.artifacts.path(digest),
            artifact: None,
        }
    }
}

impl Prepared {
    fn new(
        spec: &Spec,
        program: Arc<Program>,
        libraries: BTreeMap<ApplicationName, Arc<Program>>,
        own_tree: Option<TreeSpec>,
    ) -> Self {
        let tree = tree_of(spec, own_tree.as_ref());
        let workers = workers(&tree).into_iter();
        let births = workers.map(|child| (child.id.clone(), birth_of(spec, child)));
        let setting = Setting {
            application: spec.name.clone(),
            limits: spec.limits,
            capabilities: spec.capabilities,
            env: spec.env.clone().into_iter().collect(),
            bounds: bounds_of(spec),
            module: program.clone(),
            libraries,
            births: births.collect(),
        };
        Self {
            program,
            own_tree,
            setting: Arc::new(setting),
            spec: spec.clone(),
        }
    }

    pub fn kind(&self) -> wasm::Kind {
        self.program.kind()
    }

    pub fn tree(&self) -> TreeSpec {
        tree_of(&self.spec, self.own_tree.as_ref())
    }

    pub fn bounds(&self) -> Bounds {
        self.setting.bounds
    }

    pub fn version(&self, module: &Binary, deployed_at: std::time::SystemTime) -> Version {
        Version {
            spec: self.spec.clone(),
            digest: module.digest,
            bytes: module.bytes,
            kind: self.kind(),
            deployed_at,
            own_tree: self.own_tree.clone(),
        }
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    fn estate(&self) -> Estate {
        estate_of(&self.spec)
    }

    fn planting(&self, left: &[Left]) -> Planting<Starter> {
        Planting {
            spec: self.tree(),
            seeds: self.seeds(left),
            bounds: self.bounds(),
        }
    }

    /// What each worker of the tree starts from.
    pub fn seeds(&self, left: &[Left]) -> HashMap<ChildId, Starter> {
        let left: HashMap<&str, &Bytes> = left.iter().map(|(actor, it)| (&**actor, it)).collect();
        let tree = self.tree();
        let seeds = workers(&tree).into_iter().map(|child| {
            let left = left.get(&*child.id).copied().cloned();
            (child.id.clone(), self.seed(&child.id, left))
        });
        seeds.collect()
    }

    /// What a worker of the tree starts from: what it left, else what it is given.
    pub fn seed(&self, id: &ChildId, left: Option<Bytes>) -> Starter {
        let birth = self.setting.births.get(id).cloned().unwrap_or_default();
        let mut starter = self.starter(birth);
        if let Some(left) = left {
            match Snapshot::decode(left) {
                Some(snapshot) => starter.birth = Birth::Resumed(snapshot),
                None => {
                    let name = &self.spec.name;
                    log::error!("what {id} of {name} left cannot be read; it starts anew");
                }
            }
        }
        starter
    }

    /// The same actor at this version, for one that was spawned.
    pub fn successor(&self, old: &Starter, left: Option<Bytes>) -> Starter {
        let own = Arc::ptr_eq(&old.program, &old.setting.module);
        let program = match own {
            true => self.program.clone(),
            false => old.program.clone(),
        };
        let snapshot = left.and_then(Snapshot::decode);
        Starter {
            program,
            birth: snapshot.map_or_else(|| old.birth.clone(), Birth::Resumed),
            afresh: old.afresh.clone(),
            run: None,
            setting: self.setting.clone(),
        }
    }

    /// What this version's workflows are carried out by, in a tree of it.
    pub fn stage(&self, tree: &Tree<Starter>) -> Stage {
        wasm::stage(tree.kin(), self.starter(Bytes::new()))
    }

    fn starter(&self, birth: Bytes) -> Starter {
        Starter {
            program: self.program.clone(),
            birth: Birth::New(birth),
            afresh: Arc::default(),
            run: None,
            setting: self.setting.clone(),
        }
    }

    /// What whoever deploys is told of a child that does not start.
    pub fn refusal(&self, error: NotStarted) -> Refusal {
        let alone = *error.child == *self.spec.name;
        match error.fault {
            Fault::Broken(text) if !alone => {
                Fault::Broken(format!("child {}: {text}", error.child)).into()
            }
            fault => fault.into(),
        }
    }
}

impl Active {
    pub fn standing(&self) -> Standing {
        match &self.tree {
            Some(tree) => tree.standing(),
            None => Standing::Running,
        }
    }
}

fn estate_of(spec: &Spec) -> Estate {
    let module = spec.spawned_of.as_ref();
    Estate {
        tenant: spec.tenant.clone(),
        namespace: spec.namespace.clone(),
        application: spec.name.clone(),
        worker_type: module.map(ChildId::of_module),
    }
}

fn workers(tree: &TreeSpec) -> Vec<&ChildSpec> {
    let children = tree.children().into_iter();
    children
        .filter(|child| child.supervisor.is_none())
        .collect()
}

/// The deploy's initial state, else the child's args as JSON, else nothing.
fn birth_of(spec: &Spec, child: &ChildSpec) -> Bytes {
    if !spec.initial_state.is_empty() || child.args.is_empty() {
        return spec.initial_state.clone();
    }
    let args = serde_json::to_vec(&child.args);
    args.expect("texts are JSON").into()
}

fn bounds_of(spec: &Spec) -> Bounds {
    Bounds {
        messages_max: spec.mailbox_messages_max,
        bytes_max: limits::MAILBOX_BYTES_MAX,
        message_bytes_max: spec.limits.message_bytes_max,
    }
}

impl From<ProgramError> for Refusal {
    fn from(error: ProgramError) -> Self {
        let kind = match error {
            ProgramError::Refused(_) => Kind::Unprocessable,
            ProgramError::NoMemory(_) => Kind::Exhausted,
            ProgramError::Disk(error) => return error.into(),
            ProgramError::Internal(_) => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken(text) => Self::new(
                Kind::Unprocessable,
                format!("the module does not start: {text}"),
            ),
            Fault::NoRoom(text) => {
                Self::new(Kind::Exhausted, format!("{text}; undeploy something first"))
            }
        }
    }
}
