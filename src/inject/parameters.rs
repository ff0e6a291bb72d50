//! What the path of the webhook says about the proxy: `/inject/cluster/c1/net/n1`.

use std::collections::BTreeMap;

/// Environment variables of the proxy, from what follows `/inject/` in the path: names and values by
/// turns (`cluster`, `net` or a variable in any case), `--slash--` in a value for a slash; or the older
/// `:ENV:name=value`, repeated. A name without a value is left out.
pub fn parse(path: &str) -> BTreeMap<String, String> {
    let path = path.trim_end_matches('/');
    if let Some(pairs) = path.strip_prefix(":ENV:") {
        return pairs
            .split(":ENV:")
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, value)| (variable(name), value.to_owned()))
            .collect();
    }
    let parts: Vec<&str> = path.split('/').collect();
    parts
        .chunks_exact(2)
        .filter(|pair| !pair[0].is_empty())
        .map(|pair| (variable(pair[0]), pair[1].replace("--slash--", "/")))
        .collect()
}

fn variable(name: &str) -> String {
    match name {
        "cluster" => "ISTIO_META_CLUSTER_ID".to_owned(),
        "net" => "ISTIO_META_NETWORK".to_owned(),
        other => other.to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_values_alternate() {
        let check = |path: &str, expected: &[(&str, &str)]| {
            let found = parse(path);
            let found: Vec<_> = found
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            assert_eq!(found, expected, "{path}");
        };
        check("", &[]);
        check(
            "cluster/c1/net/n1/",
            &[
                ("ISTIO_META_CLUSTER_ID", "c1"),
                ("ISTIO_META_NETWORK", "n1"),
            ],
        );
        check("foo/a--slash--b/odd", &[("FOO", "a/b")]);
        check(
            ":ENV:cluster=c1:ENV:a=:ENV:=b:ENV:c",
            &[("A", ""), ("ISTIO_META_CLUSTER_ID", "c1")],
        );
    }
}
