//! What gRPC adds to HTTP/2: messages with a length before them, and a status at the end.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Where the status stands.
pub const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Where its reason stands, percent-encoded.
pub const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// `content-type` of requests and answers.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// Largest message that is read, in bytes (gRPC's usual limit).
const LARGEST: usize = 4 << 20;

/// Status codes that are made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The end of a stream that did what it was to do.
    Ok = 0,
    /// The caller wrote something unreadable.
    InvalidArgument = 3,
    /// No such method.
    Unimplemented = 12,
    /// Trying again may help.
    Unavailable = 14,
    /// The caller has nothing to be known by.
    Unauthenticated = 16,
}

/// The trailers that end a stream.
pub fn status(code: Code, message: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(STATUS, HeaderValue::from(code as u16));
    if !message.is_empty() {
        let message = percent_encoded(message);
        headers.insert(
            MESSAGE,
            HeaderValue::try_from(message).expect("only printable ASCII is left"),
        );
    }
    headers
}

/// The status in `headers`: its code and reason.
pub fn read_status(headers: &HeaderMap) -> Option<(u16, String)> {
    let code = headers.get(STATUS)?.to_str().ok()?.parse().ok()?;
    let message = headers.get(MESSAGE).map_or(&b""[..], HeaderValue::as_bytes);
    Some((code, percent_decoded(message)))
}

/// A message as it stands in a body.
pub fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("messages that are made here are small"));
    frame.put_slice(message);
    frame.freeze()
}

/// A message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No compression was offered.
    #[error("a message is compressed")]
    Compressed,
    /// Larger than gRPC's usual limit.
    #[error("a message is larger than {LARGEST} bytes")]
    TooLarge,
}

/// Finds the messages in a body that comes in pieces.
#[derive(Debug, Default)]
pub struct Messages(BytesMut);

impl Messages {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// The next whole message.
    pub fn next(&mut self) -> Result<Option<Bytes>, Unreadable> {
        let Some((&[compressed, a, b, c, d], _)) = self.0.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        match (compressed, length) {
            (0, 0..=LARGEST) if self.0.len() < 5 + length => Ok(None),
            (0, 0..=LARGEST) => {
                self.0.advance(5);
                let message = self.0.split_to(length).freeze();
                if self.0.is_empty() {
                    // A large first message does not keep its buffer for the life of the stream.
                    self.0 = BytesMut::new();
                }
                Ok(Some(message))
            }
            (0, _) => Err(Unreadable::TooLarge),
            _ => Err(Unreadable::Compressed),
        }
    }
}

/// The encoding of `grpc-message`.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn percent_decoded(message: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(message.len());
    let mut rest = message;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.map(|hex| u8::from_str_radix(hex, 16))) {
            (b'%', Some(Ok(byte))) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Code, Messages, Unreadable, framed, read_status, status};

    #[test]
    fn messages_are_found_in_whatever_pieces_they_come() {
        let body = [framed(b"one"), framed(b""), framed(b"three")].concat();
        let mut messages = Messages::default();
        let mut found = Vec::new();
        for byte in body {
            messages.push(&[byte]);
            while let Some(message) = messages.next().expect("readable") {
                found.push(message);
            }
        }
        assert_eq!(found, ["one", "", "three"]);
    }

    #[test]
    fn compressed_and_huge_messages_are_refused_before_they_are_collected() {
        for (head, expected) in [
            ([1, 0, 0, 0, 1], Unreadable::Compressed),
            ([0, 0xff, 0, 0, 0], Unreadable::TooLarge),
        ] {
            let mut messages = Messages::default();
            messages.push(&head);
            assert_eq!(messages.next(), Err(expected));
        }
    }

    #[test]
    fn a_status_with_any_text_survives() {
        let message = "100% \u{e4}\n\"x\" %";
        let headers = status(Code::Unavailable, message);
        assert_eq!(headers["grpc-message"], "100%25 %C3%A4%0A\"x\" %25");
        assert_eq!(read_status(&headers), Some((14, message.to_owned())));
        assert_eq!(read_status(&status(Code::Ok, "")), Some((0, String::new())));
    }
}
