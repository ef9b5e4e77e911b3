//! The types of a component's functions as WIT spells them, so that an author recognises what a refusal is about.

use wasmtime::component::Type;
use wasmtime::component::types::ComponentFunc;

/// Parts of a type that are shown; a type may nest and list without end.
const DEPTH_MAX: usize = 4;
const PARTS_MAX: usize = 12;

/// Such as `func(string, list<u8>) -> result<list<u8>, string>`.
pub fn function(function: &ComponentFunc) -> String {
    let parameters = parts(function.params().map(|(_, ty)| spelled(&ty, DEPTH_MAX)));
    match function.results().next() {
        Some(result) => format!("func({parameters}) -> {}", spelled(&result, DEPTH_MAX)),
        None => format!("func({parameters})"),
    }
}

fn spelled(ty: &Type, depth: usize) -> String {
    let Some(depth) = depth.checked_sub(1) else {
        return "…".into();
    };
    let inner = |ty: &Type| spelled(ty, depth);
    let case = |name: &str, ty: Option<Type>| match ty {
        Some(ty) => format!("{name}({})", inner(&ty)),
        None => name.to_owned(),
    };
    match ty {
        Type::List(list) => format!("list<{}>", inner(&list.ty())),
        Type::Option(option) => format!("option<{}>", inner(&option.ty())),
        Type::Tuple(tuple) => format!("tuple<{}>", parts(tuple.types().map(|ty| inner(&ty)))),
        Type::Record(record) => {
            let fields = record.fields();
            let shown = parts(fields.map(|it| format!("{}: {}", it.name, inner(&it.ty))));
            format!("record {{ {shown} }}")
        }
        Type::Variant(variant) => {
            let shown = parts(variant.cases().map(|it| case(it.name, it.ty)));
            format!("variant {{ {shown} }}")
        }
        Type::Enum(cases) => format!("enum {{ {} }}", parts(cases.names().map(str::to_owned))),
        Type::Flags(flags) => format!("flags {{ {} }}", parts(flags.names().map(str::to_owned))),
        Type::Result(result) => match (result.ok(), result.err()) {
            (None, None) => "result".into(),
            (Some(ok), None) => format!("result<{}>", inner(&ok)),
            (ok, Some(err)) => {
                let ok = ok.map_or("_".into(), |ok| inner(&ok));
                format!("result<{ok}, {}>", inner(&err))
            }
        },
        Type::Own(_) | Type::Borrow(_) => "a resource".into(),
        Type::Float32 => "f32".into(),
        Type::Float64 => "f64".into(),
        // Named as WIT names them, but for the capital.
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Char
        | Type::String => format!("{ty:?}").to_lowercase(),
        _ => "a type of the asynchronous component model".into(),
    }
}

fn parts(mut all: impl Iterator<Item = String>) -> String {
    let mut shown: Vec<String> = all.by_ref().take(PARTS_MAX).collect();
    if all.next().is_some() {
        shown.push("…".into());
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine;
    use wasmtime::component::{Component, types::ComponentItem};

    use super::*;

    #[test]
    fn types_read_as_their_author_wrote_them() {
        let engine = Engine::default();
        let check = |types: &str, parameters: &str, result: &str, expected: &str| {
            let text = format!("(component {types} (import \"f\" (func {parameters} {result})))");
            let component = Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
            let ty = component.component_type();
            let Some((_, ComponentItem::ComponentFunc(found))) = ty
                .imports(&engine)
                .map(|(name, import)| (name, import.ty))
                .find(|(name, _)| *name == "f")
            else {
                panic!("the component imports its function");
            };
            assert_eq!(function(&found), expected);
        };
        check("", "", "", "func()");
        check(
            "",
            "(param \"a\" string) (param \"b\" (option bool))",
            "(result (list u8))",
            "func(string, option<bool>) -> list<u8>",
        );
        check(
            "",
            "(param \"a\" (tuple float32 char))",
            "(result (result (error string)))",
            "func(tuple<f32, char>) -> result<_, string>",
        );
        check(
            "(type $r (record (field \"code\" s64))) (import \"r\" (type $rr (eq $r)))",
            "(param \"a\" $rr)",
            "(result (list (list (list (list u8)))))",
            "func(record { code: s64 }) -> list<list<list<list<…>>>>",
        );
    }
}
