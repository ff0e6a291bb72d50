//! Runs iptables. There are two kernels' worth of it (nft and legacy), and rules of one are not seen by the other: the
//! one that has rules already is used.

use std::io::{self, Write};
use std::process::{Command, Stdio};

/// iptables failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// None of the programs is there.
    #[error("no iptables is installed: {error}")]
    Missing {
        /// As the last attempt said.
        error: io::Error,
    },
    /// It could not be run.
    #[error("cannot run {program}: {error}")]
    Run {
        /// With its suffix.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// It ran and said no.
    #[error("{program} failed: {message}")]
    Failed {
        /// With its suffix.
        program: String,
        /// Its words.
        message: String,
    },
}

/// One of the implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool(&'static str);

/// Finds the implementation to use.
///
/// # Errors
/// [`CommandError::Missing`], or what the last one said that is there but does not work.
pub fn choose() -> Result<Tool, CommandError> {
    for tool in [Tool("iptables-nft"), Tool("iptables-legacy")] {
        if tool
            .save()
            .is_ok_and(|saved| saved.lines().any(|line| line.starts_with("-A ")))
        {
            return Ok(tool);
        }
    }
    let mut outcome = Err(CommandError::Missing {
        error: io::ErrorKind::NotFound.into(),
    });
    for tool in [
        Tool("iptables"),
        Tool("iptables-nft"),
        Tool("iptables-legacy"),
    ] {
        match tool.save() {
            Ok(_) => return Ok(tool),
            Err(CommandError::Run { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

impl Tool {
    /// `iptables`, `iptables-nft` or `iptables-legacy`.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// All rules, as `iptables-save` prints them.
    pub fn save(self) -> Result<String, CommandError> {
        self.run("save", &[], "")
    }

    /// Carries out a transaction; rules that it does not name stay.
    pub fn restore(self, transaction: &str) -> Result<(), CommandError> {
        match transaction {
            "" => Ok(()),
            // Waits for others who change rules at the same time.
            _ => self
                .run("restore", &["--noflush", "--wait=30"], transaction)
                .map(drop),
        }
    }

    fn run(self, verb: &str, arguments: &[&str], input: &str) -> Result<String, CommandError> {
        let program = format!("{}-{verb}", self.0);
        let failed = |error| CommandError::Run {
            program: program.clone(),
            error,
        };
        let mut child = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut stdin = child.stdin.take().expect("it is piped");
        // One that ends without reading says why by itself.
        let written = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            return Err(CommandError::Failed {
                program,
                message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        written.map_err(failed)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
