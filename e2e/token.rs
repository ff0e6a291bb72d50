//! An issuer of tokens: its key, the key set that proxies check with, and tokens that it signs.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The one name that all issuers here have.
pub const NAME: &str = "https://issuer.test";

/// A key of an issuer.
pub struct Issuer {
    key: EcdsaKeyPair,
    id: String,
}

impl Issuer {
    /// A fresh key with this id.
    pub fn new(id: &str) -> Self {
        Issuer {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"),
            id: id.to_owned(),
        }
    }

    /// The public half, as a key of a JSON Web Key Set.
    pub fn public(&self) -> Value {
        // An uncompressed point: a byte that says so, then both coordinates.
        let point = self.key.public_key().as_ref();
        let coordinate = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id,
            "x": coordinate(1), "y": coordinate(33)})
    }

    /// A token that is good for ten years and says `claims` too.
    pub fn token(&self, subject: &str, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.id});
        let mut payload = json!({"iss": NAME, "sub": subject, "exp": 2_100_000_000_u32});
        for (name, value) in claims.as_object().into_iter().flatten() {
            payload[name] = value.clone();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&payload));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("it signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// The set of these keys.
pub fn key_set(issuers: &[&Issuer]) -> String {
    let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.public()).collect();
    json!({"keys": keys}).to_string()
}
