//! Upstream's scenarios of traffic and of security, compiled and compared resource by resource with what upstream
//! derives. The comparer lies beside the folder that CORPORA names; without CORPORA nothing is compared, and the
//! test says so.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Cases of each family that have to be equal, apart from the intended differences.
const EQUAL: [(&str, usize); 11] = [
    ("services", 17),
    ("serviceentry", 6),
    ("virtualservice", 14),
    ("destinationrule", 12),
    ("gateway", 12),
    ("ingress", 2),
    ("sidecar", 12),
    ("mesh", 6),
    ("security", 17),
    ("telemetry", 15),
    ("realistic", 8),
];

/// How many cases of a family are equal, and what the comparer said.
fn equal(corpora: &Path, family: &str) -> (usize, String) {
    let differences =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../envoy/testdata/differences.yaml");
    let mut command = Command::new("python3");
    command
        .arg(corpora.join("../compare/xds.py"))
        .arg(corpora.join("xds"))
        .args(["--binary", env!("CARGO_BIN_EXE_istioctl")])
        .args(["--only", &format!("{family}/*")]);
    if differences.exists() {
        command.arg("--differences").arg(differences);
    }
    let ran = command.output().expect("python3 runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let last = said.trim_end().lines().last().unwrap_or_default();
    let count = last
        .split_once(" of ")
        .and_then(|(equal, _)| equal.parse().ok());
    let trouble = String::from_utf8_lossy(&ran.stderr);
    let count = count.unwrap_or_else(|| panic!("{family}: no count: {said}{trouble}"));
    (count, said)
}

#[test]
fn scenarios_equal_those_of_upstream() {
    let Some(corpora) = std::env::var_os("CORPORA").map(PathBuf::from) else {
        let cases: usize = EQUAL.iter().map(|(_, cases)| cases).sum();
        eprintln!("CORPORA is not set: the {cases} cases of xds/ were not compared");
        return;
    };
    let mut fewer = Vec::new();
    std::thread::scope(|threads| {
        let corpora = &corpora;
        let runs = EQUAL.map(|(family, floor)| {
            let run = threads.spawn(move || equal(corpora, family));
            (family, floor, run)
        });
        for (family, floor, run) in runs {
            let (count, said) = run.join().expect("the comparer ran");
            eprintln!("{family}: {count} equal");
            if count < floor {
                fewer.push(format!("{family}: {count} of {floor} equal\n{said}"));
            }
        }
    });
    assert!(fewer.is_empty(), "{}", fewer.join("\n"));
}
