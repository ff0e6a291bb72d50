//! Upstream's own IstioOperator files, rendered by `manifest generate` and compared with what upstream renders. The
//! comparer lies beside the folder that CORPORA names; without CORPORA nothing is compared, and the test says so.

use std::path::PathBuf;
use std::process::Command;

/// Cases that have to be equal, apart from the intended differences.
const EQUAL: usize = 51;

/// `N of M cases equal; …` as numbers.
fn counted(line: &str) -> Option<(usize, usize)> {
    let (equal, rest) = line.split_once(" of ")?;
    let (all, _) = rest.split_once(" cases equal")?;
    Some((equal.parse().ok()?, all.parse().ok()?))
}

#[test]
fn the_last_line_of_the_comparer_is_understood() {
    let line = "46 of 51 cases equal; 836 of 881 objects equal; 271 intended differences";
    assert_eq!(counted(line), Some((46, 51)));
    assert_eq!(counted("nothing"), None);
}

#[test]
fn rendered_objects_equal_those_of_upstream() {
    let Some(corpora) = std::env::var_os("CORPORA").map(PathBuf::from) else {
        eprintln!("CORPORA is not set: the {EQUAL} cases of operator/ were not compared");
        return;
    };
    let differences =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../install/testdata/differences.yaml");
    let ran = Command::new("python3")
        .arg(corpora.join("../compare/istio_operator.py"))
        .arg(env!("CARGO_BIN_EXE_istioctl"))
        .arg(corpora.join("operator"))
        .arg("--differences")
        .arg(differences)
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    let last = said.trim_end().lines().last().unwrap_or_default();
    let trouble = String::from_utf8_lossy(&ran.stderr);
    let (equal, all) = counted(last).unwrap_or_else(|| panic!("no count: {said}{trouble}"));
    eprintln!("{last}");
    assert!(all >= EQUAL, "only {all} cases were found");
    assert!(equal >= EQUAL, "{said}");
    assert!(!said.contains("matches nothing"), "{said}");
}
