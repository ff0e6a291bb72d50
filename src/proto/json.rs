//! Messages as proto3 JSON, by reflection on `envoy.fds`: for people and for comparisons, never on
//! the way to a proxy. The descriptor pool takes some 20 ms and 20 MB once, when first needed.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::decode(include_bytes!("envoy.fds").as_slice())
        .expect("the set that the types were generated from is complete");
    for file in crate::contrib::descriptors() {
        pool.add_file_descriptor_proto(file)
            .expect("the descriptors by hand are well formed, as a test shows");
    }
    pool
});

/// Why a message has no JSON form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoJson(String);

impl std::fmt::Display for NoJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoJson {}

/// An encoded message of the type that `type_url` names; every Any in it is expanded with `@type`,
/// default values are absent.
///
/// # Errors
/// [`NoJson`] for an unknown type here or in an Any, or bytes that are not such a message.
pub fn text(type_url: &str, bytes: &[u8]) -> Result<String, NoJson> {
    let name = type_url.rsplit('/').next().unwrap_or(type_url);
    let descriptor = POOL
        .get_message_by_name(name)
        .ok_or_else(|| NoJson(format!("{name} is not among the known messages")))?;
    let message = DynamicMessage::decode(descriptor, bytes)
        .map_err(|error| NoJson(format!("not a valid {name}: {error}")))?;
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut out);
    message
        .serialize_with_options(&mut serializer, &prost_reflect::SerializeOptions::new())
        .map_err(|error| NoJson(format!("{name}: {error}")))?;
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::text;
    use crate::contrib::{NameInfo, NameTable};
    use crate::pack::Pack;

    #[test]
    fn messages_kept_by_hand_have_json() {
        let info = NameInfo {
            ips: vec!["10.0.0.1".to_owned()],
            registry: "Kubernetes".to_owned(),
            ..Default::default()
        };
        let packed = NameTable {
            table: BTreeMap::from([("store.demo".to_owned(), info)]),
        }
        .pack();
        let found = text(&packed.type_url, &packed.value).expect("known");
        assert_eq!(
            found,
            r#"{"table":{"store.demo":{"ips":["10.0.0.1"],"registry":"Kubernetes"}}}"#
        );
    }

    #[test]
    fn an_unknown_type_is_named() {
        let error = text("type.googleapis.com/no.Such", &[]).expect_err("unknown");
        assert_eq!(error.to_string(), "no.Such is not among the known messages");
    }
}
