//! The order of words on the command line: istioctl takes the flags that say which cluster before the verb as well.

use std::ffi::OsString;

/// Flags with a value that every verb on a cluster has.
const FLAGS: [&str; 7] = [
    "--kubeconfig",
    "-c",
    "--context",
    "--namespace",
    "-n",
    "--istioNamespace",
    "-i",
];

/// The same words, with flags before the verb put to its end; unknown ones stay where they are.
pub fn verb_first(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut verb = 1;
    while let Some(word) = arguments.get(verb).and_then(|word| word.to_str()) {
        if FLAGS.contains(&word) {
            verb += 2;
        } else if FLAGS.iter().any(|flag| is_with_value(word, flag)) {
            verb += 1;
        } else {
            break;
        }
    }
    if verb == 1 || verb >= arguments.len() {
        return arguments;
    }
    let end = arguments.iter().position(|word| word == "--");
    let end = end.unwrap_or(arguments.len());
    let mut ordered = arguments[..1].to_vec();
    ordered.extend_from_slice(&arguments[verb..end]);
    ordered.extend_from_slice(&arguments[1..verb]);
    ordered.extend_from_slice(&arguments[end..]);
    ordered
}

/// `--flag=value`, `-fvalue`.
fn is_with_value(word: &str, flag: &str) -> bool {
    match word.strip_prefix(flag) {
        Some(rest) if flag.starts_with("--") => rest.starts_with('='),
        Some(rest) => !rest.is_empty(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::verb_first;

    fn check(line: &str, expected: &str) {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(verb_first(words(line)), words(expected), "{line}");
    }

    #[test]
    fn flags_of_clusters_follow_the_verb() {
        check("istioctl -n shop ps", "istioctl ps -n shop");
        check(
            "istioctl --context=a -nshop -i istio pc cluster x -- y",
            "istioctl pc cluster x --context=a -nshop -i istio -- y",
        );
    }

    #[test]
    fn other_words_stay() {
        for same in [
            "istioctl",
            "istioctl ps -n shop",
            "istioctl --version",
            "istioctl -n shop",
        ] {
            check(same, same);
        }
    }
}
