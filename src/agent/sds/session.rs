//! One stream of the secret discovery protocol, state of the world or delta, as a state machine: messages in, messages
//! out. A secret is sent when it is subscribed to and when its version changes; what Envoy rejects is not sent again
//! until it changes.

use std::collections::BTreeMap;

use crate::file_secret;
use crate::secret::{Secrets, TYPE_URL, Versioned};
use crate::wire::{Malformed, Message, Value, fields, text};

/// Most secrets that one stream may subscribe to: Envoy opens one for each.
const MOST_NAMES: usize = 64;

/// Which of the two protocols a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `StreamSecrets`.
    StateOfTheWorld,
    /// `DeltaSecrets`.
    Delta,
}

/// What one stream has been sent.
#[derive(Debug)]
pub struct Session {
    dialect: Dialect,
    /// Name and version of what is subscribed to; no version: it is still to be sent.
    subscribed: BTreeMap<String, Option<String>>,
    /// Those of them that come from files, as these were when they were last read.
    files: BTreeMap<String, Versioned>,
    responses: u64,
}

/// The parts of a request that matter here; both dialects have the same.
#[derive(Debug, Default)]
struct Request<'a> {
    names: Vec<&'a str>,
    unsubscribed: Vec<&'a str>,
    known: BTreeMap<&'a str, &'a str>,
    rejection: Option<&'a str>,
}

impl Session {
    /// Nothing is subscribed to.
    pub fn new(dialect: Dialect) -> Session {
        Session {
            dialect,
            subscribed: BTreeMap::new(),
            files: BTreeMap::new(),
            responses: 0,
        }
    }

    /// The names of subscribed secrets that come from files.
    pub fn of_files(&self) -> impl Iterator<Item = &str> {
        let names = self.subscribed.keys().map(String::as_str);
        names.filter(|name| file_secret::is_file(name))
    }

    /// Takes what the files of a secret hold now.
    pub fn on_file(&mut self, name: String, secret: Versioned) {
        self.files.insert(name, secret);
    }

    /// Takes a request.
    pub fn on_request(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let request = match self.dialect {
            Dialect::StateOfTheWorld => state_of_the_world(message)?,
            Dialect::Delta => delta(message)?,
        };
        if let Some(reason) = request.rejection {
            tracing::warn!("envoy rejected a secret: {reason}");
        }
        if self.dialect == Dialect::StateOfTheWorld {
            // Each request names all that it wants.
            self.subscribed
                .retain(|name, _| request.names.contains(&name.as_str()));
        }
        for name in request.unsubscribed {
            self.subscribed.remove(name);
        }
        for name in request.names {
            let version = request.known.get(name).map(|&version| version.to_owned());
            let again = self.dialect == Dialect::Delta;
            if self.subscribed.len() < MOST_NAMES && (again || !self.subscribed.contains_key(name))
            {
                tracing::debug!("envoy asks for the secret {name:?}");
                self.subscribed.insert(name.to_owned(), version);
            }
        }
        Ok(())
    }

    /// The response that is due, if one is.
    pub fn next(&mut self, secrets: &Secrets) -> Option<Vec<u8>> {
        let mut due: Vec<(&str, &Versioned)> = Vec::new();
        for (name, sent) in &mut self.subscribed {
            if let Some(secret) = secrets.get(name).or_else(|| self.files.get(name))
                && sent.as_deref() != Some(&secret.version)
            {
                *sent = Some(secret.version.clone());
                due.push((name, secret));
            }
        }
        if due.is_empty() {
            return None;
        }
        self.responses += 1;
        let nonce = self.responses.to_string();
        let response = match self.dialect {
            Dialect::StateOfTheWorld => due
                .iter()
                .fold(
                    Message::default().with(1, &due[0].1.version),
                    |response, (_, secret)| response.with_element(2, any(secret)),
                )
                .with(4, TYPE_URL)
                .with(5, nonce),
            Dialect::Delta => due
                .iter()
                .fold(Message::default(), |response, (name, secret)| {
                    let resource = Message::default()
                        .with(1, &secret.version)
                        .with(2, any(secret))
                        .with(3, name);
                    response.with_element(2, resource)
                })
                .with(4, TYPE_URL)
                .with(5, nonce),
        };
        Some(response.into_bytes())
    }
}

fn any(secret: &Versioned) -> Message {
    Message::default().with(1, TYPE_URL).with(2, &secret.bytes)
}

/// envoy.service.discovery.v3.DiscoveryRequest.
fn state_of_the_world(message: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut request = Request::default();
    for field in fields(message) {
        match field? {
            (3, Value::Bytes(name)) => request.names.push(text(name)?),
            (6, Value::Bytes(status)) => request.rejection = Some(reason(status)?),
            _ => {}
        }
    }
    Ok(request)
}

/// envoy.service.discovery.v3.DeltaDiscoveryRequest.
fn delta(message: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut request = Request::default();
    for field in fields(message) {
        match field? {
            (3, Value::Bytes(name)) => request.names.push(text(name)?),
            (4, Value::Bytes(name)) => request.unsubscribed.push(text(name)?),
            (5, Value::Bytes(entry)) => {
                let (mut name, mut version) = ("", "");
                for field in fields(entry) {
                    match field? {
                        (1, Value::Bytes(key)) => name = text(key)?,
                        (2, Value::Bytes(value)) => version = text(value)?,
                        _ => {}
                    }
                }
                request.known.insert(name, version);
            }
            (7, Value::Bytes(status)) => request.rejection = Some(reason(status)?),
            _ => {}
        }
    }
    Ok(request)
}

/// The message of a google.rpc.Status.
fn reason(status: &[u8]) -> Result<&str, Malformed> {
    for field in fields(status) {
        if let (2, Value::Bytes(message)) = field? {
            return text(message);
        }
    }
    Ok("no reason given")
}

#[cfg(test)]
mod tests;
