//! Tuples and patterns as JSON: in events, at the HTTP door, and between core modules and the node.
//!
//! A tuple is an array. Strings, booleans and `null` are themselves; a number is an integer unless it has a fraction or
//! an exponent, is `-0`, which integers do not have, or lies outside of what 64 bits with a sign hold.
//! `{"bytes":"<base64>"}` are bytes; `{"int":1}` and `{"float":1}` say which number is meant, and `{"float":"NaN"}`,
//! `"inf"` and `"-inf"` are those that JSON cannot write. In a pattern stand also `{"any":true}`, `{"type":"int"}` and
//! `{"predicate":">10"}`. A key that stands in an object twice is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::distinct::Distinct;
use super::pattern::{FieldPattern, Pattern, Predicate};
use super::tuple::{Field, FieldType, Tuple};
use crate::limits;
use crate::serde_words::spoken;

/// Reads a tuple. The error says what is wrong with it.
pub fn read_tuple(json: &[u8]) -> Result<Tuple, String> {
    tuple_of(&parsed(json)?)
}

/// Reads a pattern, likewise.
pub fn read_pattern(json: &[u8]) -> Result<Pattern, String> {
    pattern_of(&parsed(json)?)
}

/// The tuple in a JSON value.
pub fn tuple_of(value: &Value) -> Result<Tuple, String> {
    let items = items("tuple", r#"["order",1]"#, value)?;
    let fields = items.iter().enumerate().map(|(index, item)| {
        let field = field_of(item);
        field.map_err(|problem| format!("field {index}: {problem}"))
    });
    Ok(Tuple::new(fields.collect::<Result<Vec<_>, _>>()?))
}

/// The pattern in a JSON value.
pub fn pattern_of(value: &Value) -> Result<Pattern, String> {
    let items = items("pattern", r#"["order",{"any":true}]"#, value)?;
    let fields = items.iter().enumerate().map(|(index, item)| {
        let field = field_pattern_of(item);
        field.map_err(|problem| format!("field {index}: {problem}"))
    });
    Ok(Pattern::new(fields.collect::<Result<Vec<_>, _>>()?))
}

fn parsed(json: &[u8]) -> Result<Value, String> {
    let read = serde_json::from_slice(json);
    read.map(|Distinct(value)| value)
        .map_err(|error| in_words(&error))
}

/// What is wrong with a text that should be JSON, or with the form of what it holds, in words of JSON.
pub fn in_words(error: &serde_json::Error) -> String {
    /// What serde calls things, and what JSON does.
    const WORDS: [(&str, &str); 7] = [
        ("type: sequence", "type: array"),
        ("type: map", "type: object"),
        ("expected a sequence", "expected an array"),
        ("expected a map", "expected an object"),
        ("expected u32", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected usize", "expected a whole number from 0"),
    ];
    match error.classify() {
        Category::Eof => "it is not JSON: it ends too early".into(),
        Category::Syntax | Category::Io => format!("it is not JSON: {error}"),
        Category::Data => spoken(&error.to_string(), &WORDS, "an object"),
    }
}

/// What a value is, in words of JSON.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn items<'a>(what: &str, example: &str, value: &'a Value) -> Result<&'a [Value], String> {
    let items = value.as_array().ok_or_else(|| {
        let kind = kind_of(value);
        format!("a {what} is an array of fields, such as {example}; this is {kind}")
    })?;
    if items.len() > limits::TUPLE_FIELDS_MAX {
        let max = limits::TUPLE_FIELDS_MAX;
        return Err(format!("a tuple or pattern has at most {max} fields"));
    }
    Ok(items)
}

fn field_pattern_of(value: &Value) -> Result<FieldPattern, String> {
    let Value::Object(object) = value else {
        return field_of(value).map(FieldPattern::Exact);
    };
    match only(object)? {
        ("any", Value::Bool(true)) => Ok(FieldPattern::Any),
        ("any", _) => Err("write {\"any\":true}".into()),
        ("type", name) => {
            let field_type = name.as_str().and_then(FieldType::named);
            let names = "write {\"type\":\"int\"}; a type is string, int, float, bytes, bool, null or tuple";
            field_type.map(FieldPattern::Typed).ok_or(names.into())
        }
        ("predicate", text) => {
            let text = text
                .as_str()
                .ok_or("write {\"predicate\":\">10\"}; a predicate is a string")?;
            let predicate = Predicate::parse(text).map_err(|error| error.to_string())?;
            Ok(FieldPattern::Predicate(predicate))
        }
        _ => field_of(value).map(FieldPattern::Exact),
    }
}

fn field_of(value: &Value) -> Result<Field, String> {
    match value {
        Value::String(text) => Ok(Field::from(&**text)),
        Value::Bool(truth) => Ok(Field::Bool(*truth)),
        Value::Null => Ok(Field::Null),
        Value::Number(number) if number.is_i64() => int_of(value),
        Value::Number(_) => float_of(value),
        Value::Array(_) => Err(
            "a field is a string, a number, true, false, null or an object such as {\"bytes\":\"…\"}, not an array".into(),
        ),
        Value::Object(object) => match only(object)? {
            ("bytes", bytes) => {
                let text = bytes.as_str().ok_or("write {\"bytes\":\"AQI=\"}; bytes are a string in base64")?;
                let bytes = STANDARD.decode(text);
                let bytes = bytes.map_err(|error| format!("bytes are in base64: {error}"))?;
                Ok(Field::Bytes(bytes.into()))
            }
            ("int", number) => int_of(number),
            ("float", number) => float_of(number),
            (key @ ("any" | "type" | "predicate"), _) => Err(format!(
                "{{\"{key}\":…}} stands in patterns only; a tuple has the value itself"
            )),
            (key, _) => {
                let key: String = key.chars().take(64).collect();
                Err(format!(
                    "{key:?} is not known here; an object in a tuple is {{\"bytes\":\"…\"}}, {{\"int\":1}} or \
                     {{\"float\":1}}, in a pattern also {{\"any\":true}}, {{\"type\":\"int\"}} or {{\"predicate\":\">10\"}}"
                ))
            }
        },
    }
}

fn int_of(value: &Value) -> Result<Field, String> {
    let int = value.as_i64().map(Field::Int);
    int.ok_or("an integer is a whole number of 64 bits with a sign, such as 1".into())
}

fn float_of(value: &Value) -> Result<Field, String> {
    let float = match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    };
    let text = "a float is a number, or \"NaN\", \"inf\" or \"-inf\"";
    float.map(Field::Float).ok_or(text.into())
}

/// The one key of an object, and what it holds.
fn only(object: &Map<String, Value>) -> Result<(&str, &Value), String> {
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) => Ok((key, value)),
        _ => Err("an object in a tuple or pattern has one key, such as {\"bytes\":\"…\"}".into()),
    }
}

impl FieldType {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "int" => Self::Int,
            "float" => Self::Float,
            "bytes" => Self::Bytes,
            "bool" => Self::Bool,
            "null" => Self::Null,
            "tuple" => Self::Tuple,
            _ => return None,
        })
    }
}

impl Serialize for Tuple {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.fields())
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::String(text) => to.serialize_str(text),
            Self::Int(number) => to.serialize_i64(*number),
            Self::Float(number) if number.is_finite() => to.serialize_f64(*number),
            Self::Float(number) => tagged(to, "float", odd(*number)),
            Self::Bytes(bytes) => tagged(to, "bytes", &STANDARD.encode(bytes)),
            Self::Bool(truth) => to.serialize_bool(*truth),
            Self::Null => to.serialize_unit(),
        }
    }
}

fn odd(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "inf"
    } else {
        "-inf"
    }
}

fn tagged<S: Serializer>(to: S, key: &str, value: &str) -> Result<S::Ok, S::Error> {
    let mut object = to.serialize_map(Some(1))?;
    object.serialize_entry(key, value)?;
    object.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_written_as_it_was_read() {
        let check = |json: &str, fields: Vec<Field>| {
            let read = read_tuple(json.as_bytes()).unwrap();
            assert_eq!(read, Tuple::new(fields), "{json}");
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        };
        check("[]", vec![]);
        check(
            r#"["a",1,-7,1.5,2.0,true,null]"#,
            vec![
                "a".into(),
                1.into(),
                (-7).into(),
                1.5.into(),
                2.0.into(),
                Field::Bool(true),
                Field::Null,
            ],
        );
        check(
            r#"[{"bytes":"AQI="},{"float":"NaN"},{"float":"-inf"}]"#,
            vec![
                Field::Bytes([1, 2].into()),
                f64::NAN.into(),
                f64::NEG_INFINITY.into(),
            ],
        );
        check(
            "[9223372036854775807,-9223372036854775808]",
            vec![i64::MAX.into(), i64::MIN.into()],
        );
        for (beyond, float) in [
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("18446744073709551615", 18_446_744_073_709_551_615.0),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
            ("-9223372036854775809", -9_223_372_036_854_775_809.0),
        ] {
            let read = read_tuple(format!("[{beyond}]").as_bytes());
            assert_eq!(read.unwrap(), Tuple::new([Field::Float(float)]), "{beyond}");
        }
        assert_eq!(
            read_tuple(br#"[{"float":1},{"int":1}]"#).unwrap(),
            Tuple::new([1.0.into(), 1.into()])
        );
    }

    #[test]
    fn what_is_no_tuple_is_said_so() {
        let check = |json: &str, word: &str| {
            let problem = read_tuple(json.as_bytes()).unwrap_err();
            assert!(problem.contains(word), "{json}: {problem}");
        };
        check("", "not JSON");
        check("{}", "array");
        check("[[1]]", "field 0");
        check(r#"[{"int":9223372036854775808}]"#, "64 bits");
        check(
            r#"[{"int":1,"int":2}]"#,
            "the key \"int\" stands there twice",
        );
        check(r#"[{"int":1.5}]"#, "64 bits");
        check(r#"[{"float":"x"}]"#, "NaN");
        check(r#"[{"bytes":"*"}]"#, "base64");
        check("\"order\"", "such as [\"order\",1]; this is a string");
        check("[1", "ends too early");
        check(r#"[{"any":true}]"#, "in patterns only");
        check(
            r#"[{"text":"a"}]"#,
            "\"text\" is not known here; an object in a tuple is",
        );
        check(r#"[{}]"#, "one key");
        check(r#"[1,{"a":1,"b":2}]"#, "field 1");
        check(&format!("[{}1]", "1,".repeat(64)), "at most 64");
    }

    #[test]
    fn what_is_wrong_with_a_json_text_is_said_in_words_of_json() {
        #[derive(Debug, serde::Deserialize)]
        #[expect(
            dead_code,
            reason = "it is never read, since none of these has its form"
        )]
        struct Form {
            names: Vec<String>,
            number: u64,
        }
        let check = |json: &str, expected: &str| {
            let error = serde_json::from_str::<Form>(json).unwrap_err();
            let said = in_words(&error);
            assert!(said.starts_with(expected), "{json}: {said}");
        };
        check(r#"{"names":["#, "it is not JSON: it ends too early");
        check(r#"{"names":}"#, "it is not JSON: expected value at line 1");
        check(
            r#"{"names":{}}"#,
            "invalid type: object, expected an array at",
        );
        check(
            r#"{"number":-1}"#,
            "invalid value: integer `-1`, expected a whole number from 0 at",
        );
        check("7", "invalid type: integer `7`, expected an object at");
    }

    #[test]
    fn a_pattern_says_what_each_field_must_be() {
        let check = |pattern: &str, tuple: &str, expected: bool| {
            let pattern_read = read_pattern(pattern.as_bytes()).unwrap();
            let matches = pattern_read.matches(&read_tuple(tuple.as_bytes()).unwrap());
            assert_eq!(matches, expected, "{pattern} {tuple}");
        };
        check(r#"["a",{"any":true}]"#, r#"["a",1]"#, true);
        check(r#"["a",{"type":"int"}]"#, r#"["a",1]"#, true);
        check(r#"["a",{"type":"int"}]"#, r#"["a",1.0]"#, false);
        check(r#"["a",{"predicate":">10"}]"#, r#"["a",11]"#, true);
        check(r#"[{"bytes":"AQ=="}]"#, r#"[{"bytes":"AQ=="}]"#, true);
        for bad in [
            r#"[{"any":false}]"#,
            r#"[{"type":"number"}]"#,
            r#"[{"predicate":"10"}]"#,
            r#"[{"predicate":1}]"#,
        ] {
            assert!(read_pattern(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
