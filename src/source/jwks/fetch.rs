//! One fetch of keys over HTTP, through OpenID Connect Discovery where only the issuer is known. Users
//! name the places, so some are out of bounds, and of what is found only a key set is taken.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use api::security::jwt::KeySource;
use api::security::key_set;
use bytes::Bytes;
use http::header::{ACCEPT, LOCATION};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use super::Metrics;

/// Further roots that servers of keys may have certificates of, as upstream mounts them.
const EXTRA_ROOTS: &str = "/cacerts/extra.pem";
/// A larger answer is no key set.
const LARGEST: usize = 1 << 20;
/// More redirections lead nowhere.
const REDIRECTIONS: usize = 5;

/// What users hear of a fetch that failed. They choose the addresses, which may be ones that only this process
/// reaches: no more than these words is told of what is there.
const NO_PLACE: &str = "this is no URL that keys may be fetched from";
const NO_ANSWER: &str = "no answer";
const ERROR: &str = "it answered with an error";
const ELSEWHERE: &str = "it redirects too often, or to where no keys may be fetched from";
const NO_KEYS: &str = "it answered with no key set that proxies can use";

/// Addresses that are out of bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked(Vec<(IpAddr, u8)>);

impl Blocked {
    /// Reads ranges as `BLOCKED_CIDRS_IN_JWKS_URIS` has them: `10.0.0.0/8,192.168.0.0/16`.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let ranges = text.split(',').map(str::trim).filter(|own| !own.is_empty());
        let read = ranges.map(|range| {
            let parts = range.split_once('/');
            let read = parts.and_then(|(address, length)| {
                let address: IpAddr = address.parse().ok()?;
                let longest = if address.is_ipv4() { 32 } else { 128 };
                let length = length.parse().ok().filter(|length| *length <= longest)?;
                Some((address, length))
            });
            read.ok_or_else(|| format!("{range:?} is no range of addresses, expected 10.0.0.0/8"))
        });
        Ok(Blocked(read.collect::<Result<_, _>>()?))
    }

    /// Whether nothing may be fetched from an address: never from where clouds tell machines their
    /// secrets.
    fn includes(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let local = match address {
            IpAddr::V4(own) => own.is_link_local() || own.octets() == [100, 100, 100, 200],
            IpAddr::V6(own) => {
                own.is_unicast_link_local()
                    || own.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
            }
        };
        local
            || self.0.iter().any(|(range, length)| match (range, address) {
                (IpAddr::V4(range), IpAddr::V4(own)) => {
                    let shift = 32 - u32::from(*length);
                    let part = |of: u32| of.checked_shr(shift).unwrap_or(0);
                    part(u32::from(*range)) == part(u32::from(own))
                }
                (IpAddr::V6(range), IpAddr::V6(own)) => {
                    let shift = 128 - u32::from(*length);
                    let part = |of: u128| of.checked_shr(shift).unwrap_or(0);
                    part(u128::from(*range)) == part(u128::from(own))
                }
                _ => false,
            })
    }
}

/// Names, without the addresses that are out of bounds.
#[derive(Clone)]
struct Resolver(Arc<Blocked>);

impl tower_service::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let blocked = self.0.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::task::spawn_blocking(move || (host, 0).to_socket_addrs());
            let found = found.await.map_err(std::io::Error::other)??;
            let (allowed, refused): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.partition(|address| !blocked.includes(address.ip()));
            match (allowed.is_empty(), refused.first()) {
                (true, Some(address)) => Err(std::io::Error::other(OutOfBounds(address.ip()))),
                _ => Ok(allowed.into_iter()),
            }
        })
    }
}

#[derive(Debug)]
struct OutOfBounds(IpAddr);

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys are not fetched from {}", self.0)
    }
}

impl std::error::Error for OutOfBounds {}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// For users: one of few, so that it says nothing of what is at an address.
    pub(super) told: &'static str,
    /// For the log. It holds nothing of an answer's content either.
    pub(super) detail: String,
}

fn failure(told: &'static str, detail: impl fmt::Display) -> Failure {
    let detail = detail.to_string();
    Failure { told, detail }
}

/// Fetches keys. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Empty<Bytes>>,
    blocked: Arc<Blocked>,
    metrics: Metrics,
}

impl Fetcher {
    /// One that trusts the roots of this machine, and those beside them that upstream mounts.
    pub fn new(blocked: Blocked, metrics: Metrics) -> Self {
        let blocked = Arc::new(blocked);
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Ok(extra) = CertificateDer::pem_file_iter(EXTRA_ROOTS) {
            roots.add_parsable_certificates(extra.flatten());
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new_with_resolver(Resolver(blocked.clone()));
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        // Keys are fetched rarely; connections are not kept for them.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Fetcher {
            client,
            blocked,
            metrics,
        }
    }

    /// The keys of a source.
    pub(super) async fn keys(
        &self,
        source: &KeySource,
        patience: Duration,
    ) -> Result<Arc<str>, Failure> {
        let fetching = async {
            let uri = match source.uri.as_str() {
                "" => self.discover(&source.issuer).await?,
                uri => place(uri)?,
            };
            let text = self.get(uri).await?;
            key_set(text)
        };
        let waited = tokio::time::timeout(patience, fetching).await;
        let fetched = waited.unwrap_or_else(|_| {
            let detail = format!("no answer within {patience:?}");
            Err(failure(NO_ANSWER, detail))
        });
        self.metrics.count(fetched.is_ok());
        fetched
    }

    async fn discover(&self, issuer: &str) -> Result<Uri, Failure> {
        let issuer = issuer.trim_end_matches('/');
        let configuration = place(&format!("{issuer}/.well-known/openid-configuration"))?;
        let text = self.get(configuration).await?;
        let found: Value = serde_json::from_str(&text).map_err(|error| {
            let detail = format!("its OpenID configuration is no JSON: {error}");
            failure(NO_KEYS, detail)
        })?;
        let Some(uri) = found["jwks_uri"].as_str() else {
            return Err(failure(NO_KEYS, "its OpenID configuration has no jwks_uri"));
        };
        uri.parse::<Uri>().map_err(|error| {
            let detail = format!("the jwks_uri of its OpenID configuration: {error}");
            failure(NO_KEYS, detail)
        })
    }

    async fn get(&self, mut uri: Uri) -> Result<String, Failure> {
        for redirections in 0..=REDIRECTIONS {
            let literal = uri.host().unwrap_or_default();
            let literal = literal.trim_matches(['[', ']']).parse::<IpAddr>();
            if let Ok(address) = literal
                && self.blocked.includes(address)
            {
                let told = match redirections {
                    0 => NO_PLACE,
                    _ => ELSEWHERE,
                };
                return Err(failure(told, OutOfBounds(address)));
            }
            let request = Request::get(&uri).header(ACCEPT, "application/json");
            let request = request
                .body(Empty::new())
                .map_err(|error| failure(NO_PLACE, error))?;
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|error| failure(NO_ANSWER, chain(&error)))?;
            let status = answer.status();
            let to = answer
                .headers()
                .get(LOCATION)
                .filter(|_| status.is_redirection());
            if let Some(to) = to {
                uri = redirected(&uri, to.to_str().unwrap_or_default())?;
                continue;
            }
            if !status.is_success() {
                // The words beside the number are the server's.
                let detail = format!("status {}", status.as_u16());
                return Err(failure(ERROR, detail));
            }
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| failure(NO_KEYS, error))?.to_bytes();
            let text = String::from_utf8(body.into());
            return text.map_err(|_| failure(NO_KEYS, "the answer is no text"));
        }
        let detail = format!("more than {REDIRECTIONS} redirections");
        Err(failure(ELSEWHERE, detail))
    }
}

/// A URL as a user wrote it.
fn place(uri: &str) -> Result<Uri, Failure> {
    uri.parse::<Uri>().map_err(|error| failure(NO_PLACE, error))
}

fn redirected(from: &Uri, to: &str) -> Result<Uri, Failure> {
    let wrong = |error: &dyn fmt::Display| {
        let detail = format!("redirected to what is no URL: {error}");
        failure(ELSEWHERE, detail)
    };
    let target: Uri = to.parse().map_err(|error| wrong(&error))?;
    if target.scheme().is_some() {
        return Ok(target);
    }
    let mut parts = from.clone().into_parts();
    parts.path_and_query = target.into_parts().path_and_query;
    Uri::from_parts(parts).map_err(|error| wrong(&error))
}

/// An error with its causes, of which the first says least.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// The text of a key set: nothing else that a user's address leads to is told to proxies.
fn key_set(text: String) -> Result<Arc<str>, Failure> {
    let judged = key_set::check(&text).map_err(|reason| {
        // What is quoted is of the answer, and may be long.
        let ours = reason.split('"').next().unwrap_or_default().trim_end();
        failure(NO_KEYS, format!("the answer {ours}"))
    });
    judged.map(|()| text.into())
}

#[cfg(test)]
mod tests {
    use super::{Blocked, ELSEWHERE, NO_KEYS, key_set, redirected};

    #[test]
    fn where_clouds_tell_secrets_is_out_of_bounds() {
        let blocked = Blocked::parse("10.0.0.0/8, fd01::/16").expect("ranges");
        for (address, expected) in [
            ("169.254.169.254", true),
            ("::ffff:169.254.169.254", true),
            ("fe80::1", true),
            ("fd00:ec2::254", true),
            ("100.100.100.200", true),
            ("10.1.2.3", true),
            ("fd01::7", true),
            ("11.1.2.3", false),
            ("127.0.0.1", false),
            ("fd02::7", false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(blocked.includes(address), expected, "{address}");
        }
        assert!(Blocked::parse("10.0.0.0/33").is_err());
        let all = Blocked::parse("0.0.0.0/0").expect("a range");
        assert!(all.includes("8.8.8.8".parse().expect("an address")));
    }

    #[test]
    fn only_key_sets_are_taken() {
        assert!(key_set(r#"{"keys":[{"kty":"oct","k":"YQ"}]}"#.to_owned()).is_ok());
        for wrong in ["", "secret", r#"{"keys":{}}"#, "[]", r#"{"keys":[]}"#] {
            assert!(key_set(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_of_an_answer_is_repeated() {
        for answer in [
            r#"{"private":1,"private":2}"#,
            r#"{"keys":[{"kty":"private"}]}"#,
            r#"{"keys":[{"kty":"oct","k":"YQ","alg":"private"}]}"#,
            r#"{"keys":[{"kty":"OKP","crv":"private","x":""}]}"#,
            r#"{"keys":[{"kty":"EC","crv":"private","x":"","y":""}]}"#,
            "private",
        ] {
            let failure = key_set(answer.to_owned()).expect_err(answer);
            assert_eq!(failure.told, NO_KEYS);
            assert!(!failure.detail.contains("private"), "{}", failure.detail);
        }
        let from = "http://keys/all".parse().expect("a URL");
        let failure = redirected(&from, "http://private/ /").expect_err("no URL");
        assert_eq!(failure.told, ELSEWHERE);
        assert!(!failure.detail.contains("private"), "{}", failure.detail);
    }
}
