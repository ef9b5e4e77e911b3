//! The component spelling: functions found by name and chosen by type, called with WIT's own types.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, Instance, InstancePre, Lift, Linker, TypedFunc,
};
use wasmtime::{AsContextMut, Engine, Store};

use super::called::{Arguments, Called, GuestError};
use super::exports::{self, Chosen, HANDLERS, HOOKS, Handler, Handlers, Hook, Hooks, INIT};
use super::host::bindings::types::{ActorError, ErrorCode};
use super::host::{self, Guest};
use super::linkers::Linkers;
use super::spelling;

/// Interfaces whose exported instances are searched after the world itself.
const OWN_PACKAGE: &str = "plexspaces:actor/";

/// A component with its imports resolved and its exports chosen.
pub struct Linked {
    instance: InstancePre<Guest>,
    handlers: Handlers<Export>,
    hooks: Hooks<Export>,
    init: Option<Export>,
}

/// One exported function that the node knows how to call.
#[derive(Clone)]
pub struct Export {
    index: ComponentExportIndex,
    parameters: Parameters,
    answer: Answer,
}

#[derive(Clone, Copy)]
enum Parameters {
    None,
    SenderTypePayload,
    SenderPayload,
    TypePayload,
    StatePayload,
    Payload,
}

/// The listed results; `macro_rules! answers` ties each to its Rust type.
#[derive(Clone, Copy)]
enum Answer {
    Nothing,
    Payload,
    Text,
    NothingOrText,
    PayloadOrText,
    TextOrText,
    NothingOrError,
    PayloadOrError,
    TextOrError,
    ActorResult,
    OlderResult,
}

/// The handlers among a component's exports. The error names one whose type the node does not call.
pub fn handlers(engine: &Engine, component: &Component) -> Result<Handlers<Export>, String> {
    Chosen::find(&HANDLERS, |handler, name| {
        let found = find(engine, component, name)?;
        Ok(found.map(|export| export.serving(handler)))
    })
}

/// Resolves a component's imports and chooses its other exports. The error lists what does not fit.
pub fn link(
    linkers: &Linkers,
    component: &Component,
    handlers: Handlers<Export>,
) -> Result<Linked, String> {
    let (engine, instance) = (&linkers.engine, resolve(linkers, component)?);
    if handlers.is_empty() {
        return Err(exports::no_handler(&exported_functions(engine, component)));
    }
    Ok(Linked {
        instance,
        handlers,
        hooks: Chosen::find(&HOOKS, |_, name| find(engine, component, name))?,
        init: find(engine, component, INIT)?,
    })
}

/// All that a component may import.
pub fn linker(engine: &Engine) -> Result<Linker<Guest>, String> {
    let mut linker = Linker::new(engine);
    let linked = wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .and_then(|()| host::add_to_linker(&mut linker));
    linked.map_err(|error| format!("the node cannot link: {error:#}"))?;
    Ok(linker)
}

/// Resolves a component's imports. The error names all that this node does not provide.
pub fn resolve(linkers: &Linkers, component: &Component) -> Result<InstancePre<Guest>, String> {
    let missing = missing_imports(&linkers.engine, component);
    if !missing.is_empty() {
        return Err(format!(
            "it imports what this node does not provide: {}",
            exports::listed(&missing)
        ));
    }
    linkers
        .components()?
        .instantiate_pre(component)
        .map_err(|error| format!("it does not link: {error:#}"))
}

fn missing_imports(engine: &Engine, component: &Component) -> Vec<String> {
    let mut missing = Vec::new();
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        if super::wasi::provides(name) {
            continue;
        }
        match import.ty {
            ComponentItem::ComponentInstance(instance) => {
                for (function, item) in instance.exports(engine) {
                    let needed = matches!(
                        item.ty,
                        ComponentItem::ComponentFunc(_) | ComponentItem::Resource(_)
                    );
                    if needed && !host::provides(name, function) {
                        missing.push(format!("{name}#{function}"));
                    }
                }
            }
            ComponentItem::Type(_) => {}
            _ => missing.push(name.to_owned()),
        }
    }
    missing
}

/// The export of this name: at world level, else in an instance of our own package.
fn find(engine: &Engine, component: &Component, name: &str) -> Result<Option<Export>, String> {
    let ty = component.component_type();
    if let Some(export) = ty.get_export(engine, name)
        && let ComponentItem::ComponentFunc(function) = export.ty
        && !is_leftover(name, &function)
    {
        let index = component
            .get_export_index(None, name)
            .expect("the type lists it");
        return choose(name, &function, index).map(Some);
    }
    for (instance_name, export) in ty.exports(engine) {
        if let ComponentItem::ComponentInstance(instance) = export.ty
            && instance_name.starts_with(OWN_PACKAGE)
            && let Some(export) = instance.get_export(engine, name)
            && let ComponentItem::ComponentFunc(function) = export.ty
        {
            let outer = component
                .get_export_index(None, instance_name)
                .expect("the type lists it");
            let index = component
                .get_export_index(Some(&outer), name)
                .expect("the type lists it");
            return choose(name, &function, index).map(Some);
        }
    }
    Ok(None)
}

/// What toolchains leave among a component's exports for themselves, to the last type. Such a one is no hook of the
/// author's, whatever its name: any other of the same name is called, or refused.
const LEFTOVERS: [(&str, &str); 1] = [
    // componentize-qjs up to 0.4.5 runs the script by it at build time, and does not take it away.
    (
        INIT,
        "func(string, string, option<string>, bool) -> result<_, string>",
    ),
];

fn is_leftover(name: &str, function: &ComponentFunc) -> bool {
    let named = LEFTOVERS.iter().filter(|(leftover, _)| *leftover == name);
    let mut types = named.map(|(_, ty)| *ty);
    types.any(|ty| ty == spelling::function(function))
}

fn exported_functions(engine: &Engine, component: &Component) -> Vec<String> {
    let mut found = Vec::new();
    for (name, export) in component.component_type().exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(_) => found.push(name.to_owned()),
            ComponentItem::ComponentInstance(instance) => {
                found.extend(
                    instance
                        .exports(engine)
                        .map(|(function, _)| format!("{name}#{function}")),
                );
            }
            _ => {}
        }
    }
    found
}

fn choose(
    name: &str,
    function: &ComponentFunc,
    index: ComponentExportIndex,
) -> Result<Export, String> {
    let (parameters, answer) = (parameters_of(function), answer_of(function));
    let (Some(parameters), Some(answer)) = (parameters, answer) else {
        return Err(format!(
            "its export {name} has a type this node does not call: {}; see docs/wasm-deployment.md for the forms",
            spelling::function(function)
        ));
    };
    Ok(Export {
        index,
        parameters,
        answer,
    })
}

impl Export {
    /// A transition's one string beside the payload is its state.
    fn serving(mut self, handler: Handler) -> Self {
        let two_parts = matches!(
            self.parameters,
            Parameters::SenderPayload | Parameters::TypePayload
        );
        if handler == Handler::Transition && two_parts {
            self.parameters = Parameters::StatePayload;
        }
        self
    }
}

fn parameters_of(function: &ComponentFunc) -> Option<Parameters> {
    let parameters: Vec<(&str, Type)> = function.params().collect();
    let types: Vec<_> = parameters.iter().map(|(_, ty)| ty).collect();
    match types.as_slice() {
        [] => Some(Parameters::None),
        [payload] if is_payload(payload) => Some(Parameters::Payload),
        [Type::String, payload] if is_payload(payload) => {
            // Both two-part forms have one type; the name tells which it is.
            let by_type = parameters[0].0.contains("type");
            Some(if by_type {
                Parameters::TypePayload
            } else {
                Parameters::SenderPayload
            })
        }
        [Type::String, Type::String, payload] if is_payload(payload) => {
            Some(Parameters::SenderTypePayload)
        }
        _ => None,
    }
}

fn answer_of(function: &ComponentFunc) -> Option<Answer> {
    let results: Vec<Type> = function.results().collect();
    match results.as_slice() {
        [] => Some(Answer::Nothing),
        [Type::String] => Some(Answer::Text),
        [payload] if is_payload(payload) => Some(Answer::Payload),
        [Type::Result(result)] => match (result.ok(), result.err()?) {
            (None, Type::String) => Some(Answer::NothingOrText),
            (Some(Type::String), Type::String) => Some(Answer::TextOrText),
            (Some(payload), Type::String) if is_payload(&payload) => Some(Answer::PayloadOrText),
            (_, error) if !is_actor_error(&error) => None,
            (None, _) => Some(Answer::NothingOrError),
            (Some(Type::String), _) => Some(Answer::TextOrError),
            (Some(payload), _) if is_payload(&payload) => Some(Answer::PayloadOrError),
            _ => None,
        },
        [Type::Variant(variant)] => {
            let cases: Vec<_> = variant.cases().map(|case| (case.name, case.ty)).collect();
            match cases.as_slice() {
                [("ok", Some(payload)), ("err", Some(error))]
                    if is_payload(payload) && is_actor_error(error) =>
                {
                    Some(Answer::ActorResult)
                }
                [("ok", Some(payload)), ("err", Some(Type::String))] if is_payload(payload) => {
                    Some(Answer::OlderResult)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The package's own record, to its last name: another one would fail only when the guest is started.
fn is_actor_error(ty: &Type) -> bool {
    let Type::Record(record) = ty else {
        return false;
    };
    let fields: Vec<_> = record
        .fields()
        .map(|field| (field.name, field.ty))
        .collect();
    matches!(
        fields.as_slice(),
        [("code", Type::Enum(code)), ("message", Type::String), ("details", Type::Option(details))]
            if code.names().eq(ERROR_CODES) && details.ty() == Type::String
    )
}

/// The cases of `error-code`, in order.
#[rustfmt::skip]
const ERROR_CODES: [&str; 9] = [
    "unknown", "actor-not-found", "delivery-failed", "timeout", "invalid-message", "not-permitted",
    "resource-exhausted", "internal", "not-implemented",
];

fn is_payload(ty: &Type) -> bool {
    matches!(ty, Type::List(list) if list.ty() == Type::U8)
}

/// One instance's functions, ready to be called.
pub struct Bound {
    pub handlers: Handlers<Call>,
    hooks: Hooks<Call>,
    init: Option<Call>,
}

impl Linked {
    /// Whether it says which tree it wants.
    pub fn has_tree(&self) -> bool {
        self.hooks.get(Hook::SupervisorTree).is_some()
    }

    pub async fn start(&self, store: &mut Store<Guest>) -> wasmtime::Result<Bound> {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        let mut bind = |export: &Export| Call::bind(&mut *store, &instance, export);
        Ok(Bound {
            handlers: self.handlers.bind(&mut bind)?,
            hooks: self.hooks.bind(&mut bind)?,
            init: self.init.as_ref().map(bind).transpose()?,
        })
    }
}

impl Bound {
    /// Calls a handler that the guest has.
    pub async fn handle(
        &self,
        store: &mut Store<Guest>,
        handler: Handler,
        arguments: Arguments<'_>,
    ) -> Called<Bytes> {
        let call = self.handlers.get(handler).expect("routing chose it");
        call.call(store, arguments).await
    }

    pub async fn init(&self, store: &mut Store<Guest>, state: Bytes) -> Called<()> {
        let Some(init) = &self.init else {
            return Ok(Ok(()));
        };
        let called = init.call(store, Arguments::only(&state)).await?;
        Ok(called.map(drop))
    }

    pub fn has(&self, hook: Hook) -> bool {
        self.hooks.has(hook)
    }

    /// `None` where the guest does not have it.
    pub async fn hook(&self, store: &mut Store<Guest>, hook: Hook) -> Option<Called<Bytes>> {
        let call = self.hooks.get(hook)?;
        Some(call.call(store, Arguments::only(&Bytes::new())).await)
    }
}

/// A typed function for each form of parameters, with results `R`.
pub enum Typed<R: 'static> {
    None(TypedFunc<(), R>),
    SenderTypePayload(TypedFunc<(Arc<str>, Arc<str>, Bytes), R>),
    SenderPayload(TypedFunc<(Arc<str>, Bytes), R>),
    TypePayload(TypedFunc<(Arc<str>, Bytes), R>),
    StatePayload(TypedFunc<(Arc<str>, Bytes), R>),
    Payload(TypedFunc<(Bytes,), R>),
}

impl<R: wasmtime::component::ComponentNamedList + Lift + 'static> Typed<R> {
    fn bind(
        mut store: impl AsContextMut,
        instance: &Instance,
        export: &Export,
    ) -> wasmtime::Result<Self> {
        let (index, store) = (&export.index, store.as_context_mut());
        Ok(match export.parameters {
            Parameters::None => Self::None(instance.get_typed_func(store, index)?),
            Parameters::SenderTypePayload => {
                Self::SenderTypePayload(instance.get_typed_func(store, index)?)
            }
            Parameters::SenderPayload => {
                Self::SenderPayload(instance.get_typed_func(store, index)?)
            }
            Parameters::TypePayload => Self::TypePayload(instance.get_typed_func(store, index)?),
            Parameters::StatePayload => Self::StatePayload(instance.get_typed_func(store, index)?),
            Parameters::Payload => Self::Payload(instance.get_typed_func(store, index)?),
        })
    }

    async fn call(
        &self,
        store: &mut Store<Guest>,
        arguments: Arguments<'_>,
    ) -> wasmtime::Result<R> {
        let Arguments {
            state,
            from,
            message_type,
            payload,
        } = arguments;
        let payload = || payload.clone();
        match self {
            Self::None(function) => function.call_async(store, ()).await,
            Self::SenderTypePayload(function) => {
                let arguments = (from.clone(), message_type.clone(), payload());
                function.call_async(store, arguments).await
            }
            Self::SenderPayload(function) => {
                let arguments = (from.clone(), payload());
                function.call_async(store, arguments).await
            }
            Self::TypePayload(function) => {
                let arguments = (message_type.clone(), payload());
                function.call_async(store, arguments).await
            }
            Self::StatePayload(function) => {
                let arguments = (state.clone(), payload());
                function.call_async(store, arguments).await
            }
            Self::Payload(function) => function.call_async(store, (payload(),)).await,
        }
    }
}

macro_rules! answers {
    ($($answer:ident($results:ty) $value:pat => $reply:expr;)*) => {
        /// A function with both sides of its type settled.
        pub enum Call { $($answer(Typed<$results>)),* }

        impl Call {
            fn bind(store: impl AsContextMut, instance: &Instance, export: &Export) -> wasmtime::Result<Self> {
                Ok(match export.answer {
                    $(Answer::$answer => Self::$answer(Typed::bind(store, instance, export)?)),*
                })
            }

            async fn call(&self, store: &mut Store<Guest>, arguments: Arguments<'_>) -> Called<Bytes> {
                Ok(match self {
                    $(Self::$answer(typed) => {
                        let $value = typed.call(store, arguments).await?;
                        $reply
                    }),*
                })
            }
        }
    };
}

answers! {
    Nothing(()) () => Ok(Bytes::new());
    Payload((Bytes,)) (payload,) => Ok(payload);
    Text((String,)) (text,) => Ok(text.into());
    NothingOrText((Result<(), String>,)) (result,) => result.map(|()| Bytes::new()).map_err(GuestError::failed);
    PayloadOrText((Result<Bytes, String>,)) (result,) => result.map_err(GuestError::failed);
    TextOrText((Result<String, String>,)) (result,) => result.map(Bytes::from).map_err(GuestError::failed);
    NothingOrError((Result<(), ActorError>,)) (result,) => result.map(|()| Bytes::new()).map_err(Into::into);
    PayloadOrError((Result<Bytes, ActorError>,)) (result,) => result.map_err(Into::into);
    TextOrError((Result<String, ActorError>,)) (result,) => result.map(Bytes::from).map_err(Into::into);
    ActorResult((ActorResult,)) (result,) => match result {
        ActorResult::Ok(payload) => Ok(payload),
        ActorResult::Err(error) => Err(error.into()),
    };
    OlderResult((OlderResult,)) (result,) => match result {
        OlderResult::Ok(payload) => Ok(payload),
        OlderResult::Err(text) => Err(GuestError::failed(text)),
    };
}

/// The package's own result variant, which generators write where they could have used `result`.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub enum ActorResult {
    #[component(name = "ok")]
    Ok(Bytes),
    #[component(name = "err")]
    Err(ActorError),
}

/// The same in the older edition, where errors are texts.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub enum OlderResult {
    #[component(name = "ok")]
    Ok(Bytes),
    #[component(name = "err")]
    Err(String),
}

impl From<ActorError> for GuestError {
    fn from(error: ActorError) -> Self {
        let text = match error.details {
            Some(details) => format!("{} ({details})", error.message),
            None => error.message,
        };
        let failed = Self::failed(text);
        match error.code {
            ErrorCode::NotImplemented => Self::NotImplemented(failed.into_text()),
            _ => failed,
        }
    }
}
