//! JSON in which no key of an object stands twice: of two values nobody could tell which was meant.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A value, none of whose objects, however deep they lie, has a key twice.
pub struct Distinct(pub Value);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DistinctVisitor).map(Self)
    }
}

struct DistinctVisitor;

macro_rules! taken_as_it_is {
    ($($method:ident $type:ty),*) => {
        $(fn $method<E: de::Error>(self, value: $type) -> Result<Value, E> {
            Ok(value.into())
        })*
    };
}

impl<'de> Visitor<'de> for DistinctVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    taken_as_it_is! {
        visit_bool bool, visit_i64 i64, visit_u64 u64, visit_f64 f64, visit_str &str, visit_string String
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Distinct(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((key, Distinct(value))) = access.next_entry::<String, _>()? {
            if members.contains_key(&key) {
                let key: String = key.chars().take(64).collect();
                return Err(de::Error::custom(format!(
                    "the key {key:?} stands there twice"
                )));
            }
            members.insert(key, value);
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_json_is_read_but_what_has_a_key_twice() {
        let json =
            r#"{"a":[1,-2,18446744073709551615,1.5,1e300,"x","é\n",true,null,{}],"b":{"a":1}}"#;
        let Distinct(read) = serde_json::from_str(json).unwrap();
        assert_eq!(read, serde_json::from_str::<Value>(json).unwrap());
        for twice in [r#"{"a":1,"a":1}"#, r#"[0,{"b":{"a":1,"a":2}}]"#] {
            let error = serde_json::from_str::<Distinct>(twice).err().unwrap();
            let said = error.to_string();
            assert!(
                said.starts_with("the key \"a\" stands there twice"),
                "{said}"
            );
        }
    }
}
