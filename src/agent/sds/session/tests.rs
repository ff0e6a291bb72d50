//! What a stream is sent when, judged by a library that knows the messages.

use prost::Message as _;

use super::{Dialect, Session};
use crate::secret::{Secrets, TYPE_URL, Versioned, own, roots};
use crate::wire::Message;

/// What both kinds of response have in the same place, read by a library.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(bytes = "vec", repeated, tag = "2")]
    resources: Vec<Vec<u8>>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, optional, tag = "2")]
    resource: Option<Any>,
    #[prost(string, tag = "3")]
    name: String,
}

fn versioned(version: &str, bytes: bytes::Bytes) -> Option<Versioned> {
    Some(Versioned {
        version: version.to_owned(),
        bytes,
    })
}

fn secrets(own_version: &str, roots_version: &str) -> Secrets {
    Secrets {
        own: versioned(own_version, own(own_version, "key")),
        roots: versioned(roots_version, roots(roots_version)),
    }
}

fn ask(session: &mut Session, request: Message) {
    session.on_request(&request.into_bytes()).expect("readable");
}

fn answer(session: &mut Session, secrets: &Secrets) -> Option<Response> {
    let response = session.next(secrets)?;
    let response = Response::decode(&response[..]).expect("a response");
    assert_eq!(response.type_url, TYPE_URL);
    Some(response)
}

fn values(response: &Response) -> Vec<Vec<u8>> {
    let any = |bytes: &Vec<u8>| Any::decode(&bytes[..]).expect("an any");
    response
        .resources
        .iter()
        .map(any)
        .map(|any| any.value)
        .collect()
}

fn names(response: &Response) -> Vec<String> {
    let resource = |bytes: &Vec<u8>| Resource::decode(&bytes[..]).expect("a resource");
    response
        .resources
        .iter()
        .map(resource)
        .map(|one| one.name)
        .collect()
}

#[test]
fn a_secret_is_sent_when_it_exists_and_again_when_it_changes() {
    let mut session = Session::new(Dialect::StateOfTheWorld);
    ask(&mut session, Message::default().with(3, "default"));
    assert!(answer(&mut session, &Secrets::default()).is_none());
    let first = answer(&mut session, &secrets("1", "1")).expect("it exists");
    assert_eq!(values(&first), [own("1", "key")]);
    // Acknowledged: nothing follows, whatever happens to the other secret.
    let acknowledged = Message::default()
        .with(1, "1")
        .with(3, "default")
        .with(5, &first.nonce);
    ask(&mut session, acknowledged);
    assert!(answer(&mut session, &secrets("1", "2")).is_none());
    let second = answer(&mut session, &secrets("2", "2")).expect("it changed");
    assert_eq!(values(&second), [own("2", "key")]);
    assert_ne!(first.nonce, second.nonce);
}

#[test]
fn a_rejected_secret_is_not_sent_again_until_it_changes() {
    let status = Message::default().with_number(1, 13).with(2, "bad key");
    for (dialect, rejection) in [
        (
            Dialect::StateOfTheWorld,
            Message::default()
                .with(3, "default")
                .with(5, "1")
                .with(6, &status),
        ),
        (
            Dialect::Delta,
            Message::default().with(6, "1").with(7, &status),
        ),
    ] {
        let mut session = Session::new(dialect);
        ask(&mut session, Message::default().with(3, "default"));
        assert!(session.next(&secrets("1", "1")).is_some());
        ask(&mut session, rejection);
        assert!(session.next(&secrets("1", "1")).is_none(), "{dialect:?}");
        assert!(session.next(&secrets("2", "1")).is_some(), "{dialect:?}");
    }
}

#[test]
fn names_that_are_added_are_answered_alone() {
    let mut session = Session::new(Dialect::StateOfTheWorld);
    ask(&mut session, Message::default().with(3, "ROOTCA"));
    assert!(session.next(&secrets("1", "1")).is_some());
    ask(
        &mut session,
        Message::default().with(3, "ROOTCA").with(3, "default"),
    );
    let response = answer(&mut session, &secrets("1", "1")).expect("one is new");
    assert_eq!(values(&response), [own("1", "key")]);
    ask(&mut session, Message::default().with(3, "ROOTCA"));
    assert!(session.next(&secrets("2", "1")).is_none());
}

#[test]
fn delta_streams_subscribe_unsubscribe_and_say_what_they_know() {
    let mut session = Session::new(Dialect::Delta);
    let known = Message::default().with(1, "ROOTCA").with(2, "1");
    let request = Message::default()
        .with(3, "ROOTCA")
        .with(3, "default")
        .with(5, known);
    ask(&mut session, request);
    let response = answer(&mut session, &secrets("1", "1")).expect("one is not known");
    assert_eq!(names(&response), ["default"]);
    // An acknowledgement names nothing and changes nothing.
    ask(&mut session, Message::default().with(6, &response.nonce));
    let response = answer(&mut session, &secrets("2", "2")).expect("both changed");
    assert_eq!(names(&response), ["ROOTCA", "default"]);
    ask(&mut session, Message::default().with(4, "default"));
    assert!(session.next(&secrets("3", "2")).is_none());
    // Who subscribes again has lost it.
    ask(&mut session, Message::default().with(3, "ROOTCA"));
    assert!(session.next(&secrets("3", "2")).is_some());
}

#[test]
fn strange_names_get_no_answer_and_strange_bytes_an_error() {
    let mut session = Session::new(Dialect::StateOfTheWorld);
    let many = (0..1000).fold(Message::default(), |message, number| {
        message.with(3, format!("kubernetes://{number}"))
    });
    ask(&mut session, many);
    assert!(session.subscribed.len() <= 64);
    assert!(session.next(&secrets("1", "1")).is_none());
    assert!(session.on_request(&[0xff]).is_err());
}

/// The numbers of the fields are Envoy's: the whole path, by its own names.
#[test]
fn secrets_have_envoys_fields() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct DataSource {
        #[prost(bytes = "vec", tag = "2")]
        inline_bytes: Vec<u8>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct TlsCertificate {
        #[prost(message, optional, tag = "1")]
        certificate_chain: Option<DataSource>,
        #[prost(message, optional, tag = "2")]
        private_key: Option<DataSource>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct ValidationContext {
        #[prost(message, optional, tag = "1")]
        trusted_ca: Option<DataSource>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Secret {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "2")]
        tls_certificate: Option<TlsCertificate>,
        #[prost(message, optional, tag = "4")]
        validation_context: Option<ValidationContext>,
    }
    let source = |text: &str| {
        Some(DataSource {
            inline_bytes: text.into(),
        })
    };
    let expected = Secret {
        name: "default".to_owned(),
        tls_certificate: Some(TlsCertificate {
            certificate_chain: source("chain"),
            private_key: source("key"),
        }),
        validation_context: None,
    };
    assert_eq!(Secret::decode(own("chain", "key")), Ok(expected));
    let expected = Secret {
        name: "ROOTCA".to_owned(),
        tls_certificate: None,
        validation_context: Some(ValidationContext {
            trusted_ca: source("pem"),
        }),
    };
    assert_eq!(Secret::decode(roots("pem")), Ok(expected));
}

#[test]
fn a_secret_from_files_is_sent_when_these_are_read_and_when_they_change() {
    let mut session = Session::new(Dialect::StateOfTheWorld);
    let none = Secrets::default();
    ask(
        &mut session,
        Message::default().with_element(3, "file-root:/a"),
    );
    assert_eq!(session.of_files().collect::<Vec<_>>(), ["file-root:/a"]);
    assert!(answer(&mut session, &none).is_none());
    for version in ["1", "2"] {
        let secret = versioned(version, roots(version)).expect("a secret");
        session.on_file("file-root:/a".to_owned(), secret);
        let sent = answer(&mut session, &none).expect("what was read");
        assert_eq!(sent.resources.len(), 1);
        assert!(answer(&mut session, &none).is_none());
    }
}
