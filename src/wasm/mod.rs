//! What actors are made of: an uploaded artifact becomes a program, and a program starts instances.

mod cache;
mod called;
mod callee;
mod capabilities;
mod command;
pub mod compile;
mod component;
mod core_abi;
mod engine;
mod exchange;
mod exports;
mod fault;
mod host;
mod instance;
mod last_words;
mod linkers;
mod program;
mod replay;
mod room;
mod scan;
mod sight;
mod slices;
mod snapshot;
mod spelling;
mod stage;
mod starter;
mod ticker;
mod wasi;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::config::Profile;
use crate::id::Digest;
use crate::limits;
use crate::metrics::Compile;
use crate::services::Services;
use crate::storage::StorageError;
use cache::{Cache, Code};
use compile::CompileError;
use engine::{Class, Rung};
use linkers::Linkers;
use scan::Encoding;
use slices::Slices;
use ticker::Ticker;

pub use capabilities::Capabilities;
pub use program::Program;
pub use snapshot::Snapshot;
pub use stage::stage;
pub use starter::{Birth, Life, Setting, Starter};

/// What a module is to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Component,
    Core,
    /// Either of them, with a `main` that is run for each message.
    Command,
}

/// What one guest may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GuestLimits {
    pub memory_bytes_max: u64,
    pub execution_time_max: Duration,
    pub table_elements_max: usize,
    pub message_bytes_max: usize,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: limits::GUEST_MEMORY_BYTES_DEFAULT,
            execution_time_max: limits::GUEST_TIME_DEFAULT,
            table_elements_max: limits::GUEST_TABLE_ELEMENTS_DEFAULT,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
        }
    }
}

/// Why a module cannot become a program; the texts are for its author.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("the module is refused: {0}")]
    Refused(String),
    #[error("{0}")]
    NoMemory(String),
    #[error(transparent)]
    Disk(#[from] StorageError),
    #[error("{0}")]
    Internal(String),
}

/// The machine cannot run WebAssembly at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the WebAssembly engine: {0}")]
pub struct EngineError(String);

/// What an onlooker sees of one size class.
#[derive(Clone, Debug)]
pub struct Pool {
    pub class: &'static str,
    /// In words, such as `1000 small slots of 64 MiB`.
    pub rung: String,
    /// `None` where memory is taken on demand.
    pub slots: Option<u32>,
    /// Slots that hold a guest's memory; unknown on demand.
    pub memories: Option<usize>,
    /// Stacks in use, one for each guest that is being called; unknown on demand.
    pub stacks: Option<usize>,
}

/// The engines, the compiler and its cache.
#[derive(Clone)]
pub struct Wasm(Arc<Inner>);

struct Inner {
    engines: HashMap<Class, Engine>,
    linkers: HashMap<Class, Linkers>,
    rungs: HashMap<Class, Rung>,
    cache: Cache,
    slices: Slices,
    services: Services,
    /// One compilation at a time: a second compiler would only fight the first for memory.
    compiler: Semaphore,
    programs: Mutex<HashMap<String, Weak<Program>>>,
}

impl Wasm {
    pub fn new(services: Services, profile: Profile, actors_max: u32) -> Result<Self, EngineError> {
        let (mut engines, mut rungs) = (HashMap::new(), HashMap::new());
        for class in Class::ALL {
            let (engine, rung) = class
                .engine(class.slots_max(profile, actors_max))
                .map_err(|error| EngineError(format!("{error:#}")))?;
            log::info!("guests lie in {rung}");
            engines.insert(class, engine);
            rungs.insert(class, rung);
        }
        let linkers = |(class, engine): (&Class, &Engine)| {
            let slots = rungs[class].slots;
            (*class, Linkers::new(engine.clone(), slots))
        };
        let linkers = engines.iter().map(linkers).collect();
        let ticker = Ticker::start(engines.values().cloned().collect());
        let ticker = ticker.map_err(|error| EngineError(error.to_string()))?;
        Ok(Self(Arc::new(Inner {
            engines,
            linkers,
            rungs,
            cache: Cache::new(&services.storage),
            slices: Slices::new(ticker),
            services,
            compiler: Semaphore::new(1),
            programs: Mutex::default(),
        })))
    }

    /// The program of a module: the one in use, else from the cache, else compiled. `wasm` is read only to compile.
    pub async fn program(
        &self,
        digest: Digest,
        wasm: &Path,
        wasm_bytes: u64,
        limits: &GuestLimits,
    ) -> Result<Arc<Program>, ProgramError> {
        let head = self
            .0
            .cache
            .head(wasm)
            .await
            .map_err(StorageError::io("reading the module"))?;
        let encoding = scan::encoding_of(&head).map_err(ProgramError::Refused)?;
        if let Some(program) = self.ready(digest, encoding, limits).await? {
            return Ok(program);
        }
        let _alone = self
            .0
            .compiler
            .acquire()
            .await
            .expect("the semaphore is never closed");
        // Whoever compiled before us may have compiled the same bytes.
        if let Some(program) = self.ready(digest, encoding, limits).await? {
            return Ok(program);
        }
        self.compile(digest, wasm, wasm_bytes, limits).await?;
        let program = self.ready(digest, encoding, limits).await?;
        program.ok_or_else(|| {
            ProgramError::Internal(
                "compiled code did not survive on the disk; send it again".into(),
            )
        })
    }

    /// Whether a module was compiled before, as far as the names of what is kept tell.
    pub async fn is_compiled(&self, digest: Digest, limits: &GuestLimits) -> bool {
        let names = self.serving(limits);
        let names = names.map(|class| code_name(digest, class, &self.0.engines[&class]));
        self.0.cache.has_any(names.collect()).await
    }

    /// Forgets the compiled code of a module that turned out to be of no use.
    pub fn forget(&self, digest: Digest) {
        for (&class, engine) in &self.0.engines {
            self.0.cache.discard(&code_name(digest, class, engine));
        }
    }

    /// What its guests may ask of the node.
    pub fn services(&self) -> &Services {
        &self.0.services
    }

    /// Where guests lie: the pool of each size class.
    pub fn pools(&self) -> Vec<Pool> {
        let pool = |class: &Class| {
            let rung = &self.0.rungs[class];
            let used = self.0.engines[class].pooling_allocator_metrics();
            Pool {
                class: class.name(),
                rung: rung.to_string(),
                slots: rung.slots,
                memories: used.as_ref().map(|used| used.memories()),
                stacks: used.as_ref().map(|used| used.stacks()),
            }
        };
        Class::ALL.iter().map(pool).collect()
    }

    /// The classes whose code serves this limit: that for large slots serves any, that for small ones the small.
    fn serving(&self, limits: &GuestLimits) -> impl Iterator<Item = Class> + Send + use<> {
        let bytes = limits.memory_bytes_max;
        let serves = move |class: &Class| bytes <= class.slot_bytes();
        Class::ALL.into_iter().filter(serves)
    }

    /// A program that needs no compiling.
    async fn ready(
        &self,
        digest: Digest,
        encoding: Encoding,
        limits: &GuestLimits,
    ) -> Result<Option<Arc<Program>>, ProgramError> {
        for class in self.serving(limits) {
            let engine = &self.0.engines[&class];
            let name = code_name(digest, class, engine);
            if let Some(program) = self.in_use(&name) {
                return Ok(Some(program));
            }
            let code = self.0.cache.load(engine, encoding, &name).await;
            if let Some(code) = code.map_err(ProgramError::Refused)? {
                let program = Arc::new(self.link(class, code).map_err(ProgramError::Refused)?);
                self.0
                    .programs
                    .lock()
                    .unwrap()
                    .insert(name, Arc::downgrade(&program));
                return Ok(Some(program));
            }
        }
        Ok(None)
    }

    fn in_use(&self, name: &str) -> Option<Arc<Program>> {
        let mut programs = self.0.programs.lock().unwrap();
        programs.retain(|_, program| program.strong_count() > 0);
        programs.get(name)?.upgrade()
    }

    fn link(&self, class: Class, code: Code) -> Result<Program, String> {
        let linkers = &self.0.linkers[&class];
        let (slices, services) = (self.0.slices.clone(), self.0.services.clone());
        match code {
            Code::Component(component) => Program::component(linkers, &component, slices, services),
            Code::Core(module) => Program::core(linkers, &module, slices, services),
        }
    }

    async fn compile(
        &self,
        digest: Digest,
        wasm: &Path,
        wasm_bytes: u64,
        limits: &GuestLimits,
    ) -> Result<(), ProgramError> {
        let cache = &self.0.cache;
        let draft_name = digest.to_string();
        let draft = cache.draft(&draft_name);
        let started = self.0.services.actors.clock().now();
        let compiled = compile::compile(wasm, wasm_bytes, limits.memory_bytes_max, &draft).await;
        self.count(&compiled, started.elapsed());
        let report = compiled.map_err(|error| {
            cache.discard_draft(&draft_name);
            match error {
                CompileError::Refused(text) => ProgramError::Refused(text),
                CompileError::NoMemory { .. } => ProgramError::NoMemory(error.to_string()),
                CompileError::Disk(error) => {
                    StorageError::io("writing compiled code")(error).into()
                }
                CompileError::Spawn(_) => ProgramError::Internal(error.to_string()),
            }
        })?;
        let name = code_name(digest, report.class, &self.0.engines[&report.class]);
        cache.seal(&draft_name, &name).await.map_err(|error| {
            cache.discard_draft(&draft_name);
            cache.discard(&name);
            StorageError::io("keeping compiled code")(error)
        })?;
        log::info!(
            "module {digest} compiled in {:?} for {} slots",
            started.elapsed(),
            report.class
        );
        Ok(())
    }

    fn count<T>(&self, compiled: &Result<T, CompileError>, took: Duration) {
        let metrics = self.0.services.actors.metrics();
        metrics.compile_time.observe(took.as_secs_f64());
        metrics.compiles.count(match compiled {
            Ok(_) => Compile::Compiled,
            Err(CompileError::Refused(_)) => Compile::Refused,
            Err(CompileError::NoMemory { .. }) => Compile::NoMemory,
            Err(CompileError::Disk(_)) => Compile::Disk,
            Err(CompileError::Spawn(_)) => Compile::Internal,
        });
    }
}

fn code_name(digest: Digest, class: Class, engine: &Engine) -> String {
    format!("{digest}.{}", class.compatibility(engine))
}
