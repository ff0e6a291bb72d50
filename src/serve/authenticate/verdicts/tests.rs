//! How much is remembered, and for how long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::{Key, REMEMBERED, Verdicts, key};

fn at_most(most: usize) -> Verdicts {
    Verdicts {
        known: Mutex::default(),
        most,
    }
}

fn count(verdicts: &Verdicts) -> (usize, usize) {
    let known = verdicts.known.lock().expect("not poisoned");
    (known.verdicts.len(), known.ends.len())
}

fn number(number: u32) -> Key {
    key(&number.to_string())
}

#[test]
fn the_oldest_make_room() {
    let (verdicts, now) = (at_most(100), Instant::now());
    let newest = (0..1000).map(|n| verdicts.of(number(n), now)).last();
    assert_eq!(count(&verdicts), (100, 100));
    let known = verdicts.of(number(999), now);
    assert!(Arc::ptr_eq(&known, &newest.expect("one")));
}

#[test]
fn what_is_forgotten_early_takes_no_room_for_long() {
    let (verdicts, now) = (at_most(100), Instant::now());
    for n in 0..1000 {
        let verdict = verdicts.of(number(n), now);
        verdicts.forget(&number(n), &verdict);
    }
    let (held, ends) = count(&verdicts);
    assert!(held == 0 && ends <= 100, "{held} {ends}");
    verdicts.of(number(0), now + REMEMBERED);
    assert_eq!(count(&verdicts), (1, 1));
}

#[test]
fn an_early_end_does_not_end_what_came_after_it() {
    let (verdicts, now) = (at_most(100), Instant::now());
    let first = verdicts.of(number(0), now);
    verdicts.forget(&number(0), &first);
    let second = verdicts.of(number(0), now + Duration::from_secs(60));
    let later = verdicts.of(number(0), now + REMEMBERED);
    assert!(Arc::ptr_eq(&second, &later));
    verdicts.forget(&number(0), &first);
    let still = verdicts.of(number(0), now + REMEMBERED);
    assert!(Arc::ptr_eq(&second, &still), "another one is left alone");
}
