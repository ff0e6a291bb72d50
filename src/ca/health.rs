//! How the CA is, as a value for whoever tells people: the operator's conditions CAHealthy and RootCertDistributed.

use pki::OffsetDateTime;

use crate::{Root, Source};

/// What is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Which CA is in force and until when, or what is wrong with it; `None` until the Secrets were read.
    pub authority: Option<Result<String, String>>,
    /// Who holds the root certificate; `None` until there is one and namespaces were listed.
    pub distribution: Option<Distribution>,
}

/// How far the root certificate has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Namespaces that hold the root in force.
    pub held: usize,
    /// Namespaces that are to hold it.
    pub wanted: usize,
    /// `namespace: error`, the first of those where it could not be written.
    pub failing: Vec<String>,
}

/// Judges the CA in force at `now`; `trouble` is what its keeper last complained of.
pub(crate) fn authority(
    root: Option<&Root>,
    trouble: Option<&str>,
    now: OffsetDateTime,
) -> Option<Result<String, String>> {
    let Some(root) = root else {
        return trouble.map(|trouble| Err(trouble.to_owned()));
    };
    let kind = match root.source {
        Source::SelfSigned => "self-signed",
        Source::PluggedIn => "plugged-in",
    };
    let certificate = root.signer().certificate();
    let ends = root.intermediates().chain(root.roots());
    let until = ends.fold(certificate.not_after, |until, link| {
        until.min(link.not_after)
    });
    let date = until.date();
    Some(match trouble {
        Some(trouble) => Err(format!("{trouble}; the {kind} CA in force goes on")),
        None if until < now => Err(format!("the {kind} CA ended on {date}")),
        None => Ok(format!(
            "{kind} CA {}, valid until {date}",
            certificate.subject
        )),
    })
}

#[cfg(test)]
mod tests {
    use pki::OffsetDateTime;
    use time::Duration;

    use super::authority;
    use crate::Root;

    fn root() -> Root {
        Root::generate("cluster.local", OffsetDateTime::UNIX_EPOCH).expect("a root")
    }

    #[test]
    fn a_usable_root_is_named_with_its_end() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(1);
        let told = authority(Some(&root()), None, now).expect("known");
        let expected = "self-signed CA O=cluster.local, valid until 1979-12-30";
        assert_eq!(told.as_deref(), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_told_though_a_root_is_in_force() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(1);
        let told = authority(Some(&root()), Some("secret x was emptied"), now);
        let expected = "secret x was emptied; the self-signed CA in force goes on";
        assert_eq!(told, Some(Err(expected.to_owned())));
        let late = now + Duration::days(4000);
        let told = authority(Some(&root()), None, late).expect("known");
        assert_eq!(
            told,
            Err("the self-signed CA ended on 1979-12-30".to_owned())
        );
    }

    #[test]
    fn nothing_is_told_before_anything_is_known() {
        assert_eq!(authority(None, None, OffsetDateTime::UNIX_EPOCH), None);
        let told = authority(None, Some("forbidden"), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(told, Some(Err("forbidden".to_owned())));
    }
}
