//! What a pass found, as a value: the input of `status`, and of when to look again.

use std::time::Duration;

use base::Problem;
use install::Component;
use rollout::{Plan, Readiness};

use crate::ca_health::CaHealth;

/// The result of one pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The specification is wrong; nothing was touched.
    Invalid(Vec<Problem>),
    /// The pass could not begin: the finalizer could not be set.
    Blocked(String),
    /// Rendered, and applied as far as possible.
    Converged(Progress),
    /// The resource is being deleted.
    Deleting(Waiting),
    /// The resource is gone, or newer than this pass: there is nothing to tell.
    Silent,
}

/// What a deletion waits for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waiting {
    /// What is left, and what hinders.
    pub left: Vec<String>,
    /// Whether it has lasted long enough to be told in an Event.
    pub told: bool,
}

/// How far an installation is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Every component, disabled ones included.
    pub components: Vec<(Component, State)>,
    /// What was remarked about the specification.
    pub warnings: Vec<Problem>,
    /// `namespace/name` of gateways that no control plane serves.
    pub unserved_gateways: Vec<String>,
    /// Objects that an annotation exempts, by component.
    pub ignored: Vec<(Component, String)>,
    /// Whether an annotation pauses the resource: nothing was applied in this pass.
    pub paused: bool,
    /// What would happen without the pause.
    pub plan: Plan,
    /// How the CA is, where it is kept as this resource asks.
    pub ca: Option<CaHealth>,
}

/// How far a component is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Not asked for.
    Disabled,
    /// To be applied in this pass.
    Pending,
    /// Not applied, because this component is not available.
    Blocked(Component),
    /// Applied; waits for this.
    Settling(Vec<String>),
    /// Applied and available.
    Available,
    /// Was available and is not any more, because of this.
    Lost(Vec<String>),
    /// Did not become available in time, because of this.
    NotInTime(Duration, Vec<String>),
    /// An object could not be applied.
    Failed(String),
    /// An object belongs to someone else.
    Contended(String),
    /// Paused, and not as specified because of this.
    Held(Vec<String>),
}

impl Outcome {
    /// Whether something failed that is worth another attempt soon.
    pub fn failed(&self) -> bool {
        match self {
            Outcome::Blocked(_) => true,
            Outcome::Converged(progress) => progress
                .components
                .iter()
                .any(|(_, state)| matches!(state, State::Failed(_) | State::Contended(_))),
            Outcome::Invalid(_) | Outcome::Deleting(_) | Outcome::Silent => false,
        }
    }

    /// When to look again though no watch asks for it: a net while something is waited for
    /// (deadlines and what pods say of themselves have no watch), else `resync`.
    pub fn look_again(&self, resync: Duration) -> Duration {
        let waits = match self {
            Outcome::Deleting(_) => true,
            Outcome::Converged(progress) if progress.paused => false,
            Outcome::Converged(progress) => {
                let mut states = progress.components.iter().map(|(_, state)| state);
                !progress.unserved_gateways.is_empty()
                    || states.any(|state| !matches!(state, State::Available | State::Disabled))
            }
            Outcome::Invalid(_) | Outcome::Blocked(_) | Outcome::Silent => false,
        };
        match waits {
            true => resync.min(Duration::from_secs(10)),
            false => resync,
        }
    }
}

impl State {
    /// Whether components that need this one may be applied. A disabled one is somebody else's
    /// business, or told about by its own condition.
    pub fn lets_others_go_on(&self) -> bool {
        matches!(self, State::Available | State::Disabled)
    }

    /// Judges an applied component: `reached` tells whether it was available since it was last
    /// changed. One that was is not called unavailable for a rollout or a change of scale that
    /// leaves enough of it running.
    pub fn judge(
        readiness: &Readiness,
        reached: bool,
        waited: Duration,
        timeout: Duration,
    ) -> State {
        let waiting = || readiness.waiting.clone();
        match (readiness.available(), reached) {
            (true, _) => State::Available,
            (false, true) if readiness.down => State::Lost(waiting()),
            (false, true) => State::Available,
            (false, false) if waited >= timeout => State::NotInTime(timeout, waiting()),
            (false, false) => State::Settling(waiting()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::State;
    use rollout::Readiness;

    fn waiting(down: bool) -> Readiness {
        Readiness {
            waiting: vec!["pods".into()],
            down,
            ..Readiness::default()
        }
    }

    #[test]
    fn a_change_of_scale_leaves_a_component_available() {
        let second = Duration::from_secs(1);
        assert_eq!(
            State::judge(&waiting(false), true, second, second),
            State::Available
        );
    }

    #[test]
    fn losing_its_pods_is_told_at_once() {
        let lost = State::judge(
            &waiting(true),
            true,
            Duration::ZERO,
            Duration::from_secs(300),
        );
        assert_eq!(lost, State::Lost(vec!["pods".into()]));
    }

    #[test]
    fn settling_ends_at_the_timeout() {
        let timeout = Duration::from_secs(300);
        let after =
            |seconds| State::judge(&waiting(true), false, Duration::from_secs(seconds), timeout);
        assert_eq!(after(299), State::Settling(vec!["pods".into()]));
        assert_eq!(after(300), State::NotInTime(timeout, vec!["pods".into()]));
    }
}
