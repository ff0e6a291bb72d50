//! Log output, configured with upstream's `--log_output_level` syntax: `default:info,ads:debug`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Libraries whose debug output drowns ours; they stay at info unless the default level is below it.
const CHATTY: [&str; 6] = ["h2", "hyper", "hyper_util", "rustls", "tower", "tonic"];

/// Upstream's scopes and the crate of ours that does the same.
const SCOPES: [(&str, &str); 9] = [
    ("ads", "xds"),
    ("delta", "xds"),
    ("xdsproxy", "agent"),
    ("ca", "ca"),
    ("serverca", "ca"),
    ("rootcertrotator", "ca"),
    ("validationServer", "webhook"),
    ("authn", "serve"),
    ("installer", "operator"),
];

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line (`--log_as_json`).
    Json,
}

/// The level string is not of upstream's form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a log level, expected [<scope>:]<none|fatal|error|warn|info|debug>, separated by commas"
)]
pub struct InvalidLevel(String);

/// Starts logging to standard output. Later calls change nothing.
///
/// # Errors
/// [`InvalidLevel`].
pub fn init(level: &str, format: Format) -> Result<(), InvalidLevel> {
    let filter = EnvFilter::new(directives(level)?);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stdout().is_terminal());
    // A second subscriber is refused by `try_init`; the first one goes on.
    let _ = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Translates upstream's form into that of tracing's filter.
fn directives(level: &str) -> Result<String, InvalidLevel> {
    let mut default = "info";
    let mut scopes = Vec::new();
    for part in level
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (scope, name) = part.split_once(':').unwrap_or(("default", part));
        let name = match name {
            "none" => "off",
            "fatal" | "error" => "error",
            "warn" | "info" | "debug" => name,
            _ => return Err(InvalidLevel(part.to_owned())),
        };
        if scope == "default" || scope == "all" {
            default = name;
        } else {
            let known = SCOPES.iter().find(|(upstream, _)| *upstream == scope);
            let target = known.map_or(scope, |(_, ours)| ours);
            if !target
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            {
                return Err(InvalidLevel(part.to_owned()));
            }
            scopes.push(format!("{}={name}", target.replace('-', "_")));
        }
    }
    let mut all = vec![default.to_owned()];
    if default == "debug" {
        all.extend(CHATTY.iter().map(|library| format!("{library}=info")));
    }
    all.extend(scopes);
    Ok(all.join(","))
}

#[cfg(test)]
mod tests {
    use super::{InvalidLevel, directives};

    #[test]
    fn understands_upstreams_levels() {
        for (given, expected) in [
            ("default:info", "info"),
            ("warn", "warn"),
            ("", "info"),
            ("all:none", "off"),
            ("default:info,ads:debug", "info,xds=debug"),
            ("ads:debug,default:fatal", "error,xds=debug"),
            ("info, some-scope:warn", "info,some_scope=warn"),
        ] {
            assert_eq!(directives(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn debug_does_not_include_the_transport_libraries() {
        let directives = directives("default:debug").expect("a valid level");
        assert!(directives.starts_with("debug,h2=info"), "{directives}");
    }

    #[test]
    fn refuses_what_is_no_level() {
        for given in ["default:loud", "ads:", "a=b:info"] {
            assert_eq!(directives(given), Err(InvalidLevel(given.into())));
        }
    }
}
