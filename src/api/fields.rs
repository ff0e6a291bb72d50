//! Which fields a type reads, as serde knows them: so that what is not read can be named without a
//! list of its own.

use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

/// The names of the fields that `T` reads; none when it is no struct.
pub fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut found: &[&str] = &[];
    // It is asked for its fields, and never given any.
    let _ = T::deserialize(Asking(&mut found));
    found
}

struct Asking<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asking<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only its fields were asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::fields_of;
    use crate::mesh_config::MeshConfig;

    #[test]
    fn a_struct_tells_its_fields_by_the_names_that_people_write() {
        let fields = fields_of::<MeshConfig>();
        assert!(fields.contains(&"accessLogFile") && fields.contains(&"meshMTLS"));
        assert!(!fields.contains(&"certificates"), "upstream's alone");
        assert!(fields_of::<String>().is_empty());
    }
}
