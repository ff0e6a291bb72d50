//! Sets up the agent's own log lines on standard error. Envoy writes its own.

use tracing_subscriber::filter::LevelFilter;

/// Starts logging. `levels` is in upstream's form: `default:info,ads:debug` or a bare level; only
/// the default scope is distinguished.
pub fn init(levels: &str, json: bool) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(default_level(levels))
        .with_ansi(false)
        .with_target(false)
        .with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.init();
    }
}

fn default_level(levels: &str) -> LevelFilter {
    levels
        .split(',')
        .filter_map(|part| match part.split_once(':') {
            None => Some(part),
            Some(("default" | "all", level)) => Some(level),
            Some(_) => None,
        })
        .find_map(|level| match level {
            "debug" => Some(LevelFilter::DEBUG),
            "info" => Some(LevelFilter::INFO),
            "warn" => Some(LevelFilter::WARN),
            "error" | "fatal" => Some(LevelFilter::ERROR),
            "none" => Some(LevelFilter::OFF),
            _ => None,
        })
        .unwrap_or(LevelFilter::INFO)
}

#[cfg(test)]
mod tests {
    use super::{LevelFilter, default_level};

    #[test]
    fn the_default_scope_decides() {
        for (levels, expected) in [
            ("", LevelFilter::INFO),
            ("default:warn", LevelFilter::WARN),
            ("ads:debug,default:error", LevelFilter::ERROR),
            ("all:debug", LevelFilter::DEBUG),
            ("none", LevelFilter::OFF),
            ("ads:debug", LevelFilter::INFO),
        ] {
            assert_eq!(default_level(levels), expected, "{levels}");
        }
    }
}
