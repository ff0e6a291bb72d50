//! Who may touch the one mesh when: many cases that only use it, or one that disturbs it. The many go
//! first, so that a long one runs beside all others and not before them. Who leaves it looks whether every status that was
//! written meanwhile is right.

use std::sync::{LazyLock, Mutex};

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::statuses;

/// How many cases use the mesh at once: more would only wait for processors, and measure that.
const AT_ONCE: usize = 3;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);
static MESH: LazyLock<Gate> = LazyLock::new(Gate::default);

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// Cases that use the mesh or wait for it.
    users: usize,
    alone: bool,
}

impl Gate {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }

    /// Waits until `take` takes what it wants.
    async fn until(&self, take: impl Fn(&mut State) -> bool) {
        let mut changes = self.changed.subscribe();
        while !take(&mut self.state()) {
            changes.changed().await.expect("the gate stays");
        }
    }

    fn leave(&self, put_back: impl FnOnce(&mut State)) {
        put_back(&mut self.state());
        self.changed.send_replace(());
    }
}

/// The mesh is used and nobody disturbs it, until this is dropped.
pub struct Shared(Option<SemaphorePermit<'static>>, User);

impl Drop for Shared {
    fn drop(&mut self) {
        statuses::assert_right();
    }
}

struct User;

impl Drop for User {
    fn drop(&mut self) {
        MESH.leave(|state| state.users -= 1);
    }
}

/// Nobody else uses the mesh, until this is dropped.
pub struct Alone(());

impl Drop for Alone {
    fn drop(&mut self) {
        MESH.leave(|state| state.alone = false);
        statuses::assert_right();
    }
}

/// Waits for its place among a few that use the mesh at once.
pub async fn shared() -> Shared {
    let mut shared = beside().await;
    let place = PLACES.acquire().await.expect("the semaphore stays open");
    shared.0 = Some(place);
    shared
}

/// As [`shared`], for a case that takes minutes and little else: it waits for no place and holds none.
pub async fn beside() -> Shared {
    // Counted from here on: those who want to be alone wait also for those who wait for a place.
    MESH.state().users += 1;
    let user = User;
    MESH.until(|state| !state.alone).await;
    Shared(None, user)
}

/// Waits until nobody else uses the mesh or wants to.
pub async fn alone() -> Alone {
    let free = |state: &mut State| {
        let free = state.users == 0 && !state.alone;
        state.alone |= free;
        free
    };
    MESH.until(free).await;
    Alone(())
}
