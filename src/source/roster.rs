//! Which objects a source has told of: what it must take back when a new listing lacks them.

use std::collections::BTreeSet;

use api::snapshot::Key;

/// The objects of one kind, through listings and single changes.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    known: BTreeSet<Key>,
    /// What the listing under way has shown, and what came after its beginning.
    listing: Option<BTreeSet<Key>>,
}

impl Roster {
    /// A listing begins: all that it will not show is gone.
    pub fn begin(&mut self) {
        self.listing = Some(BTreeSet::new());
    }

    /// An object is there; whether that is new.
    pub fn seen(&mut self, key: &Key) -> bool {
        if let Some(listing) = &mut self.listing {
            listing.insert(key.clone());
        }
        self.known.insert(key.clone())
    }

    /// An object is gone.
    pub fn gone(&mut self, key: &Key) {
        if let Some(listing) = &mut self.listing {
            listing.remove(key);
        }
        self.known.remove(key);
    }

    /// The listing is complete; returns what it did not show.
    pub fn finish(&mut self) -> Vec<Key> {
        let Some(listing) = self.listing.take() else {
            return Vec::new();
        };
        let lost = self.known.difference(&listing).cloned().collect();
        self.known = listing;
        lost
    }
}

#[cfg(test)]
mod tests {
    use api::snapshot::Key;

    use super::Roster;

    fn key(name: &str) -> Key {
        Key::new("shop", name)
    }

    #[test]
    fn a_listing_takes_back_what_it_does_not_show() {
        let mut roster = Roster::default();
        roster.begin();
        roster.seen(&key("a"));
        roster.seen(&key("b"));
        assert_eq!(roster.finish(), []);
        roster.seen(&key("c"));
        roster.gone(&key("a"));
        roster.begin();
        roster.seen(&key("c"));
        assert_eq!(roster.finish(), [key("b")]);
    }

    #[test]
    fn an_interrupted_listing_takes_nothing_back() {
        let mut roster = Roster::default();
        roster.begin();
        roster.seen(&key("a"));
        roster.finish();
        roster.begin();
        roster.begin();
        roster.seen(&key("a"));
        assert_eq!(roster.finish(), []);
        assert_eq!(roster.finish(), []);
    }
}
