//! How the mesh's CA is, in the words of conditions. Who keeps the CA tells it; nothing is judged
//! here.

use base::Condition;
use base::condition::{self, Status, reason};

/// What the keeper of the CA knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaHealth {
    /// Which CA is in force and until when, or what is wrong with it; none until that is known.
    pub authority: Option<Result<String, String>>,
    /// Who holds the root certificate; none until that is known.
    pub distribution: Option<Distribution>,
}

/// How far the root certificate has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Namespaces that hold the root in force.
    pub held: usize,
    /// Namespaces that are to hold it.
    pub wanted: usize,
    /// `namespace: error`, where it could not be written.
    pub failing: Vec<String>,
}

/// Conditions CAHealthy and RootCertDistributed.
pub fn conditions(health: &CaHealth) -> [Condition; 2] {
    let (truth, why, message) = match &health.authority {
        Some(Ok(message)) => (Status::True, reason::ROOT_USABLE, message.clone()),
        Some(Err(trouble)) => (Status::False, reason::ROOT_UNUSABLE, trouble.clone()),
        None => (
            Status::Unknown,
            reason::NOT_KNOWN_YET,
            "the CA's Secrets have not been read yet".to_owned(),
        ),
    };
    let authority = Condition::new(condition::CA_HEALTHY, truth, why, message);
    let (truth, why, message) = match &health.distribution {
        Some(Distribution {
            held,
            wanted,
            failing,
        }) => {
            let (truth, why) = match held >= wanted {
                true => (Status::True, reason::DISTRIBUTED),
                false => (Status::False, reason::DISTRIBUTING),
            };
            let mut parts = vec![format!("{held} of {wanted} namespaces hold it")];
            parts.extend(failing.iter().cloned());
            (truth, why, parts.join("; "))
        }
        None => (
            Status::Unknown,
            reason::NOT_KNOWN_YET,
            "the namespaces have not been looked at yet".to_owned(),
        ),
    };
    let distribution = Condition::new(condition::ROOT_CERT_DISTRIBUTED, truth, why, message);
    [authority, distribution]
}

#[cfg(test)]
mod tests {
    use super::{CaHealth, Distribution, conditions};
    use base::condition::Status;

    fn said(health: &CaHealth) -> [(Status, String); 2] {
        conditions(health).map(|condition| (condition.status, condition.message))
    }

    #[test]
    fn a_root_in_force_everywhere_is_true_twice() {
        let health = CaHealth {
            authority: Some(Ok("self-signed until 2036".into())),
            distribution: Some(Distribution {
                held: 3,
                wanted: 3,
                failing: Vec::new(),
            }),
        };
        let [authority, distribution] = said(&health);
        assert_eq!(authority, (Status::True, "self-signed until 2036".into()));
        let expected = "3 of 3 namespaces hold it".to_owned();
        assert_eq!(distribution, (Status::True, expected));
    }

    #[test]
    fn trouble_is_told_and_not_knowing_is_no_trouble() {
        let health = CaHealth {
            authority: Some(Err("the root has expired".into())),
            distribution: Some(Distribution {
                held: 1,
                wanted: 2,
                failing: vec!["shop: forbidden".into()],
            }),
        };
        let [authority, distribution] = said(&health);
        assert_eq!(authority, (Status::False, "the root has expired".into()));
        let expected = "1 of 2 namespaces hold it; shop: forbidden".to_owned();
        assert_eq!(distribution, (Status::False, expected));
        let [authority, distribution] = said(&CaHealth::default());
        assert_eq!(authority.0, Status::Unknown);
        assert_eq!(distribution.0, Status::Unknown);
    }
}
