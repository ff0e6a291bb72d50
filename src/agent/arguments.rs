//! The command line in upstream's manner: flags anywhere, `--flag value` and `--flag=value`, and
//! unknown flags tolerated, because injected pods carry flags of other versions.

use std::collections::BTreeMap;

/// Flags that take no value; they can be turned off with `--flag=false`.
const SWITCHES: [&str; 4] = ["log_as_json", "short", "profiling", "help"];

/// Flags that take a value.
const VALUES: [&str; 17] = [
    "concurrency",
    "debug-port",
    "domain",
    "log_output_level",
    "meshConfig",
    "outlierLogPath",
    "output",
    "periodMillis",
    "proxyComponentLogLevel",
    "proxyLogLevel",
    "requestTimeoutMillis",
    "serviceCluster",
    "stsPort",
    "templateFile",
    "timeoutSeconds",
    "tokenManagerPlugin",
    "url",
];

/// Upstream's flags that are read without having an effect here.
const WITHOUT_EFFECT: [&str; 5] = [
    "profiling",
    "serviceCluster",
    "stsPort",
    "templateFile",
    "tokenManagerPlugin",
];

/// A command line, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// What is not a flag, in order: the command first.
    pub positional: Vec<String>,
    /// Flags that have no effect, as given.
    pub ignored: Vec<String>,
    flags: BTreeMap<String, String>,
}

/// The value of a flag cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag} is {value:?}, expected {expected}")]
pub struct InvalidFlag {
    /// Without dashes.
    pub flag: String,
    /// As given.
    pub value: String,
    /// What would be accepted.
    pub expected: &'static str,
}

impl Arguments {
    /// Takes the arguments apart; the program's name is not among them.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Arguments {
        let mut parsed = Arguments::default();
        let mut rest = arguments.peekable();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                parsed.positional.extend(rest.by_ref());
                break;
            }
            let Some(flag) = argument.strip_prefix('-').filter(|flag| !flag.is_empty()) else {
                parsed.positional.push(argument);
                continue;
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, given) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let name = match name {
                "s" => "short",
                "o" => "output",
                "h" => "help",
                other => other,
            };
            let known = VALUES.contains(&name);
            let value = match given {
                Some(value) => value,
                None if SWITCHES.contains(&name) => "true".to_owned(),
                None if known => rest.next().unwrap_or_default(),
                // What follows an unknown flag is its value, unless it is a flag too.
                None => rest
                    .next_if(|next| !next.starts_with('-'))
                    .unwrap_or_default(),
            };
            if WITHOUT_EFFECT.contains(&name) || !(known || SWITCHES.contains(&name)) {
                parsed.ignored.push(argument.clone());
            }
            parsed.flags.insert(name.to_owned(), value);
        }
        parsed
    }

    /// The value of `flag`, if it is given.
    pub fn value(&self, flag: &str) -> Option<&str> {
        self.flags.get(flag).map(String::as_str)
    }

    /// Whether a switch is given and not `false`.
    pub fn is_set(&self, flag: &str) -> bool {
        self.value(flag).is_some_and(|value| value != "false")
    }

    /// The number that `flag` has, if it is given.
    pub fn number<N: std::str::FromStr>(&self, flag: &str) -> Result<Option<N>, InvalidFlag> {
        self.value(flag)
            .map(|value| {
                value.parse().map_err(|_| InvalidFlag {
                    flag: flag.to_owned(),
                    value: value.to_owned(),
                    expected: "a number",
                })
            })
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parsed(line: &str) -> Arguments {
        Arguments::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn the_command_line_of_gateways_is_understood() {
        let arguments = parsed(
            "proxy router --domain ns.svc.cluster.local --proxyLogLevel=warning --proxyComponentLogLevel=misc:error --log_output_level=default:info",
        );
        assert_eq!(arguments.positional, ["proxy", "router"]);
        assert_eq!(arguments.value("domain"), Some("ns.svc.cluster.local"));
        assert_eq!(
            arguments.value("proxyComponentLogLevel"),
            Some("misc:error")
        );
        assert!(arguments.ignored.is_empty());
    }

    #[test]
    fn unknown_flags_take_their_value_along_and_are_named() {
        let arguments = parsed("proxy --new thing --newer=x --newest --concurrency 2 sidecar");
        assert_eq!(arguments.positional, ["proxy", "sidecar"]);
        assert_eq!(arguments.ignored, ["--new", "--newer=x", "--newest"]);
        assert_eq!(arguments.number::<u32>("concurrency"), Ok(Some(2)));
    }

    #[test]
    fn switches_take_no_value_and_can_be_turned_off() {
        let arguments = parsed("version -s -o json --log_as_json=false");
        assert!(arguments.is_set("short"));
        assert!(!arguments.is_set("log_as_json"));
        assert_eq!(arguments.value("output"), Some("json"));
    }

    #[test]
    fn what_follows_two_dashes_is_no_flag() {
        assert_eq!(
            parsed("request -- GET -x").positional,
            ["request", "GET", "-x"]
        );
    }

    #[test]
    fn a_number_that_is_none_is_refused_with_its_flag() {
        let error = parsed("wait --timeoutSeconds=soon").number::<u64>("timeoutSeconds");
        assert_eq!(
            error.expect_err("a refusal").to_string(),
            "--timeoutSeconds is \"soon\", expected a number"
        );
    }
}
