//! What is put together here is what prost would have encoded, as far as a reader can tell.

use prost::Message;

use super::{Entry, delta_body, nonce, whole_body};
use crate::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};

fn entries() -> Vec<Entry> {
    let long = vec![7u8; 300];
    vec![
        Entry::new("type/t", "a", "v1", b"one"),
        Entry::new("type/t", "b", "v2", &long),
    ]
}

#[test]
fn a_delta_response_reads_as_written() {
    let (entries, removed) = (entries(), ["c", "d"]);
    let body = delta_body("type/t", "v", "me", entries.iter(), removed.into_iter());
    let bytes = [&body[..], &nonce("n7")[..]].concat();
    let read = DeltaDiscoveryResponse::decode(&bytes[..]).expect("a response");
    assert_eq!(read.system_version_info, "v");
    assert_eq!(read.type_url, "type/t");
    assert_eq!(read.nonce, "n7");
    assert_eq!(read.removed_resources, removed);
    assert_eq!(read.control_plane.expect("one").identifier, "me");
    assert_eq!(read.resources.len(), 2);
    assert_eq!(read.resources[0].name, "a");
    assert_eq!(read.resources[0].version, "v1");
    let any = read.resources[1].resource.clone().expect("a resource");
    assert_eq!((any.type_url.as_str(), any.value.len()), ("type/t", 300));
}

#[test]
fn a_whole_response_reads_as_written() {
    let entries = entries();
    let body = whole_body("type/t", "v", "", entries.iter());
    let bytes = [&body[..], &nonce("n7")[..]].concat();
    let read = DiscoveryResponse::decode(&bytes[..]).expect("a response");
    assert_eq!(
        (read.version_info.as_str(), read.nonce.as_str()),
        ("v", "n7")
    );
    assert_eq!(read.control_plane, None);
    assert_eq!(read.resources.len(), 2);
    assert_eq!(read.resources[0].value[..], b"one"[..]);
    assert_eq!(entries[0].value()[..], b"one"[..]);
}
