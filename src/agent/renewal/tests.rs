//! Scripts: what is done when, if this and that happens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Policy, Renewal, Step};

const POLICY: Policy = Policy {
    ratio: 0.5,
    jitter: 0.01,
};

fn at(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs_f64(1_800_000_000.0 + seconds)
}

/// Seconds until the next request; 0 when it is due.
fn left(renewal: &Renewal, seconds: f64) -> f64 {
    match renewal.next(at(seconds)) {
        Step::Request => 0.0,
        Step::Wait(wait) => wait.as_secs_f64(),
    }
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 0.001, "{a} is not {b}");
}

#[test]
fn the_first_certificate_is_asked_for_at_once() {
    assert_eq!(Renewal::new(POLICY, at(0.0)).next(at(0.0)), Step::Request);
}

#[test]
fn a_certificate_is_renewed_at_half_of_its_life_give_or_take_the_jitter() {
    for (chance, after) in [(0.0, 51.0), (0.5, 50.0), (1.0, 49.0)] {
        let mut renewal = Renewal::new(POLICY, at(0.0));
        renewal.issued(at(0.0), at(100.0), chance);
        close(left(&renewal, 0.0), after);
        close(left(&renewal, 40.0), after - 40.0);
        assert_eq!(renewal.next(at(after)), Step::Request);
        assert_eq!(renewal.next(at(5000.0)), Step::Request);
    }
}

#[test]
fn failures_are_followed_by_longer_and_longer_pauses_up_to_ten_seconds_without_a_certificate() {
    let mut renewal = Renewal::new(POLICY, at(0.0));
    for expected in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0] {
        renewal.failed(at(0.0), 0.5);
        close(left(&renewal, 0.0), expected);
    }
}

#[test]
fn with_a_certificate_pauses_depend_on_how_long_it_lives_on() {
    for (until, longest) in [(100.0, 5.0), (86_400.0, 60.0), (2.0, 1.0), (-10.0, 10.0)] {
        let mut renewal = Renewal::new(POLICY, at(-50.0));
        renewal.issued(at(-50.0), at(until), 0.5);
        (0..40).for_each(|_| renewal.failed(at(0.0), 0.5));
        close(left(&renewal, 0.0), longest);
    }
}

#[test]
fn success_ends_the_pauses() {
    let mut renewal = Renewal::new(POLICY, at(0.0));
    (0..5).for_each(|_| renewal.failed(at(0.0), 0.5));
    renewal.issued(at(1.0), at(61.0), 0.5);
    close(left(&renewal, 1.0), 30.0);
    renewal.failed(at(31.0), 0.5);
    close(left(&renewal, 31.0), 0.25);
}

#[test]
fn a_certificate_that_is_over_by_this_clock_does_not_lead_to_a_busy_loop() {
    let mut renewal = Renewal::new(POLICY, at(0.0));
    renewal.issued(at(0.0), at(-3600.0), 0.5);
    close(left(&renewal, 0.0), 1.0);
}

#[test]
fn a_clock_that_was_set_back_makes_one_due_but_failures_still_pause() {
    let mut renewal = Renewal::new(POLICY, at(0.0));
    renewal.issued(at(0.0), at(86_400.0), 0.5);
    assert!(left(&renewal, -20.0) > 0.0);
    assert_eq!(renewal.next(at(-3600.0)), Step::Request);
    renewal.failed(at(-3600.0), 0.5);
    close(left(&renewal, -3600.0), 0.25);
}

#[test]
fn a_clock_that_jumped_forward_makes_one_due() {
    let mut renewal = Renewal::new(POLICY, at(0.0));
    renewal.issued(at(0.0), at(86_400.0), 0.5);
    assert_eq!(renewal.next(at(90_000.0)), Step::Request);
}

#[test]
fn another_is_due_when_the_one_in_use_is_not_good_enough() {
    let mut renewal = Renewal::new(POLICY, at(0.0));
    renewal.issued(at(0.0), at(86_400.0), 0.5);
    renewal.hurry();
    assert_eq!(renewal.next(at(1.0)), Step::Request);
    renewal.failed(at(1.0), 0.5);
    close(left(&renewal, 1.0), 0.25);
}
