//! Memory that a burst of work has freed goes back to the system. The allocator of the control plane keeps it for the
//! next burst until it is asked; who knows that a burst is over asks.

/// Gives back what this thread has free, and what ended threads have left. Costs some milliseconds after a large burst,
/// and next to nothing otherwise, or in a program with another allocator.
pub fn give_back() {
    #[allow(
        unsafe_code,
        reason = "a call of the allocator without pointers, sound at any time from any thread"
    )]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
