use bytes::Bytes;
use futures::StreamExt;
use futures::executor::block_on;
use http_body_util::StreamBody;
use prost::Message;
use tonic::body::Body;
use tonic::{Code, Status};

use super::Incoming;
use crate::envoy::service::discovery::v3::DeltaDiscoveryRequest;

fn request(names: usize) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: "a".to_owned(),
        resource_names_subscribe: (0..names).map(|n| format!("name-{n}")).collect(),
        ..Default::default()
    }
}

fn framed(request: &DeltaDiscoveryRequest) -> Vec<u8> {
    let body = request.encode_to_vec();
    let length = u32::try_from(body.len()).expect("small");
    [&[0][..], &length.to_be_bytes(), &body].concat()
}

type Got = Vec<Result<DeltaDiscoveryRequest, Code>>;

/// What comes of these bytes, in frames of a size.
fn read(bytes: &[u8], size: usize) -> Got {
    let frames: Vec<Result<_, Status>> = bytes
        .chunks(size)
        .map(|chunk| Ok(http_body::Frame::data(Bytes::copy_from_slice(chunk))))
        .collect();
    let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
    let read: Incoming<DeltaDiscoveryRequest> = Incoming::new(body, 1 << 20);
    block_on(
        read.map(|got| got.map_err(|status| status.code()))
            .collect(),
    )
}

#[test]
fn requests_come_whole_however_they_are_cut() {
    let sent = [request(0), request(3), request(10_000), request(1)];
    let bytes: Vec<u8> = sent.iter().flat_map(framed).collect();
    let expected: Got = sent.into_iter().map(Ok).collect();
    for size in [1, 4, 5, 6, 7, 100, 16_384, bytes.len()] {
        assert_eq!(read(&bytes, size), expected, "frames of {size}");
    }
}

#[test]
fn nothing_is_held_between_requests() {
    let (first, rest) = (framed(&request(10_000)), framed(&request(1)));
    let frames = [first[..9].to_vec(), [&first[9..], &rest].concat()];
    let frames = frames.map(|bytes| Ok::<_, Status>(http_body::Frame::data(Bytes::from(bytes))));
    let body = Body::new(StreamBody::new(
        futures::stream::iter(frames).chain(futures::stream::pending()),
    ));
    let mut read: Incoming<DeltaDiscoveryRequest> = Incoming::new(body, 1 << 20);
    for expected in [10_000, 1] {
        let got = block_on(read.next()).expect("a request").expect("readable");
        assert_eq!(got.resource_names_subscribe.len(), expected);
    }
    let waiting = futures::FutureExt::now_or_never(read.next());
    assert!(waiting.is_none(), "{waiting:?}");
    assert_eq!((read.begun.capacity(), read.frame.len()), (0, 0));
}

#[test]
fn a_length_alone_costs_nothing() {
    let body = Body::new(StreamBody::new(
        futures::stream::iter([Ok::<_, Status>(http_body::Frame::data(Bytes::from_static(
            &[0, 0, 15, 255, 255, 1],
        )))])
        .chain(futures::stream::pending()),
    ));
    let mut read: Incoming<DeltaDiscoveryRequest> = Incoming::new(body, 1 << 20);
    assert!(futures::FutureExt::now_or_never(read.next()).is_none());
    assert!(read.begun.capacity() <= super::AHEAD + super::HEAD);
}

#[test]
fn what_is_no_request_ends_the_stream() {
    let good = framed(&request(1));
    for (bytes, code) in [
        (vec![1, 0, 0, 0, 0], Code::Unimplemented),
        (vec![0, 0, 16, 0, 1], Code::OutOfRange),
        (vec![0, 0, 0, 0, 2, 255, 255], Code::InvalidArgument),
        (good[..good.len() - 1].to_vec(), Code::Internal),
        (vec![0, 0], Code::Internal),
    ] {
        let all = [&good[..], &bytes].concat();
        for size in [1, all.len()] {
            assert_eq!(read(&all, size), [Ok(request(1)), Err(code)], "{bytes:?}");
        }
    }
}
