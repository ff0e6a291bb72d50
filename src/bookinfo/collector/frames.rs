//! Messages of gRPC out of the bytes of a body: a flag, a length, the message.

use bytes::{Buf, Bytes, BytesMut};

/// What has come of a body so far.
#[derive(Default)]
pub struct Frames(BytesMut);

impl Frames {
    /// The next bytes of the body.
    pub fn push(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
    }

    /// The next message that is there whole.
    pub fn whole(&mut self) -> Option<Bytes> {
        let header = self.0.get(..5)?;
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let length = usize::try_from(length).ok()?;
        if self.0.len() < 5 + length {
            return None;
        }
        self.0.advance(5);
        Some(self.0.split_to(length).freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::Frames;

    #[test]
    fn a_message_comes_when_its_last_byte_has_come() {
        let mut frames = Frames::default();
        let bytes = [0, 0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        let mut found = Vec::new();
        for byte in bytes {
            frames.push(&[byte]);
            found.extend(frames.whole());
        }
        assert_eq!(found, [&[7, 8][..], &[], &[9]]);
        assert_eq!(frames.whole(), None);
    }
}
