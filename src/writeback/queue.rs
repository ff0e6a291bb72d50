//! When to write what is due: one object after the other, and no object again before its rest is over, however fast
//! proxies change their minds. Pure: the caller has the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use base::ObjectRef;
use tokio::time::Instant;

use crate::verdict::Due;

/// Between two writes to one object, unless it was edited meanwhile.
const REST: Duration = Duration::from_secs(10);
/// Before looking again for an object that was not there.
const ABSENCE: Duration = Duration::from_secs(60);
/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Written, or nothing to write.
    Done,
    /// There is no such object, as for those that only stand for another.
    Absent,
    /// Somebody else wrote meanwhile, or the API server did not take it.
    Failed,
    /// Not allowed; only another role will change that.
    Forbidden,
}

/// What was tried.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    tried: BTreeMap<ObjectRef, Tried>,
}

#[derive(Debug)]
struct Tried {
    due: Due,
    failures: u32,
    /// Not before.
    again: Instant,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Next<'a> {
    Write(&'a ObjectRef, &'a Due),
    /// Nothing before this moment.
    Wait(Instant),
    /// Nothing until something changes.
    Idle,
}

impl Queue {
    /// The next write.
    pub fn next<'a>(&self, due: &'a BTreeMap<ObjectRef, Due>, now: Instant) -> Next<'a> {
        let mut first: Option<Instant> = None;
        for (object, due) in due {
            match self.tried.get(object) {
                Some(tried) if now < tried.again && !tried.is_of_before(due) => {}
                _ => return Next::Write(object, due),
            }
            let again = self.tried.get(object).map(|tried| tried.again);
            first = first.into_iter().chain(again).min();
        }
        first.map_or(Next::Idle, Next::Wait)
    }

    /// A write ended.
    pub fn ended(&mut self, object: ObjectRef, due: Due, ended: Ended, now: Instant) {
        let before = self.tried.get(&object).map_or(0, |tried| tried.failures);
        let failures = match ended {
            Ended::Done | Ended::Absent => 0,
            Ended::Failed | Ended::Forbidden => before.saturating_add(1),
        };
        let pause = match ended {
            Ended::Done => REST,
            Ended::Absent => ABSENCE,
            Ended::Forbidden => PAUSES.1,
            Ended::Failed => {
                let factor = 2u32.saturating_pow(failures - 1);
                PAUSES.0.saturating_mul(factor).min(PAUSES.1)
            }
        };
        let again = now + pause;
        self.tried.insert(
            object,
            Tried {
                due,
                failures,
                again,
            },
        );
    }

    /// Forgets objects that nothing is due for any more.
    pub fn tidy(&mut self, due: &BTreeMap<ObjectRef, Due>, now: Instant) {
        self.tried
            .retain(|object, tried| due.contains_key(object) || now < tried.again);
    }
}

impl Tried {
    /// Whether the object was edited since.
    fn is_of_before(&self, due: &Due) -> bool {
        self.failures == 0 && due.generation.is_some() && due.generation != self.due.generation
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use base::condition::Status;
    use base::{Condition, ObjectRef};
    use tokio::time::Instant;

    use super::{Due, Ended, Next, Queue};

    fn object(name: &str) -> ObjectRef {
        ObjectRef {
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "Gateway".to_owned(),
            namespace: None,
            name: name.to_owned(),
        }
    }

    fn due(message: &str, generation: i64) -> Due {
        Due {
            condition: Condition::new("Programmed", Status::False, "R", message),
            generation: Some(generation),
        }
    }

    fn all(of: &[(&str, Due)]) -> BTreeMap<ObjectRef, Due> {
        let of = of.iter();
        of.map(|(name, due)| (object(name), due.clone())).collect()
    }

    fn writes(queue: &Queue, of: &BTreeMap<ObjectRef, Due>, now: Instant) -> Option<String> {
        match queue.next(of, now) {
            Next::Write(object, _) => Some(object.name.clone()),
            Next::Wait(_) | Next::Idle => None,
        }
    }

    #[test]
    fn objects_take_turns_and_each_rests() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let both = all(&[("a", due("x", 1)), ("b", due("x", 1))]);
        assert_eq!(writes(&queue, &both, now).as_deref(), Some("a"));
        queue.ended(object("a"), due("x", 1), Ended::Done, now);
        assert_eq!(writes(&queue, &both, now).as_deref(), Some("b"));
        queue.ended(object("b"), due("x", 1), Ended::Done, now);
        assert_eq!(writes(&queue, &both, now), None);
        // Other words wait, another generation does not.
        let other = all(&[("a", due("y", 1))]);
        assert_eq!(writes(&queue, &other, now), None);
        assert_eq!(
            queue.next(&other, now),
            Next::Wait(now + Duration::from_secs(10))
        );
        let edited = all(&[("a", due("y", 2))]);
        assert_eq!(writes(&queue, &edited, now).as_deref(), Some("a"));
        let later = now + Duration::from_secs(10);
        assert_eq!(writes(&queue, &other, later).as_deref(), Some("a"));
    }

    #[test]
    fn failures_are_tried_again_ever_more_slowly() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        let one = all(&[("a", due("x", 1))]);
        for seconds in [1, 2, 4, 8] {
            queue.ended(object("a"), due("x", 1), Ended::Failed, now);
            let again = now + Duration::from_secs(seconds);
            assert_eq!(queue.next(&one, now), Next::Wait(again));
            now = again;
            assert_eq!(writes(&queue, &one, now).as_deref(), Some("a"));
        }
        queue.ended(object("a"), due("x", 1), Ended::Forbidden, now);
        assert_eq!(
            queue.next(&one, now),
            Next::Wait(now + Duration::from_secs(300))
        );
    }

    #[test]
    fn nothing_due_is_nothing_to_do() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        assert_eq!(queue.next(&BTreeMap::new(), now), Next::Idle);
        queue.ended(object("a"), due("x", 1), Ended::Done, now);
        queue.tidy(&BTreeMap::new(), now + Duration::from_secs(11));
        assert!(queue.tried.is_empty());
    }
}
