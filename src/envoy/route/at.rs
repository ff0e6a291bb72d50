//! Where the routes of a VirtualService are for, and which of them are made already: those of which nothing
//! depends on the port are the same for all ports of a gateway, or of sidecars.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use base::hash::Map;
use bytes::Bytes;
use mesh::{Routing, Scope};

use super::fragment::Routes;
use super::{retry, rule};

/// Where routes are for.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The gateway as `namespace/name`, or [`MESH_GATEWAY`](mesh::MESH_GATEWAY).
    pub(super) gateway: &'a str,
    /// The port that callers know.
    pub(super) port: u16,
    /// Whether TLS ends there.
    pub(super) ends_tls: bool,
}

/// A place as the rules see it, which tells whether any has looked at the port.
pub(super) struct At<'a> {
    place: Place<'a>,
    /// [`retry::usual`].
    pub(super) retries: &'a [u8],
    was_asked: Cell<bool>,
}

impl<'a> At<'a> {
    pub(super) fn gateway(&self) -> &'a str {
        self.place.gateway
    }

    pub(super) fn port(&self) -> u16 {
        self.was_asked.set(true);
        self.place.port
    }

    pub(super) fn ends_tls(&self) -> bool {
        self.was_asked.set(true);
        self.place.ends_tls
    }
}

/// Routes of VirtualServices in the making.
pub(super) struct Known<'a> {
    /// [`retry::usual`].
    pub(super) retries: Bytes,
    /// Those that are for all ports, by gateway.
    anywhere: RefCell<Map<(&'a str, *const Routing), Rc<Routes>>>,
}

impl<'a> Known<'a> {
    pub(super) fn new(scope: &Scope) -> Self {
        Known {
            retries: retry::usual(scope),
            anywhere: RefCell::default(),
        }
    }

    /// The routes of a VirtualService for a place.
    pub(super) fn routes(
        &self,
        scope: &Scope,
        routing: &'a Routing,
        place: Place<'a>,
    ) -> Rc<Routes> {
        let key = (place.gateway, std::ptr::from_ref(routing));
        if let Some(known) = self.anywhere.borrow().get(&key) {
            return known.clone();
        }
        let at = At {
            place,
            retries: &self.retries,
            was_asked: Cell::new(false),
        };
        let made = Rc::new(rule::of(scope, routing, &at));
        if !at.was_asked.get() {
            self.anywhere.borrow_mut().insert(key, made.clone());
        }
        made
    }
}
