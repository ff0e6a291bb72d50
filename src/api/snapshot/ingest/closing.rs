//! Policies of security.istio.io as written, or closed where that cannot be read.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{annotation, parse, without_nulls};
use crate::networking::WorkloadSelector;
use crate::security::TargetRef;
use crate::security::authorization_policy::{Action, AuthorizationPolicy, Rule};
use crate::security::jwt::{JwtRule, RequestAuthentication};
use crate::security::key_set;
use crate::security::peer_authentication::{Mode, MutualTls, PeerAuthentication};
use crate::snapshot::{Meta, Object};

/// A policy as written, or what stands for one that cannot be read. It closes what it is for: if it
/// were left out, it would open that.
fn closing<T: DeserializeOwned>(
    meta: Meta,
    object: &Value,
    closed: impl FnOnce(Reach, String) -> T,
) -> Object<T> {
    let spec = &object["spec"];
    match parse(meta.clone(), spec) {
        Ok(read) => read,
        Err(problem) => {
            let spec = closed(Reach::of(spec), problem.message);
            Object { meta, spec }
        }
    }
}

/// Whom a policy is for, as far as that can be read; what cannot is for everybody.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reach {
    selector: Option<WorkloadSelector>,
    target_ref: Option<TargetRef>,
    target_refs: Vec<TargetRef>,
}

impl Reach {
    fn of(spec: &Value) -> Self {
        Reach::deserialize(&without_nulls(spec)).unwrap_or_default()
    }
}

pub(super) fn authorization_policy(meta: Meta, object: &Value) -> Object<AuthorizationPolicy> {
    let mut policy = closing(meta, object, |reach, reason| AuthorizationPolicy {
        selector: reach.selector,
        target_ref: reach.target_ref,
        target_refs: reach.target_refs,
        // What would only be recorded was never closed.
        action: match object["spec"]["action"].as_str() {
            Some("AUDIT") => Action::Audit,
            _ => Action::Deny,
        },
        rules: vec![Rule::default()],
        unreadable: Some(reason),
        ..AuthorizationPolicy::default()
    });
    let dry_run = annotation(object, "istio.io/dry-run");
    policy.spec.dry_run = crate::features::switch(&dry_run) == Some(true);
    policy
}

pub(super) fn request_authentication(meta: Meta, object: &Value) -> Object<RequestAuthentication> {
    let mut policy = closing(meta, object, |reach, reason| RequestAuthentication {
        selector: reach.selector,
        target_ref: reach.target_ref,
        target_refs: reach.target_refs,
        // Of no issuer and without keys: it refuses every token.
        jwt_rules: vec![JwtRule::default()],
        unreadable: Some(reason),
    });
    for rule in &mut policy.spec.jwt_rules {
        if !rule.jwks.is_empty() {
            rule.unusable = key_set::check(&rule.jwks).err();
        }
    }
    policy
}

pub(super) fn peer_authentication(meta: Meta, object: &Value) -> Object<PeerAuthentication> {
    closing(meta, object, |reach, reason| PeerAuthentication {
        selector: reach.selector,
        mtls: Some(MutualTls { mode: Mode::Strict }),
        unreadable: Some(reason),
        ..PeerAuthentication::default()
    })
}
