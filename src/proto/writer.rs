//! Messages written field by field, for the few that are made so often that building them as values first would
//! cost more than all else. Knows how fields are written, and no message.

use bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// An encoded message in the making. Fields may be written in any order; a reader sees them all.
#[derive(Clone, Debug, Default)]
pub struct Writer(pub(crate) Vec<u8>);

impl Writer {
    /// One with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Writer(Vec::with_capacity(bytes))
    }

    /// Writes a field of text or bytes.
    pub fn text(&mut self, number: u32, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        self.head(number, value.len()).raw(value)
    }

    /// Writes a field of text that is these parts.
    pub fn joined(&mut self, number: u32, parts: &[&str]) -> &mut Self {
        self.head(number, parts.iter().map(|part| part.len()).sum());
        for part in parts {
            self.0.extend_from_slice(part.as_bytes());
        }
        self
    }

    /// Writes tag and length of a field whose content is written next.
    pub fn head(&mut self, number: u32, length: usize) -> &mut Self {
        if number < 16 && length < 128 {
            // Of most fields both fit one byte.
            let key = number << 3 | WireType::LengthDelimited as u32;
            self.0.extend_from_slice(&[key as u8, length as u8]);
        } else {
            encode_key(number, WireType::LengthDelimited, &mut self.0);
            encode_varint(length as u64, &mut self.0);
        }
        self
    }

    /// Writes a field of a number, a flag or a choice.
    pub fn number(&mut self, number: u32, value: u64) -> &mut Self {
        encode_key(number, WireType::Varint, &mut self.0);
        encode_varint(value, &mut self.0);
        self
    }

    /// Writes a field that is a message of its own.
    pub fn nested(&mut self, number: u32, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.message(number, 1, write)
    }

    /// The same for one that mostly has 128 to 16,383 bytes: those are written to where they stay.
    pub fn block(&mut self, number: u32, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.message(number, 2, write)
    }

    /// Writes a message whose length, which is known only after it, takes `room` bytes before it; if it takes
    /// others, the message is moved.
    fn message(&mut self, number: u32, room: usize, write: impl FnOnce(&mut Self)) -> &mut Self {
        encode_key(number, WireType::LengthDelimited, &mut self.0);
        let start = self.0.len();
        self.0.resize(start + room, 0);
        write(self);
        let end = self.0.len();
        let length = end - start - room;
        let taken = encoded_len_varint(length as u64);
        if taken != room {
            self.0.resize(end.max(start + taken + length), 0);
            self.0.copy_within(start + room..end, start + taken);
            self.0.truncate(start + taken + length);
        }
        encode_varint(length as u64, &mut &mut self.0[start..start + taken]);
        self
    }

    /// Writes fields that are encoded already.
    pub fn raw(&mut self, fields: &[u8]) -> &mut Self {
        self.0.extend_from_slice(fields);
        self
    }

    /// The encoded message.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many bytes are written.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes what was written since there were so many bytes.
    pub fn split_off(&mut self, at: usize) -> Bytes {
        self.0.split_off(at).into()
    }

    /// The encoded message for a while: with the room that is left behind it.
    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    /// The encoded message, to be kept.
    pub fn finish(self) -> Bytes {
        self.0.into_boxed_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::Writer;
    use crate::google::protobuf::{Any, ListValue, Value, value::Kind};

    #[test]
    fn what_is_written_reads_as_what_is_built() {
        for length in [0, 1, 120, 121, 126, 127, 128, 16_380, 20_000] {
            let text = "x".repeat(length);
            let built = ListValue {
                values: vec![
                    Value {
                        kind: Some(Kind::StringValue(text.clone())),
                    },
                    Value {
                        kind: Some(Kind::ListValue(ListValue {
                            values: vec![Value {
                                kind: Some(Kind::BoolValue(true)),
                            }],
                        })),
                    },
                ],
            };
            let mut written = Writer::default();
            written.nested(1, |value| {
                value.text(3, &text);
            });
            written.nested(1, |value| {
                value.nested(6, |list| {
                    list.nested(1, |value| {
                        value.number(4, 1);
                    });
                });
            });
            assert_eq!(written.bytes(), built.encode_to_vec());
            let mut moved = Writer::default();
            for value in &built.values {
                moved.block(1, |into| {
                    into.raw(&value.encode_to_vec());
                });
            }
            assert_eq!(moved.bytes(), written.bytes());
        }
    }

    #[test]
    fn encoded_fields_join() {
        let any = Any {
            type_url: "a".to_owned(),
            value: b"b".to_vec().into(),
        };
        let mut written = Writer::with_capacity(8);
        written.raw(
            &Any {
                type_url: "a".to_owned(),
                ..Any::default()
            }
            .encode_to_vec(),
        );
        written.text(2, b"b");
        assert_eq!(written.finish(), any.encode_to_vec());
    }
}
