//! From what is there to what is to be there, in one input of `iptables-restore --noflush`: each table changes at once
//! or not at all, rules of others stay, and it does not matter how often it is done.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::rules::Rule;

const OURS: &str = "ISTIO_";
const TABLES: [&str; 3] = ["nat", "mangle", "raw"];

/// The input that leads from `saved` (the output of `iptables-save`) to `wanted` and nothing else of ours.
pub fn transaction(saved: &str, wanted: &[Rule]) -> String {
    let mut text = String::new();
    for table in TABLES {
        let wanted: Vec<&Rule> = wanted.iter().filter(|rule| rule.table == table).collect();
        let there = Table::read(saved, table, &wanted);
        let chains: BTreeSet<&str> = wanted
            .iter()
            .flat_map(|rule| [Some(rule.chain), target(&rule.rest)])
            .flatten()
            .filter(|chain| chain.starts_with(OURS))
            .collect();
        if chains.is_empty() && wanted.is_empty() && there.is_empty() {
            continue;
        }
        let mut line = |line: std::fmt::Arguments<'_>| {
            writeln!(text, "{line}").expect("writing to a string cannot fail");
        };
        line(format_args!("*{table}"));
        // This makes a chain or empties it.
        for chain in chains.iter().chain(there.chains.difference(&chains)) {
            line(format_args!(":{chain} - [0:0]"));
        }
        for rule in &there.rules {
            line(format_args!("-D {rule}"));
        }
        for chain in there.chains.difference(&chains) {
            line(format_args!("-X {chain}"));
        }
        for rule in wanted {
            line(format_args!("-A {} {}", rule.chain, rule.rest));
        }
        line(format_args!("COMMIT"));
    }
    text
}

/// What of ours is in one table.
#[derive(Debug, Default)]
struct Table<'a> {
    chains: BTreeSet<&'a str>,
    /// Rules in the kernel's chains, chain first.
    rules: Vec<&'a str>,
}

impl<'a> Table<'a> {
    fn read(saved: &'a str, table: &str, wanted: &[&Rule]) -> Table<'a> {
        let mut found = Table::default();
        let lines = saved
            .lines()
            .skip_while(|line| line.strip_prefix('*') != Some(table))
            .skip(1)
            .take_while(|line| *line != "COMMIT");
        for line in lines {
            if let Some(chain) = line.strip_prefix(':') {
                let name = chain.split(' ').next().unwrap_or_default();
                if name.starts_with(OURS) {
                    found.chains.insert(name);
                }
            } else if let Some(rule) = line.strip_prefix("-A ")
                && !rule.starts_with(OURS)
            {
                let ours = target(rule).is_some_and(|target| target.starts_with(OURS));
                let wanted = wanted.iter().any(|wanted| {
                    let rest = rule.strip_prefix(wanted.chain);
                    rest.and_then(|rest| rest.strip_prefix(' ')) == Some(&wanted.rest)
                });
                if ours || wanted {
                    found.rules.push(rule);
                }
            }
        }
        found
    }

    fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.rules.is_empty()
    }
}

/// Where a rule leads to.
fn target(rule: &str) -> Option<&str> {
    let mut words = rule.split(' ').skip_while(|word| *word != "-j");
    words.nth(1)
}

#[cfg(test)]
mod tests;
