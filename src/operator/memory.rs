//! What is remembered of one IstioOperator between passes. All of it can be lost: the next pass
//! then writes what it would have known to be written, and reads the rest from status.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use base::ObjectRef;
use install::Component;
use rollout::Record;
use serde_json::Value;

use crate::drift::Attempt;
use crate::held::HeldPlan;

/// See the module.
#[derive(Debug, Default)]
pub struct Memory {
    /// What was written, object by object.
    pub record: Record,
    /// The record as it is kept in the cluster; none until it was read from there.
    pub kept: Option<Record>,
    /// The generation that the rest is about.
    pub generation: i64,
    /// Components that were available since they were last changed.
    pub reached: BTreeSet<Component>,
    /// Since when a component has been waited for.
    pub waiting_since: BTreeMap<Component, Instant>,
    /// Passes in a row that failed.
    pub failures: u32,
    /// What the API server refused, and when.
    pub refusals: BTreeMap<ObjectRef, Refusal>,
    /// Edits that were undone, by object.
    pub contests: BTreeMap<ObjectRef, Contest>,
    /// What was found out about what a pause holds back.
    pub plan: Option<HeldPlan>,
    /// resourceVersion and status of the last write of status.
    pub status: Option<(String, Value)>,
}

/// A write that failed. The same write is not attempted again before the pass that is due after
/// the failure, however many events there are in between.
#[derive(Debug)]
pub struct Refusal {
    /// What was refused: an object as rendered, over an object as it stood.
    pub attempt: Attempt,
    /// When it may be attempted again.
    pub until: Instant,
    /// What the API server said, or whose it is.
    pub error: String,
    /// Whether it was refused because the object belongs to someone else.
    pub conflict: bool,
}

/// How often someone has changed the same object against us.
#[derive(Clone, Copy, Debug)]
pub struct Contest {
    /// Repairs, none of them much later than the one before.
    pub repairs: u32,
    /// When the last was.
    pub last: Instant,
}

/// So many repairs in a row are made at once; after that the object is looked at now and then.
const CONTESTED: u32 = 5;
/// An object that is left alone for so long is contested no longer.
const PEACE: Duration = Duration::from_secs(300);

impl Memory {
    /// Notes a repair.
    pub fn repaired(&mut self, object: &ObjectRef, now: Instant) {
        let contest = self.contests.entry(object.clone());
        let contest = contest.or_insert(Contest {
            repairs: 0,
            last: now,
        });
        if now.saturating_duration_since(contest.last) > PEACE {
            contest.repairs = 0;
        }
        contest.repairs += 1;
        contest.last = now;
    }

    /// How often an object was repaired, when it is too early to do so again.
    pub fn contested(&self, object: &ObjectRef, now: Instant) -> Option<u32> {
        let contest = self.contests.get(object)?;
        let over = contest.repairs.checked_sub(CONTESTED)?;
        let pause = Duration::from_secs(1 << over.min(6)).min(Duration::from_secs(60));
        (now.saturating_duration_since(contest.last) < pause).then_some(contest.repairs)
    }

    /// What was said to this very attempt, when it is too early for another one.
    pub fn refused(&self, object: &ObjectRef, attempt: &Attempt, now: Instant) -> Option<&Refusal> {
        let refusal = self.refusals.get(object)?;
        (refusal.attempt == *attempt && now < refusal.until).then_some(refusal)
    }

    /// Begins a pass at `generation`. For a generation that is new to this process, what was
    /// reached is read from the status that stands in the cluster: components that are HEALTHY
    /// there, at this generation and by this version.
    pub fn begin(&mut self, generation: i64, version: &str, status: &Value) {
        if self.generation == generation {
            return;
        }
        self.generation = generation;
        self.waiting_since.clear();
        let current = status.get("observedGeneration").and_then(Value::as_i64) == Some(generation);
        self.reached = Component::ALL
            .into_iter()
            .filter(|component| {
                let told = &status["componentStatus"][component.as_str()];
                current && told["status"] == "HEALTHY" && told["version"] == version
            })
            .collect();
    }

    /// Objects of a component were changed: it has to become available anew.
    pub fn changed(&mut self, component: Component) {
        self.reached.remove(&component);
        self.waiting_since.remove(&component);
    }

    /// How long a component has been waited for; the first question starts the clock.
    pub fn waited(&mut self, component: Component, now: Instant) -> Duration {
        let since = *self.waiting_since.entry(component).or_insert(now);
        now.saturating_duration_since(since)
    }

    /// The status to compare with: the last that was written, unless the resource is newer.
    pub fn latest_status<'a>(&'a self, version: Option<&str>, status: &'a Value) -> &'a Value {
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        match &self.status {
            Some((written, ours)) if number(written) > version.map(number).unwrap_or_default() => {
                ours
            }
            _ => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Memory, Refusal};
    use crate::drift::attempt;
    use install::{Component, Object};
    use serde_json::json;

    fn status() -> serde_json::Value {
        json!({"observedGeneration": 4, "componentStatus": {
            "Base": {"status": "HEALTHY", "version": "0.1.0"},
            "Pilot": {"status": "HEALTHY", "version": "0.0.9"},
            "IngressGateways": {"status": "RECONCILING", "version": "0.1.0"},
        }})
    }

    #[test]
    fn a_restart_trusts_what_this_version_reached_at_this_generation() {
        let mut memory = Memory::default();
        memory.begin(4, "0.1.0", &status());
        assert_eq!(memory.reached, [Component::Base].into());
    }

    #[test]
    fn a_new_generation_has_reached_nothing() {
        let mut memory = Memory::default();
        memory.begin(5, "0.1.0", &status());
        assert!(memory.reached.is_empty());
    }

    #[test]
    fn the_same_attempt_is_not_repeated_early() {
        let object = Object::from_value(json!({"kind": "ConfigMap", "metadata": {"name": "a"}}));
        let other = Object::from_value(json!({"kind": "ConfigMap", "metadata": {"name": "b"}}));
        let now = Instant::now();
        let mut memory = Memory::default();
        let refusal = Refusal {
            attempt: attempt(&object, None),
            until: now + Duration::from_secs(4),
            error: "denied".into(),
            conflict: false,
        };
        memory.refusals.insert(object.reference.clone(), refusal);
        let said = |object: &Object, as_rendered: &Object, seconds| {
            let at = now + Duration::from_secs(seconds);
            memory
                .refused(&object.reference, &attempt(as_rendered, None), at)
                .map(|refusal| refusal.error.clone())
        };
        assert_eq!(said(&object, &object, 3).as_deref(), Some("denied"));
        assert_eq!(said(&object, &object, 4), None);
        assert_eq!(said(&object, &other, 3), None, "rendered otherwise");
    }

    #[test]
    fn whoever_changes_the_same_object_again_and_again_is_not_fought_at_full_speed() {
        let object = Object::from_value(json!({"kind": "ConfigMap", "metadata": {"name": "a"}}));
        let object = object.reference;
        let now = Instant::now();
        let mut memory = Memory::default();
        for _ in 0..4 {
            memory.repaired(&object, now);
        }
        assert_eq!(memory.contested(&object, now), None);
        memory.repaired(&object, now);
        assert_eq!(memory.contested(&object, now), Some(5));
        let later = now + Duration::from_secs(2);
        assert_eq!(memory.contested(&object, later), None);
        memory.repaired(&object, later + Duration::from_secs(600));
        assert_eq!(memory.contests[&object].repairs, 1, "peace was made");
    }

    #[test]
    fn the_newer_of_two_statuses_counts() {
        let memory = Memory {
            status: Some(("10".into(), json!("ours"))),
            ..Memory::default()
        };
        let theirs = json!("theirs");
        assert_eq!(*memory.latest_status(Some("9"), &theirs), json!("ours"));
        assert_eq!(*memory.latest_status(Some("11"), &theirs), json!("theirs"));
    }
}
