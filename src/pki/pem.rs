//! PEM text, and the one piece of DER that no library hands out: the PKCS#1 key inside of PKCS#8.

use pem::{EncodeConfig, LineEnding, Pem};
use x509_parser::asn1_rs::{FromDer, Integer, OctetString, Oid, Sequence};

/// rsaEncryption (RFC 8017).
const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";

/// One PEM block with lines of 64 characters and a final newline.
pub fn encode(label: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}

/// The first PEM block in `text`.
pub fn decode(text: &str) -> Option<Pem> {
    pem::parse(text).ok()
}

/// The PKCS#1 structure inside of a PKCS#8 one (RFC 5208), when that holds an RSA key.
pub fn rsa_of_pkcs8(der: &[u8]) -> Option<Vec<u8>> {
    let (_, outer) = <Sequence as FromDer>::from_der(der).ok()?;
    let (rest, _version) = <Integer as FromDer>::from_der(&outer.content).ok()?;
    let (rest, algorithm) = <Sequence as FromDer>::from_der(rest).ok()?;
    let (_, oid) = <Oid as FromDer>::from_der(&algorithm.content).ok()?;
    if oid.to_id_string() != RSA_ENCRYPTION {
        return None;
    }
    let (_, key) = <OctetString as FromDer>::from_der(rest).ok()?;
    Some(key.as_ref().to_vec())
}
