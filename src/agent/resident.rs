//! Keeps the agent small at rest: the code that ran only to start or to connect is given back.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::mman::{MmapAdvise, madvise};

use crate::metrics::Metrics;

/// How long after a start, a new stream or a new certificate the agent is at rest.
const SETTLED: Duration = Duration::from_secs(3);
/// How often it is looked whether other work has made it large again: configuration that was passed on, or only the
/// ping that tells every 30 s whether the control plane is there.
const LOOK: Duration = Duration::from_secs(5);
/// What is large, in bytes.
const LARGE: usize = 4_500_000;
const SMAPS: &str = "/proc/self/smaps";
const STATM: &str = "/proc/self/statm";

/// Gives code back after the start, after each new configuration stream and certificate, and when
/// there is much of it again. Most of what is resident is code, and most of that is TLS and the
/// reading of configuration; what is needed again comes back from the page cache in microseconds.
pub async fn keep_small(metrics: Arc<Metrics>) -> std::convert::Infallible {
    let mut stream_opened = metrics.stream_opened.subscribe();
    let mut certificate_issued = metrics.certificate_issued.subscribe();
    tokio::time::sleep(SETTLED).await;
    loop {
        match std::fs::read_to_string(SMAPS) {
            Ok(smaps) => equal_to_their_files(&smaps).into_iter().for_each(give_back),
            Err(error) => tracing::debug!("cannot read {SMAPS}: {error}"),
        }
        // Their senders live as long as `metrics`.
        tokio::select! {
            _ = stream_opened.changed() => tokio::time::sleep(SETTLED).await,
            _ = certificate_issued.changed() => tokio::time::sleep(SETTLED).await,
            () = large() => {}
        }
    }
}

/// Returns when much is resident.
async fn large() {
    loop {
        tokio::time::sleep(LOOK).await;
        let statm = std::fs::read_to_string(STATM).unwrap_or_default();
        if resident(&statm) > LARGE {
            return;
        }
    }
}

/// Bytes, from the text of `/proc/<pid>/statm` (proc(5)): its second number counts pages.
fn resident(statm: &str) -> usize {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(4096);
    let pages = statm.split_whitespace().nth(1);
    pages
        .and_then(|pages| pages.parse::<usize>().ok())
        .unwrap_or(0)
        .saturating_mul(page)
}

/// A part of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: NonZeroUsize,
    length: usize,
}

/// The mappings of files that cannot be written and have no page of their own (one that was
/// written before, by relocation say), from the text of `/proc/<pid>/smaps` (proc(5)).
fn equal_to_their_files(smaps: &str) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut candidate: Option<Range> = None;
    let mut own_pages = 0;
    for line in smaps.lines() {
        match line.split_once(":  ") {
            None => {
                ranges.extend(candidate.take().filter(|_| own_pages == 0));
                candidate = mapping_of_file(line);
                own_pages = 0;
            }
            Some(("Anonymous" | "Swap", amount)) => {
                own_pages += amount
                    .split_whitespace()
                    .next()
                    .and_then(|number| number.parse().ok())
                    .unwrap_or(u64::MAX / 4);
            }
            Some(_) => {}
        }
    }
    ranges.extend(candidate.filter(|_| own_pages == 0));
    ranges
}

/// Reads `start-end permissions offset device inode path`.
fn mapping_of_file(line: &str) -> Option<Range> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let private_and_fixed = matches!(fields.next()?, "r-xp" | "r--p");
    let file = fields.nth(3)?.starts_with('/');
    let start = NonZeroUsize::new(usize::from_str_radix(start, 16).ok()?)?;
    let end = usize::from_str_radix(end, 16).ok()?;
    (private_and_fixed && file).then_some(Range {
        start,
        length: end.checked_sub(start.get())?,
    })
}

#[allow(unsafe_code)]
fn give_back(range: Range) {
    let address = NonNull::<c_void>::without_provenance(range.start);
    // SAFETY: the range is a private mapping of a file, cannot be written, and has no page that
    // differs from the file. What is given back comes back the same when it is used again.
    let outcome = unsafe { madvise(address, range.length, MmapAdvise::MADV_DONTNEED) };
    if let Err(error) = outcome {
        tracing::debug!("code cannot be given back: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::{Range, SMAPS, STATM, equal_to_their_files, give_back, resident};

    #[test]
    fn only_pages_that_equal_a_file_are_found() {
        let smaps = "\
1000-2000 r--p 00000000 08:01 1          /usr/local/bin/pilot-agent
Size:                  4 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me
2000-5000 r-xp 00001000 08:01 1          /usr/local/bin/pilot-agent
Anonymous:             0 kB
5000-6000 r--p 00004000 08:01 1          /usr/local/bin/pilot-agent
Anonymous:             4 kB
6000-7000 r--p 00004000 08:01 1          /usr/local/bin/pilot-agent
Anonymous:             0 kB
Swap:                  4 kB
7000-8000 rw-p 00005000 08:01 1          /usr/local/bin/pilot-agent
Anonymous:             0 kB
8000-9000 r--p 00000000 00:00 0 
Anonymous:             0 kB
9000-a000 r-xp 00000000 00:00 0          [vdso]
Anonymous:             0 kB
a000-b000 r-xp 00000000 08:01 2          /lib/libc.so.6
Anonymous:             0 kB
";
        let range = |start: usize, length| Range {
            start: start.try_into().expect("not zero"),
            length,
        };
        assert_eq!(
            equal_to_their_files(smaps),
            [
                range(0x1000, 0x1000),
                range(0x2000, 0x3000),
                range(0xa000, 0x1000)
            ]
        );
    }

    #[test]
    fn the_kernel_says_how_much_is_resident() {
        let statm = std::fs::read_to_string(STATM).expect("linux");
        let bytes = resident(&statm);
        assert!((1 << 20..1 << 32).contains(&bytes), "{bytes}");
        assert_eq!(resident("nonsense"), 0);
    }

    #[test]
    fn what_was_given_back_still_runs() {
        let smaps = std::fs::read_to_string(SMAPS).expect("linux");
        let ranges = equal_to_their_files(&smaps);
        assert!(!ranges.is_empty());
        ranges.into_iter().for_each(give_back);
        assert_eq!(format!("{} {:?}", 1.5, "it runs"), "1.5 \"it runs\"");
    }
}
