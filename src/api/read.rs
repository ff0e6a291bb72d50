//! JSON values into types, as an API server's schema would let them in: where a type has fields there must be a
//! mapping (serde alone takes a list of their values as well), and what is wrong is told with its path.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value};

/// A value that its type does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Steps to the value, the last one first.
    steps: Vec<String>,
    /// What is wrong with it.
    reason: String,
}

impl Wrong {
    /// Path of the value, empty for the whole: `http[0].route`.
    pub fn field(&self) -> String {
        let mut path = String::new();
        for step in self.steps.iter().rev() {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path += step;
        }
        path
    }

    /// What is wrong with the value.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn below(mut self, step: impl Into<String>) -> Self {
        self.steps.push(step.into());
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field().as_str() {
            "" => f.write_str(&self.reason),
            field => write!(f, "{field}: {}", self.reason),
        }
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Wrong {
            steps: Vec::new(),
            reason: message.to_string(),
        }
    }
}

/// Reads a value.
///
/// # Errors
/// The first value of another type than is expected, with its path.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Wrong> {
    T::deserialize(Reader(value))
}

/// One value on the way in.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a Value);

impl<'a> Reader<'a> {
    fn mapping(self) -> Result<&'a Map<String, Value>, Wrong> {
        let found = match self.0 {
            Value::Object(fields) => return Ok(fields),
            Value::Array(_) => "a list".to_owned(),
            other => other.to_string(),
        };
        Err(de::Error::custom(format!("is {found}, expected a mapping")))
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(yes) => visitor.visit_bool(*yes),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (_, Some(number)) => visitor.visit_i64(number),
                _ => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Object(fields) => visitor.visit_map(Fields::of(fields)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_map(Fields::of(self.mapping()?))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(Fields::of(self.mapping()?))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            other => other
                .clone()
                .deserialize_enum(name, variants, visitor)
                .map_err(de::Error::custom),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct identifier
    }
}

struct Items<'a> {
    items: &'a [Value],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let index = self.next;
        let Some(item) = self.items.get(index) else {
            return Ok(None);
        };
        self.next += 1;
        let read = seed.deserialize(Reader(item));
        read.map(Some)
            .map_err(|wrong| wrong.below(format!("[{index}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Fields<'a> {
    fields: serde_json::map::Iter<'a>,
    value: Option<(&'a str, &'a Value)>,
}

impl<'a> Fields<'a> {
    fn of(fields: &'a Map<String, Value>) -> Self {
        Fields {
            fields: fields.iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        // A null is as good as an absent field.
        let Some((key, value)) = self.fields.by_ref().find(|(_, value)| !value.is_null()) else {
            return Ok(None);
        };
        self.value = Some((key, value));
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (key, value) = self.value.take().expect("serde asks for a key first");
        seed.deserialize(Reader(value))
            .map_err(|wrong| wrong.below(key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::read;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Outer {
        text: String,
        inner: Option<Inner>,
        list: Vec<Inner>,
        map: BTreeMap<String, u16>,
        mode: Mode,
        share: f64,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        port: u16,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    enum Mode {
        #[default]
        Any,
        Only,
    }

    fn refuse(value: Value, field: &str, reason: &str) {
        let wrong = read::<Outer>(&value).expect_err("wrong");
        assert_eq!(wrong.field(), field, "{value}");
        assert!(wrong.reason().contains(reason), "{wrong}");
    }

    #[test]
    fn everything_of_the_right_form_is_read() {
        let value = json!({
            "text": "a", "inner": {"port": 1, "unknown": [1]}, "list": [{}, {"port": 2}],
            "map": {"a": 3}, "mode": "ONLY", "share": 1,
        });
        let expected = Outer {
            text: "a".to_owned(),
            inner: Some(Inner { port: 1 }),
            list: vec![Inner::default(), Inner { port: 2 }],
            map: BTreeMap::from([("a".to_owned(), 3)]),
            mode: Mode::Only,
            share: 1.0,
        };
        assert_eq!(read::<Outer>(&value), Ok(expected));
        let nulls = json!({"inner": null, "text": null, "list": null, "map": {"a": null}});
        assert_eq!(read::<Outer>(&nulls), Ok(Outer::default()));
    }

    #[test]
    fn a_list_is_no_mapping() {
        refuse(json!([]), "", "is a list, expected a mapping");
        refuse(
            json!({"inner": [80]}),
            "inner",
            "is a list, expected a mapping",
        );
        refuse(
            json!({"list": [{}, [80]]}),
            "list[1]",
            "is a list, expected a mapping",
        );
        refuse(
            json!({"map": ["a"]}),
            "map",
            "is a list, expected a mapping",
        );
        refuse(
            json!({"inner": "x"}),
            "inner",
            "is \"x\", expected a mapping",
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path() {
        refuse(
            json!({"list": [{"port": "x"}]}),
            "list[0].port",
            "expected u16",
        );
        refuse(
            json!({"inner": {"port": 70000}}),
            "inner.port",
            "expected u16",
        );
        refuse(json!({"mode": "NONE"}), "mode", "unknown variant");
    }
}
