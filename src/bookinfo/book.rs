//! The one book there is, number 0: what each service knows about it.

use serde_json::{Value, json};

/// As productpage shows it.
pub const TITLE: &str = "Moby-Dick; or, The Whale";
/// As productpage shows it.
pub const DESCRIPTION: &str = "A schoolmaster goes to sea and finds that his captain is after one particular whale. \
     Much is learned about rope, oil and obsession before the two meet.";

/// What `details` knows.
pub fn details() -> Value {
    json!({
        "id": 0,
        "author": "Herman Melville",
        "year": 1851,
        "publisher": "Harper & Brothers",
        "pages": 635,
        "language": "English",
        "kind": "novel",
    })
}

/// Reader and what they say.
pub const REVIEWS: [(&str, &str); 2] = [
    (
        "Ada",
        "I came for the whale and stayed for the chapter on ropes. Everything is tied to everything.",
    ),
    (
        "Bruno",
        "Long, wet and splendid. One star off for the captain, who ignores every timeout.",
    ),
];

/// Stars of the same readers, of five.
pub const RATINGS: [(&str, u8); 2] = [("Ada", 5), ("Bruno", 4)];

/// The number in `/prefix/NUMBER`, when there is such a book.
pub fn number(path: &str, prefix: &str) -> Option<u32> {
    path.strip_prefix(prefix)?
        .parse()
        .ok()
        .filter(|number| *number == 0)
}
