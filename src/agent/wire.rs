//! The little protobuf that the agent speaks itself (secrets and certificates), written and read by hand: generated
//! messages of Envoy's interface would cost more memory than all the rest of the agent.

/// A message under construction. Fields with default values are left out, as proto3 does.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    /// Adds a field of bytes, a string or an encoded message; an empty one is not written.
    pub fn with(self, field: u32, value: impl AsRef<[u8]>) -> Message {
        match value.as_ref().is_empty() {
            true => self,
            false => self.with_element(field, value),
        }
    }

    /// Adds an element of a repeated field, or a message that is present though it is empty.
    pub fn with_element(mut self, field: u32, value: impl AsRef<[u8]>) -> Message {
        let value = value.as_ref();
        self.varint(u64::from(field) << 3 | LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Adds an integer that is not negative.
    pub fn with_number(mut self, field: u32, value: u64) -> Message {
        if value != 0 {
            self.varint(u64::from(field) << 3 | VARINT);
            self.varint(value);
        }
        self
    }

    /// The encoded message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes that are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a protobuf message")]
pub struct Malformed;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, a boolean or an enum.
    Number(u64),
    /// Bytes, a string or a message.
    Bytes(&'a [u8]),
}

/// The fields of `message` in order; the rest is not read after the first that is malformed.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Result<(u32, Value<'_>), Malformed>> {
    let mut rest = Some(message);
    std::iter::from_fn(move || {
        let mut left = rest.take().filter(|left| !left.is_empty())?;
        let field = field(&mut left).ok_or(Malformed);
        if field.is_ok() {
            rest = Some(left);
        }
        Some(field)
    })
}

/// The text of a string field.
pub fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

fn field<'a>(left: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    let key = varint(left)?;
    let number = u32::try_from(key >> 3).ok().filter(|number| *number != 0)?;
    let value = match key & 7 {
        VARINT => Value::Number(varint(left)?),
        FIXED_64 => Value::Bytes(left.split_off(..8)?),
        LENGTH_DELIMITED => {
            let length = usize::try_from(varint(left)?).ok()?;
            Value::Bytes(left.split_off(..length)?)
        }
        FIXED_32 => Value::Bytes(left.split_off(..4)?),
        _ => return None,
    };
    Some((number, value))
}

fn varint(left: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *left.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
