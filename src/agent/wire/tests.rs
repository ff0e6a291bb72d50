//! The hand-written codec against a library.

use prost::Message as _;

use super::{Malformed, Message, Value, fields, text};

/// The same by a library.
#[derive(Clone, PartialEq, prost::Message)]
struct Known {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    number: i64,
    #[prost(string, repeated, tag = "20")]
    list: Vec<String>,
    #[prost(fixed64, tag = "21")]
    wide: u64,
    #[prost(fixed32, tag = "22")]
    narrow: u32,
}

#[test]
fn what_is_written_is_what_a_library_writes() {
    for number in [0, 1, 127, 128, 86_400, i64::MAX] {
        let known = Known {
            name: "x".repeat(300),
            number,
            list: vec!["a".to_owned(), String::new()],
            ..Known::default()
        };
        let written = Message::default()
            .with(1, &known.name)
            .with_number(3, number.unsigned_abs())
            .with_element(20, "a")
            .with_element(20, "");
        assert_eq!(written.into_bytes(), known.encode_to_vec());
    }
}

#[test]
fn what_a_library_writes_is_read() {
    let known = Known {
        name: "name".to_owned(),
        number: 300,
        list: vec!["a".to_owned()],
        wide: 7,
        narrow: 9,
    };
    let bytes = known.encode_to_vec();
    let read: Result<Vec<_>, _> = fields(&bytes).collect();
    let read = read.expect("a message");
    assert_eq!(read[0], (1, Value::Bytes(b"name")));
    assert_eq!(read[1], (3, Value::Number(300)));
    assert_eq!(read[2], (20, Value::Bytes(b"a")));
    assert_eq!(read.len(), 5);
}

#[test]
fn broken_messages_end_with_an_error_and_never_panic() {
    let whole = Message::default()
        .with(1, "abc")
        .with_number(2, 1 << 40)
        .into_bytes();
    for length in 0..whole.len() {
        let read: Vec<_> = fields(&whole[..length]).collect();
        assert!(read.len() <= 2);
        let complete = [0, 5].contains(&length);
        assert_eq!(
            read.last().is_some_and(Result::is_err),
            !complete,
            "{length}"
        );
    }
    for bytes in [
        &[0x0f][..],
        &[0x00, 0x00],
        &[0xff; 12],
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ] {
        assert_eq!(fields(bytes).last(), Some(Err(Malformed)), "{bytes:?}");
    }
    assert_eq!(text(&[0xff]), Err(Malformed));
}
