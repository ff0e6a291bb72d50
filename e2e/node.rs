//! Programs of the cluster's node, which runs on this machine, as its signals reach them: held still, let go on, ended.

use std::ffi::OsStr;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(Pid);

/// A process that holds still until this is dropped.
#[must_use = "it goes on when this is dropped"]
pub struct Still(Process);

impl Process {
    /// A program of the node by its name, `kube-apiserver` for example.
    ///
    /// # Panics
    /// When it does not run, or more than one does.
    pub fn program(name: &str) -> Process {
        let folder = std::env::var("FERROSAIL_NODE")
            .expect("FERROSAIL_NODE names the folder of the cluster under test");
        // Every program of a node is told about files of that folder.
        let of_node = |arguments: &[String]| {
            arguments.get(1).is_some_and(|word| word == name)
                && arguments.iter().any(|word| word.starts_with(&folder))
        };
        only(name, |process| of_node(&process.words("cmdline")))
    }

    /// The operator in this pod.
    ///
    /// # Panics
    /// When it does not run, or more than one does.
    pub fn operator(pod: &str) -> Process {
        let variable = format!("POD_NAME={pod}");
        only(pod, |process| {
            let arguments = process.words("cmdline");
            arguments
                .first()
                .is_some_and(|word| word.ends_with("/ferrosail"))
                && process.words("environ").contains(&variable)
        })
    }

    /// Whoever started it, and starts it again when it ends.
    pub fn supervisor(self) -> Process {
        let status = std::fs::read_to_string(self.file("status")).expect("the process runs");
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        let parent = parent.and_then(|number| number.trim().parse().ok());
        Process(Pid::from_raw(
            parent.expect("every process names its parent"),
        ))
    }

    /// Stops it where it is: its connections stay open, and nobody answers on them.
    pub fn hold(self) -> Still {
        self.signal(Signal::SIGSTOP);
        Still(self)
    }

    /// Ends it at once.
    pub fn end(self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(self, signal: Signal) {
        kill(self.0, signal).unwrap_or_else(|error| panic!("process {}: {error}", self.0));
    }

    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }

    /// What one of its files lists, or nothing once it has ended.
    fn words(self, file: &str) -> Vec<String> {
        let bytes = std::fs::read(self.file(file)).unwrap_or_default();
        let words = bytes.split(|&byte| byte == 0);
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        // It may have been ended meanwhile.
        let _ = kill(self.0.0, Signal::SIGCONT);
    }
}

fn only(what: &str, wanted: impl Fn(Process) -> bool) -> Process {
    let entries = std::fs::read_dir("/proc").expect("Linux");
    let number = |name: &OsStr| name.to_str()?.parse().ok();
    let all = entries.filter_map(|entry| number(&entry.ok()?.file_name()));
    let mut found = all
        .map(|number| Process(Pid::from_raw(number)))
        .filter(|&process| wanted(process));
    let first = found
        .next()
        .unwrap_or_else(|| panic!("{what} does not run"));
    assert_eq!(found.next(), None, "{what} runs more than once");
    first
}
