use std::path::Path;

use serde_json::Value;

use super::{Input, Origin, analyze};

fn lines(text: &str, origin: Origin) -> String {
    let objects = api::yaml::documents(text).expect("YAML");
    let messages = analyze(&Input {
        objects: &objects,
        origin,
        mesh: &Value::Null,
        networks: &Value::Null,
        now: 1_800_000_000,
    });
    let line = |message: &super::Message| {
        let (level, code) = (message.code.level.as_str(), message.code.code);
        format!("{level} {code} {}: {}\n", message.origin(), message.text)
    };
    messages.iter().map(line).collect()
}

/// Each `TOPIC.in.yaml` gives the lines of `TOPIC.out.txt`; UPDATE_GOLDENS=1 writes them anew.
#[test]
fn each_topic_says_what_its_golden_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut topics = 0;
    for entry in std::fs::read_dir(&folder).expect("testdata") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("UTF-8");
        let Some(topic) = name.strip_suffix(".in.yaml") else {
            continue;
        };
        let found = lines(
            &std::fs::read_to_string(&path).expect("readable"),
            Origin::Files,
        );
        let golden = folder.join(format!("{topic}.out.txt"));
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&golden, &found).expect("writable");
        }
        let expected = std::fs::read_to_string(&golden).expect("a golden");
        assert_eq!(found, expected, "{}", golden.display());
        topics += 1;
    }
    assert!(topics > 5, "{topics} topics only");
}

const GATEWAY: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]
";

#[test]
fn files_alone_are_read_beside_a_default_installation() {
    assert_eq!(lines(GATEWAY, Origin::Files), "");
    assert!(lines(GATEWAY, Origin::Cluster).contains("IST0101 Gateway shop/front"));
}

#[test]
fn the_default_configuration_has_no_findings() {
    assert_eq!(lines("", Origin::Files), "");
}
