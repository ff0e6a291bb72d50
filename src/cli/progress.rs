//! How far a long verb is, on standard error: one line that changes on a terminal, plain lines otherwise.

use std::io::{IsTerminal, Write};

/// Told step by step.
pub(crate) struct Progress {
    terminal: bool,
    /// What was told last and may still change.
    standing: String,
}

impl Progress {
    /// On standard error.
    pub fn new() -> Self {
        Progress {
            terminal: std::io::stderr().is_terminal(),
            standing: String::new(),
        }
    }

    /// What is being done; the next word replaces it on a terminal.
    pub fn doing(&mut self, text: String) {
        if text == self.standing {
            return;
        }
        match self.terminal {
            // To the line's beginning, and nothing of it is left.
            true => self.write(&format!("\r\x1b[2K- {text}")),
            false => self.write(&format!("- {text}\n")),
        }
        self.standing = text;
    }

    /// Something is done.
    pub fn done(&mut self, text: &str) {
        self.lasting("✔", text);
    }

    /// Something failed.
    pub fn failed(&mut self, text: &str) {
        self.lasting("✘", text);
    }

    fn lasting(&mut self, mark: &str, text: &str) {
        let begin = if self.terminal { "\r\x1b[2K" } else { "" };
        self.write(&format!("{begin}{mark} {text}\n"));
        self.standing.clear();
    }

    fn write(&mut self, text: &str) {
        // Nobody reads progress whose standard error is gone.
        let mut out = std::io::stderr().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// Asks on standard output, reads the answer from standard input; only yes is yes.
pub(crate) fn confirmed(question: &str) -> bool {
    let mut out = std::io::stdout().lock();
    let _ = out
        .write_all(format!("{question} Proceed? (y/N) ").as_bytes())
        .and_then(|()| out.flush());
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    let answer = answer.trim().to_ascii_lowercase();
    read.is_ok() && (answer == "y" || answer == "yes")
}
