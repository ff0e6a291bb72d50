//! Certificates of workloads: one SPIFFE URI, and the key of a signing request copied byte for byte.
//! Assembled here, because libraries rebuild the key from what they understand of it.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use time::{Duration, OffsetDateTime};

use crate::signer::{CLOCK_SKEW, Signer};
use crate::{Certificate, Error, SigningRequest, der};

/// subjectAltName (RFC 5280, 4.2.1.6).
pub(crate) const ALTERNATIVE_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
/// Longest common name (RFC 5280, ub-common-name).
const MAX_COMMON_NAME: usize = 64;

impl Signer {
    /// A certificate for the key in `request` with the one alternative name `uri`, as upstream's template has it:
    /// empty subject (`uri` as common name when the request has one and it fits), critical alternative name, key
    /// usages digitalSignature and keyEncipherment, server and client authentication, no CA, random 128-bit serial,
    /// valid from two minutes before `now` and until the signer's end at the latest.
    ///
    /// # Errors
    /// [`Error::NotValidNow`] when the signer is not valid at `now`; otherwise when the system gives no randomness or
    /// the signer's key cannot sign.
    pub fn issue_workload(
        &self,
        request: &SigningRequest,
        uri: &str,
        now: OffsetDateTime,
        lifetime: Duration,
    ) -> Result<Certificate, Error> {
        let signer = self.valid_at(now)?;
        let mut serial = [0u8; 16];
        SystemRandom::new()
            .fill(&mut serial)
            .map_err(|_| rcgen::Error::RingUnspecified)?;
        // Positive, and no leading zero octet that DER would forbid.
        serial[0] = serial[0] & 0x7f | 0x40;
        let not_after = now
            .checked_add(lifetime)
            .map_or(signer.not_after, |end| end.min(signer.not_after));
        let subject = match request.has_common_name && uri.len() <= MAX_COMMON_NAME {
            true => common_name(uri),
            false => der::sequence(&[]),
        };
        let to_be_signed = der::sequence(&[
            // v3
            &der::element(0xa0, &[&der::element(der::INTEGER, &[&[2]])]),
            &der::element(der::INTEGER, &[&serial]),
            &der::signature_algorithm(self.pair())?,
            self.subject(),
            &der::sequence(&[&der::moment(now - CLOCK_SKEW), &der::moment(not_after)]),
            &subject,
            &request.public_key,
            &der::element(0xa3, &[&self.extensions(uri)]),
        ]);
        Certificate::from_der(&der::signed(&to_be_signed, self.pair())?)
    }

    fn extensions(&self, uri: &str) -> Vec<u8> {
        // digitalSignature and keyEncipherment: bits 0 and 2, five bits unused.
        let usage = der::element(der::BIT_STRING, &[&[5, 0b1010_0000]]);
        let extended = der::sequence(&[
            &der::element(der::OID, &[SERVER_AUTH]),
            &der::element(der::OID, &[CLIENT_AUTH]),
        ]);
        let authority = self.key_identifier().map(|identifier| {
            let identifier = der::sequence(&[&der::element(0x80, &[identifier])]);
            der::extension(AUTHORITY_KEY, false, &identifier)
        });
        der::sequence(&[
            &der::extension(KEY_USAGE, true, &usage),
            &der::extension(EXTENDED_KEY_USAGE, false, &extended),
            &der::extension(BASIC_CONSTRAINTS, true, &der::sequence(&[])),
            &authority.unwrap_or_default(),
            &der::extension(&ALTERNATIVE_NAME, true, &der::uri_names(uri)),
        ])
    }
}

fn common_name(name: &str) -> Vec<u8> {
    let attribute = der::sequence(&[
        &der::element(der::OID, &[COMMON_NAME]),
        &der::element(der::UTF8_STRING, &[name.as_bytes()]),
    ]);
    der::sequence(&[&der::element(der::SET, &[&attribute])])
}

#[cfg(test)]
mod tests;
