//! Memory that a burst of work has freed goes back to the system. The allocator keeps it for the next burst
//! until it is asked; who knows that a burst is over asks.

/// Gives free memory back. Costs some milliseconds after a large burst, and next to nothing otherwise.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    #[allow(
        unsafe_code,
        reason = "a call of the C library without pointers, sound at any time from any thread"
    )]
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// Other C libraries have nothing to ask.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}
