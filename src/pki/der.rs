//! Writes the little DER (X.690) that certificates and signing requests need. Reads nothing.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SigningKey};
use time::OffsetDateTime;

use crate::Error;

pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OID: u8 = 0x06;
pub const UTF8_STRING: u8 = 0x0c;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;
/// DER of `TRUE`.
pub const TRUE: [u8; 3] = [0x01, 0x01, 0xff];

/// One element: tag, length, contents.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = Vec::with_capacity(length + 6);
    der.push(tag);
    match u8::try_from(length) {
        Ok(short @ 0..=0x7f) => der.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
            let significant = &bytes[first..];
            der.push(0x80 | u8::try_from(significant.len()).expect("at most eight"));
            der.extend_from_slice(significant);
        }
    }
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

/// A sequence.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, parts)
}

/// Whole octets as a bit string.
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes])
}

/// One extension (RFC 5280, 4.1): `value` is its DER.
pub fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &TRUE } else { &[] };
    sequence(&[
        &element(OID, &[oid]),
        critical,
        &element(OCTET_STRING, &[value]),
    ])
}

/// `GeneralNames` of one URI.
pub fn uri_names(uri: &str) -> Vec<u8> {
    sequence(&[&element(0x86, &[uri.as_bytes()])])
}

/// A moment as certificates write it (RFC 5280, 4.1.2.5): two digits of the year until 2049, four after.
pub fn moment(at: OffsetDateTime) -> Vec<u8> {
    let at = at.to_offset(time::UtcOffset::UTC);
    let rest = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    match at.year() {
        year @ 1950..=2049 => element(0x17, &[format!("{:02}{rest}", year % 100).as_bytes()]),
        year => element(0x18, &[format!("{year:04}{rest}").as_bytes()]),
    }
}

/// `key`'s AlgorithmIdentifier for signatures.
pub fn signature_algorithm(key: &KeyPair) -> Result<Vec<u8>, Error> {
    // sha256WithRSAEncryption has NULL parameters (RFC 4055), ECDSA has none (RFC 5758).
    const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    const NULL: &[u8] = &[0x05, 0x00];
    let algorithm = key.algorithm();
    let (oid, parameters) = if algorithm == &PKCS_RSA_SHA256 {
        (RSA_SHA256, NULL)
    } else if algorithm == &PKCS_ECDSA_P256_SHA256 {
        (ECDSA_SHA256, &[][..])
    } else if algorithm == &PKCS_ECDSA_P384_SHA384 {
        (ECDSA_SHA384, &[][..])
    } else {
        return Err(Error::UnsupportedKey(format!("{algorithm:?}")));
    };
    Ok(sequence(&[&element(OID, &[oid]), parameters]))
}

/// What is to be signed, the algorithm and the signature: the outer form of certificates and requests.
pub fn signed(to_be_signed: &[u8], key: &KeyPair) -> Result<Vec<u8>, Error> {
    let algorithm = signature_algorithm(key)?;
    let signature = key.sign(to_be_signed)?;
    Ok(sequence(&[
        to_be_signed,
        &algorithm,
        &bit_string(&signature),
    ]))
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::{OCTET_STRING, element, moment};

    #[test]
    fn lengths_take_as_many_octets_as_they_need() {
        for (length, head) in [
            (0x7f, &[0x04, 0x7f][..]),
            (0x80, &[0x04, 0x81, 0x80]),
            (0x100, &[0x04, 0x82, 0x01, 0x00]),
        ] {
            let content = vec![7; length];
            let der = element(OCTET_STRING, &[&content]);
            assert_eq!(&der[..head.len()], head);
            assert_eq!(der.len(), head.len() + length);
        }
    }

    #[test]
    fn years_from_2050_have_four_digits() {
        let before = OffsetDateTime::from_unix_timestamp(2_524_607_999).expect("a moment");
        assert_eq!(moment(before), b"\x17\x0d491231235959Z");
        let after = before + Duration::SECOND;
        assert_eq!(moment(after), b"\x18\x0f20500101000000Z");
    }
}
