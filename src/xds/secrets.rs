//! Secrets as proxies get them: certificates with their keys, and those who sign the certificates of callers.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::snapshot::{Key, Kind, Secret, SecretRoots, World};
use base::ObjectRef;
use mesh::SecretPlace;
use proto::codec::{self, type_url};
use proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use proto::envoy::extensions::transport_sockets::tls::v3 as tls;

use crate::{Resource, Table};

/// What the end of a name says: only the authorities are asked for.
const ROOTS: &str = "-cacert";
/// What the beginning of a name says: it is of a ConfigMap, of which nothing but authorities is told.
const CONFIG_MAP: &str = "configmap://";

/// Makes `table` one of exactly the secrets of these names; what does not exist is not in it.
pub(crate) fn update(table: &mut Table, names: &BTreeMap<String, SecretPlace>, world: &World) {
    table.become_only(names.iter().filter_map(|(name, place)| {
        let key = &place.key;
        let (kind, (key, secret)) = match place.kind {
            Kind::ConfigMap => ("ConfigMap", (key.clone(), roots(world.roots(key)?))),
            _ => ("Secret", held(key, world)?),
        };
        let message = tls::Secret {
            name: name.clone(),
            r#type: Some(secret),
        };
        let bytes = codec::encode_secret(&message);
        let origin = vec![Arc::new(ObjectRef {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: Some(key.namespace),
            name: key.name,
        })];
        Some(Arc::new(Resource::new(
            type_url::SECRET,
            name.as_str(),
            &bytes,
            origin,
        )))
    }));
}

/// What a Secret, or one beside it, holds of what is asked for.
fn held(key: &Key, world: &World) -> Option<(Key, tls::secret::Type)> {
    let Some(plain) = key.name.strip_suffix(ROOTS) else {
        return Some((key.clone(), certificate(world.secret(key)?)?));
    };
    // The authorities stand in a secret of their own, or beside the certificate.
    let beside = Key::new(key.namespace.clone(), plain);
    let own = world.secret(key).map(|secret| (key, secret));
    let found = own.or_else(|| Some((&beside, world.secret(&beside)?)));
    let (key, secret) = found?;
    Some((key.clone(), roots(secret.roots.as_ref()?)))
}

/// The part of `table` that is no secret.
pub(crate) fn public(table: &Table) -> Table {
    let mut left = Table::default();
    for resource in table
        .iter()
        .filter(|own| own.name.ends_with(ROOTS) || own.name.starts_with(CONFIG_MAP))
    {
        left.insert(resource.clone());
    }
    left
}

fn certificate(secret: &Secret) -> Option<tls::secret::Type> {
    let held = secret.certificate.as_ref()?;
    Some(tls::secret::Type::TlsCertificate(tls::TlsCertificate {
        certificate_chain: Some(inline(&held.chain)),
        private_key: Some(inline(&held.key)),
        ocsp_staple: held.staple.as_deref().map(inline),
        ..Default::default()
    }))
}

fn roots(held: &SecretRoots) -> tls::secret::Type {
    tls::secret::Type::ValidationContext(tls::CertificateValidationContext {
        trusted_ca: Some(inline(&held.certificates)),
        crl: held.revoked.as_deref().map(inline),
        ..Default::default()
    })
}

fn inline(bytes: &[u8]) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineBytes(bytes.to_vec())),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::snapshot::{Key, Kind, World, read};
    use mesh::SecretPlace;
    use proto::codec;
    use serde_json::{Value, json};

    use super::{public, update};
    use crate::Table;

    fn world(secrets: &[Value]) -> World {
        let mut world = World::new("cluster.local");
        for secret in secrets {
            let item = read(secret).expect("readable").expect("of use");
            let touched = world.put(item);
            assert!(touched.secrets && !touched.relations);
        }
        world
    }

    fn secret(name: &str, data: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "stringData": data,
            "metadata": {"namespace": "edge", "name": name}})
    }

    fn names(of: &[&str]) -> BTreeMap<String, SecretPlace> {
        let names = of.iter();
        names
            .map(|name| {
                let place = SecretPlace {
                    kind: Kind::Secret,
                    key: Key::new("edge", *name),
                };
                (format!("kubernetes://{name}"), place)
            })
            .collect()
    }

    fn made(table: &Table) -> Vec<&str> {
        table.iter().map(|resource| &*resource.name).collect()
    }

    #[test]
    fn a_secret_that_does_not_exist_is_left_out_until_it_does() {
        let mut table = Table::default();
        let names = names(&["shop", "bank"]);
        let shop = secret("shop", &json!({"tls.crt": "a", "tls.key": "b"}));
        update(&mut table, &names, &world(std::slice::from_ref(&shop)));
        assert_eq!(made(&table), ["kubernetes://shop"]);
        let version = table.version().clone();
        let bank = secret("bank", &json!({"tls.crt": "c", "tls.key": "d"}));
        update(&mut table, &names, &world(&[shop.clone(), bank]));
        assert_eq!(made(&table), ["kubernetes://bank", "kubernetes://shop"]);
        update(&mut table, &names, &world(&[shop]));
        assert_eq!(*table.version(), version);
    }

    #[test]
    fn authorities_stand_in_a_secret_of_their_own_or_beside_the_certificate() {
        let beside = secret(
            "shop",
            &json!({"tls.crt": "a", "tls.key": "b", "ca.crt": "beside"}),
        );
        let own = secret("shop-cacert", &json!({"cacert": "own"}));
        for (secrets, expected) in [(vec![beside.clone()], "beside"), (vec![beside, own], "own")] {
            let mut table = Table::default();
            update(&mut table, &names(&["shop-cacert"]), &world(&secrets));
            let resource = table.get("kubernetes://shop-cacert").expect("there");
            let text = format!(
                "{:?}",
                codec::decode_secret(&resource.bytes()).expect("a secret")
            );
            assert!(
                text.contains(&format!("{:?}", expected.as_bytes())),
                "{text}"
            );
            assert!(!text.contains("private_key: Some"), "{text}");
        }
    }

    #[test]
    fn a_config_map_is_told_until_it_is_gone_and_is_public() {
        let name = "configmap://shop/roots-cacert";
        let place = SecretPlace {
            kind: Kind::ConfigMap,
            key: Key::new("shop", "roots"),
        };
        let names = BTreeMap::from([(name.to_owned(), place.clone())]);
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": "root"},
            "metadata": {"namespace": "shop", "name": "roots"}});
        let mut table = Table::default();
        // A Secret of the same name is something else.
        let mut other = secret("roots", &json!({"ca.crt": "other"}));
        other["metadata"]["namespace"] = "shop".into();
        update(&mut table, &names, &world(std::slice::from_ref(&other)));
        assert_eq!(made(&table), [""; 0]);
        let mut world = world(&[other, map]);
        update(&mut table, &names, &world);
        assert_eq!(made(&public(&table)), [name]);
        let resource = table.get(name).expect("there");
        let text = format!("{:?}", codec::decode_secret(&resource.bytes()));
        assert!(
            text.contains(&format!("{:?}", b"root".as_slice())),
            "{text}"
        );
        assert!(world.remove(Kind::ConfigMap, &place.key).secrets);
        update(&mut table, &names, &world);
        assert_eq!(made(&table), [""; 0]);
    }

    #[test]
    fn only_authorities_are_public() {
        let both = secret(
            "shop",
            &json!({"tls.crt": "a", "tls.key": "b", "ca.crt": "c"}),
        );
        let mut table = Table::default();
        update(
            &mut table,
            &names(&["shop", "shop-cacert"]),
            &world(&[both]),
        );
        assert_eq!(made(&table).len(), 2);
        assert_eq!(made(&public(&table)), ["kubernetes://shop-cacert"]);
    }
}
