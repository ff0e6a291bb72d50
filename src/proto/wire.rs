//! Discovery responses put together from parts that are encoded once and shared by all who get them.
//! Knows the few fields of the envelope by number; what is inside is opaque.

use bytes::{BufMut, Bytes, BytesMut};

/// Fields of `Any`.
const ANY_TYPE: u32 = 1;
const ANY_VALUE: u32 = 2;
/// Fields of `Resource`.
const VERSION: u32 = 1;
const RESOURCE: u32 = 2;
const NAME: u32 = 3;
/// Fields of both kinds of responses; `Resource` stands at the same number in both.
const RESOURCES: u32 = 2;
const TYPE: u32 = 4;
const NONCE: u32 = 5;
/// `version_info`, or `system_version_info`.
const RESPONSE_VERSION: u32 = 1;
/// Fields of one kind.
const REMOVED: u32 = 6;
const CONTROL_PLANE: u32 = 6;
const DELTA_CONTROL_PLANE: u32 = 7;
/// Field of `ControlPlane`.
const IDENTIFIER: u32 = 1;

/// One resource as responses carry it: a whole element of their field `resources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    bytes: Bytes,
    any: usize,
    value: usize,
}

impl Entry {
    /// Wraps an encoded resource.
    pub fn new(type_url: &str, name: &str, version: &str, value: &[u8]) -> Self {
        let any_length =
            field_length(ANY_TYPE, type_url.len()) + field_length(ANY_VALUE, value.len());
        let length = field_length(NAME, name.len())
            + field_length(VERSION, version.len())
            + field_length(RESOURCE, any_length);
        let mut bytes = Vec::with_capacity(field_length(RESOURCES, length));
        put_head(&mut bytes, RESOURCES, length);
        put(&mut bytes, NAME, name.as_bytes());
        put(&mut bytes, VERSION, version.as_bytes());
        // Last, so that it is an element of the other kind of response as it stands.
        let any = bytes.len();
        put_head(&mut bytes, RESOURCE, any_length);
        put(&mut bytes, ANY_TYPE, type_url.as_bytes());
        put(&mut bytes, ANY_VALUE, value);
        Entry {
            value: bytes.len() - value.len(),
            bytes: bytes.into(),
            any,
        }
    }

    /// As an element of a `DeltaDiscoveryResponse`.
    pub fn delta(&self) -> &[u8] {
        &self.bytes
    }

    /// As an element of a `DiscoveryResponse`.
    pub fn whole(&self) -> &[u8] {
        &self.bytes[self.any..]
    }

    /// The encoded resource itself.
    pub fn value(&self) -> Bytes {
        self.bytes.slice(self.value..)
    }
}

/// The part of a `DeltaDiscoveryResponse` that is the same for all who get it.
pub fn delta_body<'a>(
    type_url: &str,
    version: &str,
    control_plane: &str,
    changed: impl Iterator<Item = &'a Entry> + Clone,
    removed: impl Iterator<Item = &'a str> + Clone,
) -> Bytes {
    let length = changed
        .clone()
        .map(|entry| entry.bytes.len())
        .sum::<usize>()
        + (removed.clone())
            .map(|name| field_length(REMOVED, name.len()))
            .sum::<usize>()
        + envelope_length(type_url, version, control_plane);
    let mut bytes = BytesMut::with_capacity(length);
    put(&mut bytes, RESPONSE_VERSION, version.as_bytes());
    changed.for_each(|entry| bytes.put_slice(entry.delta()));
    put(&mut bytes, TYPE, type_url.as_bytes());
    removed.for_each(|name| put(&mut bytes, REMOVED, name.as_bytes()));
    put_control_plane(&mut bytes, DELTA_CONTROL_PLANE, control_plane);
    bytes.freeze()
}

/// The part of a `DiscoveryResponse` that is the same for all who get it.
pub fn whole_body<'a>(
    type_url: &str,
    version: &str,
    control_plane: &str,
    resources: impl Iterator<Item = &'a Entry> + Clone,
) -> Bytes {
    let length = resources
        .clone()
        .map(|entry| entry.whole().len())
        .sum::<usize>()
        + envelope_length(type_url, version, control_plane);
    let mut bytes = BytesMut::with_capacity(length);
    put(&mut bytes, RESPONSE_VERSION, version.as_bytes());
    resources.for_each(|entry| bytes.put_slice(entry.whole()));
    put(&mut bytes, TYPE, type_url.as_bytes());
    put_control_plane(&mut bytes, CONTROL_PLANE, control_plane);
    bytes.freeze()
}

/// The rest of either kind of response, which is each stream's own; it goes behind the body.
pub fn nonce(nonce: &str) -> Bytes {
    let mut bytes = BytesMut::with_capacity(field_length(NONCE, nonce.len()));
    put(&mut bytes, NONCE, nonce.as_bytes());
    bytes.freeze()
}

fn envelope_length(type_url: &str, version: &str, control_plane: &str) -> usize {
    field_length(TYPE, type_url.len())
        + field_length(RESPONSE_VERSION, version.len())
        + field_length(CONTROL_PLANE, field_length(IDENTIFIER, control_plane.len()))
}

fn put_control_plane(into: &mut BytesMut, number: u32, identifier: &str) {
    if !identifier.is_empty() {
        put_head(into, number, field_length(IDENTIFIER, identifier.len()));
        put(into, IDENTIFIER, identifier.as_bytes());
    }
}

/// Puts a field of bytes or text.
fn put(into: &mut impl BufMut, number: u32, value: &[u8]) {
    put_head(into, number, value.len());
    into.put_slice(value);
}

/// Puts tag and length of a length-delimited field.
fn put_head(into: &mut impl BufMut, number: u32, length: usize) {
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, into);
    prost::encoding::encode_varint(length as u64, into);
}

/// The encoded length of a field of so many bytes.
pub fn field_length(number: u32, length: usize) -> usize {
    prost::encoding::key_len(number) + prost::encoding::encoded_len_varint(length as u64) + length
}

#[cfg(test)]
mod tests;
