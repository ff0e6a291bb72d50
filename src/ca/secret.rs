//! Which CA is in force, decided from the two Secrets that may hold one.
//! No I/O: [`next_step`] says what to do, `keeper` does it.

use std::sync::Arc;

use base::names;
use k8s_openapi::api::core::v1::Secret;
use pki::OffsetDateTime;

use crate::{Root, Source};

/// A Secret as the watch knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Seen {
    /// Not listed yet.
    #[default]
    Unknown,
    /// It does not exist.
    Absent,
    /// It exists.
    Present(Box<Secret>),
}

/// Everything that the decision depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// `istio-ca-secret`.
    pub own: Seen,
    /// `cacerts`.
    pub plugged_in: Seen,
    /// The CA in force.
    pub root: Option<Arc<Root>>,
    /// Whether this process may write.
    pub leads: bool,
}

impl State {
    /// Whether a Secret has not been listed yet.
    pub fn unread(&self) -> bool {
        [&self.own, &self.plugged_in].contains(&&Seen::Unknown)
    }
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing: all is as it should be, or somebody else acts.
    Rest,
    /// Use this CA from now on.
    Adopt(Box<Root>),
    /// Make a root and create `istio-ca-secret` with it; if another process was first, its root counts.
    Create,
    /// `istio-ca-secret` was deleted: create it again from the CA in force.
    Restore(Arc<Root>),
    /// Keep what is in force, if anything, and tell the user.
    Complain(String),
}

/// Decides what to do at `now`.
///
/// `cacerts` wins over `istio-ca-secret` at the start. A CA of the other source that appears later is not taken
/// over under way: workloads trust the present root only, and a restart is when the user chooses (as upstream).
pub fn next_step(state: &State, now: OffsetDateTime) -> Step {
    let in_force = state.root.as_deref().map(|root| root.source);
    match (&state.plugged_in, &state.own) {
        (Seen::Unknown, _) | (_, Seen::Unknown) => Step::Rest,
        (Seen::Present(_), _) if in_force == Some(Source::SelfSigned) => Step::Complain(format!(
            "secret {} appeared while the self-signed CA is in force; it is used after a restart",
            names::PLUGGED_IN_CA_SECRET
        )),
        (Seen::Present(secret), _) => adopt(
            names::PLUGGED_IN_CA_SECRET,
            Root::plugged_in(secret, now).map_err(|error| error.to_string()),
            state,
        ),
        (Seen::Absent, _) if in_force == Some(Source::PluggedIn) => Step::Complain(format!(
            "secret {} was deleted; its CA stays in force until a restart",
            names::PLUGGED_IN_CA_SECRET
        )),
        (Seen::Absent, Seen::Present(secret)) => adopt(
            names::CA_SECRET,
            Root::self_signed(secret, now).map_err(|error| error.to_string()),
            state,
        ),
        (Seen::Absent, Seen::Absent) if !state.leads => Step::Rest,
        (Seen::Absent, Seen::Absent) => match &state.root {
            Some(root) => Step::Restore(root.clone()),
            None => Step::Create,
        },
    }
}

fn adopt(name: &str, read: Result<Root, String>, state: &State) -> Step {
    match read {
        Ok(root) if state.root.as_deref() == Some(&root) => Step::Rest,
        Ok(root) => Step::Adopt(Box::new(root)),
        // Never overwritten: it may hold the only copy of a key.
        Err(error) => Step::Complain(format!("secret {name} cannot be used as a CA: {error}")),
    }
}

#[cfg(test)]
mod tests;
