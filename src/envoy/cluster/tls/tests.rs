use proto::codec::decode_cluster;
use proto::envoy::config::cluster::v3 as wire;
use proto::writer::Writer;

use super::{Mutual, by_ability, mutual_socket, put_by_ability};

#[test]
fn what_is_written_is_what_is_built() {
    for (istio, http2) in [(false, false), (false, true), (true, false), (true, true)] {
        for names in [vec![], vec!["spiffe://a", "spiffe://b"]] {
            for sni in ["", "outbound_.80_._.web.shop.svc.cluster.local"] {
                let mutual = Mutual {
                    sni: sni.to_owned(),
                    names: names.iter().map(|name| (*name).to_owned()).collect(),
                    unchecked: false,
                };
                let mut written = Writer::default();
                put_by_ability(istio, &mutual, http2, &mut written);
                let socket = mutual_socket(istio, mutual, http2);
                let built = wire::Cluster {
                    transport_socket_matches: by_ability(socket).into(),
                    ..Default::default()
                };
                let read = decode_cluster(written.bytes()).expect("a cluster");
                assert_eq!(read, built, "{istio} {http2} {names:?} {sni}");
            }
        }
    }
}
