//! JSON Web Key Sets: whether proxies can read one. Envoy refuses a whole listener for a set without a key that it
//! can use, so no other set may reach it. The rules are those of its reader (`source/common/jwt`), seen in 1.40.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use num_bigint::BigUint;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// What proxies read.
const ACCEPTED: &str = "a JSON Web Key Set with a key that proxies can use: RSA (n of 512 to 16384 bits, e of \
                        65537 or 3), EC (crv P-256, P-384 or P-521, x, y), OKP (crv Ed25519, x) or oct (k)";
/// Lists and objects in each other, at most.
const DEEPEST: usize = 100;
/// Keys of which is said what is wrong, at most.
const TOLD: usize = 3;

/// Whether proxies find a key in the text that they can use; they leave out what they cannot.
///
/// # Errors
/// Why they do not, and what they would read. Whatever is of the text stands in quotation marks, and nothing else
/// does.
pub fn check(text: &str) -> Result<(), String> {
    usable(text).map_err(|reason| format!("{reason}, expected {ACCEPTED}"))
}

fn usable(text: &str) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Reader { depth: 0 }.deserialize(&mut reader);
    let read = read.and_then(|read| reader.end().map(|()| read));
    let set = read.map_err(|error| format!("is no JSON ({error})"))?;
    let Json::Object(set) = set else {
        return Err("is no JSON object".to_owned());
    };
    let Some(Json::List(keys)) = set.get("keys") else {
        return Err("has no list of keys".to_owned());
    };
    let mut reasons = Vec::new();
    for (place, own) in keys.iter().enumerate() {
        let judged = match own {
            Json::Object(members) => key(members),
            _ => Err("is no object".to_owned()),
        };
        match judged {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(format!("key {place} {reason}")),
        }
    }
    let others = reasons.len().saturating_sub(TOLD);
    reasons.truncate(TOLD);
    if others > 0 {
        reasons.push(format!("{others} more"));
    }
    Err(match reasons.is_empty() {
        true => "has no keys".to_owned(),
        false => format!("has no usable key: {}", reasons.join(", ")),
    })
}

/// JSON as proxies read it: no name twice, and not too deep. Only what keys are made of is kept.
enum Json {
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
    Other,
}

struct Reader {
    depth: usize,
}

impl Reader {
    fn inner<E: Error>(&self) -> Result<Self, E> {
        match self.depth < DEEPEST {
            true => Ok(Reader {
                depth: self.depth + 1,
            }),
            false => Err(E::custom(format!("deeper than {DEEPEST} levels"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        self.inner::<A::Error>()?;
        while let Some(element) = seq.next_element_seed(self.inner::<A::Error>()?)? {
            list.push(element);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = BTreeMap::new();
        self.inner::<A::Error>()?;
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.inner::<A::Error>()?)?;
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("{name:?} is there twice")));
            }
            members.insert(name, value);
        }
        Ok(Json::Object(members))
    }
}

type Members = BTreeMap<String, Json>;

/// Whether a key can be used.
fn key(key: &Members) -> Result<(), String> {
    // One that is no text counts as none.
    let algorithm = match key.get("alg") {
        Some(Json::Text(text)) => text.as_str(),
        _ => "",
    };
    let kind = needed(key, "kty")?;
    match kind {
        "RSA" => rsa(key, algorithm),
        "EC" => elliptic(key, algorithm),
        "OKP" => octet_pair(key, algorithm),
        "oct" => secret(key, algorithm),
        other => Err(format!("is of kind {other:?}")),
    }
}

fn optional<'a>(key: &'a Members, name: &str) -> Result<&'a str, String> {
    match key.get(name) {
        None => Ok(""),
        Some(Json::Text(text)) => Ok(text),
        Some(_) => Err(format!("has a member {name} that is no text")),
    }
}

fn needed<'a>(key: &'a Members, name: &str) -> Result<&'a str, String> {
    match key.contains_key(name) {
        true => optional(key, name),
        false => Err(format!("has no {name}")),
    }
}

fn bytes(key: &Members, name: &str) -> Result<Vec<u8>, String> {
    let decoded = decoded(needed(key, name)?);
    decoded.ok_or_else(|| format!("has a member {name} that is no base64url"))
}

fn number(key: &Members, name: &str) -> Result<BigUint, String> {
    Ok(BigUint::from_bytes_be(&bytes(key, name)?))
}

/// As `absl::WebSafeBase64Unescape` has it: spaces do not count, and padding, which may be of dots, is whole or
/// not there.
fn decoded(text: &str) -> Option<Vec<u8>> {
    const READER: GeneralPurpose = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireNone),
    );
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let digits = text.trim_end_matches(['=', '.']);
    let padded = digits.len() < text.len();
    if padded && (!text.len().is_multiple_of(4) || text.len() - digits.len() > 2) {
        return None;
    }
    READER.decode(digits).ok()
}

fn is_of(algorithm: &str, known: impl Fn(&str) -> bool) -> Result<(), String> {
    match algorithm.is_empty() || known(algorithm) {
        true => Ok(()),
        false => Err(format!("has alg {algorithm:?}, which is not of its kind")),
    }
}

fn rsa(key: &Members, algorithm: &str) -> Result<(), String> {
    is_of(algorithm, |own| {
        own.starts_with("RS") || own.starts_with("PS")
    })?;
    let (modulus, exponent) = (number(key, "n")?, number(key, "e")?);
    if ![3_u32, 65537].map(BigUint::from).contains(&exponent) {
        return Err("has another e than 65537 and 3".to_owned());
    }
    match (512..=16384).contains(&modulus.bits()) && modulus.bit(0) {
        true => Ok(()),
        false => Err(format!(
            "has an n that is no modulus ({} bits)",
            modulus.bits()
        )),
    }
}

fn secret(key: &Members, algorithm: &str) -> Result<(), String> {
    is_of(algorithm, |own| ["HS256", "HS384", "HS512"].contains(&own))?;
    match bytes(key, "k")?.is_empty() {
        true => Err("has an empty k".to_owned()),
        false => Ok(()),
    }
}

fn octet_pair(key: &Members, algorithm: &str) -> Result<(), String> {
    is_of(algorithm, |own| own == "EdDSA")?;
    let curve = needed(key, "crv")?;
    if curve != "Ed25519" {
        return Err(format!("has crv {curve:?}"));
    }
    match bytes(key, "x")?.len() {
        32 => Ok(()),
        other => Err(format!("has an x of {other} bytes, not 32")),
    }
}

/// A curve y² = x³ - 3x + b over the integers modulo p (FIPS 186, SP 800-186 §3.2.1).
struct Curve {
    name: &'static str,
    algorithm: &'static str,
    p: BigUint,
    b: BigUint,
}

impl Curve {
    fn has(&self, x: &BigUint, y: &BigUint) -> bool {
        let p = &self.p;
        x < p && y < p && y * y % p == (x * x * x + (p - 3_u32) * x + &self.b) % p
    }
}

static CURVES: LazyLock<[Curve; 3]> = LazyLock::new(|| {
    let read = |digits: &[u8]| BigUint::parse_bytes(digits, 16).expect("hexadecimal digits");
    let two = |power: u32| BigUint::from(1_u32) << power;
    [
        Curve {
            name: "P-256",
            algorithm: "ES256",
            p: two(256) - two(224) + two(192) + two(96) - 1_u32,
            b: read(b"5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"),
        },
        Curve {
            name: "P-384",
            algorithm: "ES384",
            p: two(384) - two(128) - two(96) + two(32) - 1_u32,
            b: read(
                b"b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
            ),
        },
        Curve {
            name: "P-521",
            algorithm: "ES512",
            p: two(521) - 1_u32,
            b: read(
                b"51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
            ),
        },
    ]
});

fn elliptic(key: &Members, algorithm: &str) -> Result<(), String> {
    is_of(algorithm, |own| own.starts_with("ES"))?;
    let name = optional(key, "crv")?;
    // The algorithm says the curve too; without either it is the first.
    let curve = match (name, algorithm) {
        ("", "") => CURVES.first(),
        ("", own) => CURVES.iter().find(|curve| curve.algorithm == own),
        (name, own) => CURVES
            .iter()
            .find(|curve| curve.name == name && (own.is_empty() || curve.algorithm == own)),
    };
    let curve = curve.ok_or_else(|| format!("has crv {name:?} with alg {algorithm:?}"))?;
    let (x, y) = (number(key, "x")?, number(key, "y")?);
    match curve.has(&x, &y) {
        true => Ok(()),
        false => Err(format!("has x and y that are no point of {}", curve.name)),
    }
}

#[cfg(test)]
mod tests;
