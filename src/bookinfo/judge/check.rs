//! What a proxy asks over gRPC, and what it is answered: `CheckRequest` and `CheckResponse` of
//! `envoy.service.auth.v3`, as far as a verdict needs them.

use std::collections::BTreeMap;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "4")]
    request: Option<Request>,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, optional, tag = "2")]
    http: Option<Http>,
}

#[derive(Clone, PartialEq, Message)]
struct Http {
    #[prost(btree_map = "string, string", tag = "3")]
    headers: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    denied: Option<Denied>,
    #[prost(message, optional, tag = "3")]
    allowed: Option<Allowed>,
}

/// A code of gRPC: 0 lets the request pass.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<HttpStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Allowed {}

const PERMISSION_DENIED: i32 = 7;
const FORBIDDEN: i32 = 403;

/// The answer to a question; none to what is no question.
pub fn verdict(question: &[u8]) -> Option<Vec<u8>> {
    let question = CheckRequest::decode(question).ok()?;
    let http = question.attributes?.request?.http?;
    let refuses = http.headers.get("x-verdict").is_some_and(|own| own == "no");
    let answer = match refuses {
        true => CheckResponse {
            status: Some(Status {
                code: PERMISSION_DENIED,
            }),
            denied: Some(Denied {
                status: Some(HttpStatus { code: FORBIDDEN }),
            }),
            allowed: None,
        },
        false => CheckResponse {
            status: Some(Status { code: 0 }),
            denied: None,
            allowed: Some(Allowed {}),
        },
    };
    Some(answer.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::{CheckRequest, verdict};
    use prost::Message;

    /// As a proxy writes it, with what is not read here: a time, an id, a method and a path.
    fn question(name: &str, value: &str) -> Vec<u8> {
        let field = |tag: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).expect("it is short");
            [&[tag << 3 | 2, length], content].concat()
        };
        let header = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
        let http = [
            field(1, b"7"),
            field(2, b"GET"),
            field(3, &header),
            field(4, b"/"),
        ];
        let request = [field(1, &[]), field(2, &http.concat())].concat();
        field(1, &field(4, &request))
    }

    #[test]
    fn the_header_decides() {
        // Status 0 and an answer that allows; status 7 and an answer that denies with 403.
        let yes = verdict(&question("x-verdict", "yes"));
        assert_eq!(yes.as_deref(), Some(&[0x0a, 0, 0x1a, 0][..]));
        let no = verdict(&question("x-verdict", "no"));
        let expected = [0x0a, 2, 8, 7, 0x12, 5, 0x0a, 3, 8, 0x93, 3];
        assert_eq!(no.as_deref(), Some(&expected[..]));
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        assert_eq!(verdict(&[255]), None);
        assert_eq!(verdict(&CheckRequest::default().encode_to_vec()), None);
    }
}
