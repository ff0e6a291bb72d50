//! Whose objects are to blame for what proxies refuse, over all streams: the smallest set of objects that explains
//! every refusal, so that an object which shares a resource with a bad one is not blamed beside it.

mod report;

use std::collections::{BTreeMap, BTreeSet};

use base::ObjectRef;

use crate::metrics::short;
use crate::session::Refusal;

pub use report::{refusals, report};

/// Suspects of one refusal that are blamed together at most: among more, blame would say nothing.
const MOST: usize = 20;

/// What proxies say of each object that is to blame.
pub fn blame<'a>(refusals: impl IntoIterator<Item = &'a Refusal>) -> BTreeMap<ObjectRef, String> {
    let mut narrow: Vec<(Vec<&ObjectRef>, &Refusal)> = refusals
        .into_iter()
        .map(|refusal| (users(refusal), refusal))
        .filter(|(suspects, _)| (1..=MOST).contains(&suspects.len()))
        .collect();
    narrow.sort_by(|(a, one), (b, other)| {
        let key = |refusal: &Refusal| (refusal.message.clone(), refusal.type_url.clone());
        (a.len(), key(one), &one.name).cmp(&(b.len(), key(other), &other.name))
    });
    // Another complaint may have another cause: only the same one is explained by what was found before.
    let mut explained: BTreeMap<&str, BTreeSet<&ObjectRef>> = BTreeMap::new();
    let mut blamed = BTreeMap::new();
    for (suspects, refusal) in narrow {
        let found = explained.entry(&refusal.message).or_default();
        if suspects.iter().any(|suspect| found.contains(suspect)) {
            continue;
        }
        for suspect in &suspects {
            found.insert(suspect);
            blamed
                .entry((*suspect).clone())
                .or_insert_with(|| text(refusal, suspects.len()));
        }
    }
    blamed
}

/// Suspects that carry conditions: Services, Secrets and the like have no place for them.
fn users(refusal: &Refusal) -> Vec<&ObjectRef> {
    let suspects = refusal.suspects.iter();
    let users: Vec<&ObjectRef> = suspects
        .filter(|suspect| suspect.group().ends_with(".istio.io"))
        .collect();
    // A PeerAuthentication only chooses among forms that every proxy knows: it is suspected last.
    let mut others = users.clone();
    others.retain(|suspect| suspect.kind != "PeerAuthentication");
    match others.is_empty() {
        true => users,
        false => others,
    }
}

fn text(refusal: &Refusal, suspects: usize) -> String {
    let Refusal {
        type_url,
        name,
        message,
        ..
    } = refusal;
    let others = match suspects {
        1 => String::new(),
        more => format!(" (or one of {} objects beside it)", more - 1),
    };
    let kind = short(type_url);
    format!("proxies refuse {kind} resource {name:?} made from it{others}: {message}")
}

#[cfg(test)]
mod tests {
    use base::ObjectRef;
    use proto::codec::type_url::LISTENER;

    use super::blame;
    use crate::session::Refusal;

    fn object(api_version: &str, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: api_version.to_owned(),
            kind: "Any".to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
        }
    }

    fn refusal(message: &str, suspects: &[&str]) -> Refusal {
        let suspects = suspects.iter().map(|name| match name.strip_prefix('!') {
            Some(name) => object("v1", name),
            None => object("networking.istio.io/v1", name),
        });
        Refusal {
            type_url: LISTENER.to_owned(),
            name: "0.0.0.0_80".into(),
            message: message.into(),
            suspects: suspects.collect(),
        }
    }

    fn names(refusals: &[Refusal]) -> Vec<String> {
        blame(refusals).into_keys().map(|of| of.name).collect()
    }

    #[test]
    fn who_explains_every_refusal_is_blamed_alone() {
        let both = refusal("bad", &["good", "guilty"]);
        assert_eq!(names(std::slice::from_ref(&both)), ["good", "guilty"]);
        let sure = refusal("bad", &["guilty"]);
        assert_eq!(names(&[both.clone(), sure.clone()]), ["guilty"]);
        // Another complaint is another fault.
        assert_eq!(
            names(&[refusal("worse", &["good", "guilty"]), sure]).len(),
            2
        );
    }

    #[test]
    fn objects_without_conditions_and_crowds_are_not_blamed() {
        assert_eq!(names(&[refusal("bad", &["!service"])]), [""; 0]);
        assert_eq!(names(&[refusal("bad", &["!service", "rule"])]), ["rule"]);
        let many: Vec<String> = (0..30).map(|number| format!("n{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(names(&[refusal("bad", &many)]), [""; 0]);
    }

    #[test]
    fn who_only_chooses_the_mode_is_blamed_when_nobody_else_can_be() {
        let modes = ObjectRef {
            kind: "PeerAuthentication".to_owned(),
            ..object("security.istio.io/v1", "modes")
        };
        let rule = object("networking.istio.io/v1", "rule");
        let of = |suspects: Vec<ObjectRef>| Refusal {
            suspects: suspects.into(),
            ..refusal("bad", &[])
        };
        assert_eq!(names(&[of(vec![modes.clone(), rule])]), ["rule"]);
        assert_eq!(names(&[of(vec![modes])]), ["modes"]);
    }

    #[test]
    fn the_words_are_the_proxys() {
        let refusal = refusal("no such filter", &["a", "b"]);
        let blamed = blame(std::slice::from_ref(&refusal));
        assert_eq!(
            blamed[&object("networking.istio.io/v1", "a")],
            "proxies refuse lds resource \"0.0.0.0_80\" made from it (or one of 1 objects beside it): no such filter"
        );
    }
}
