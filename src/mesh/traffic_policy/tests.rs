use api::snapshot::{World, read};

use super::collect;
use crate::services;

/// The host's merged rules for a caller, as `name:subset,subset`.
fn applied(text: &str, host: &str, client: &str, labels: &[(&str, &str)]) -> Option<String> {
    let mut world = World::new("cluster.local");
    for document in api::yaml::documents(text).expect("YAML") {
        if let Some(item) = read(&document).expect("readable") {
            world.put(item);
        }
    }
    let snapshot = world.snapshot();
    let rules = collect(snapshot, "cluster.local");
    let services = services::collect(snapshot, "cluster.local");
    let service = services
        .iter()
        .find(|service| service.id.host == host)
        .expect("the service is there");
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let rule = rules.of_caller(service, client, &labels, "istio-system")?;
    let names: Vec<&str> = rule
        .origin
        .iter()
        .map(|origin| origin.name.as_str())
        .collect();
    let subsets: Vec<&str> = rule
        .subsets
        .iter()
        .map(|subset| subset.name.as_str())
        .collect();
    Some(format!("{}:{}", names.join("+"), subsets.join(",")))
}

const CART: &str = "
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}
";

fn rule(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

const HOST: &str = "cart.shop.svc.cluster.local";

#[test]
fn rules_of_one_host_add_up() {
    let text = [
        CART.to_owned(),
        rule("a", "shop", "{host: cart, subsets: [{name: v1}]}"),
        rule(
            "b",
            "shop",
            "{host: cart, subsets: [{name: v1}, {name: v2}]}",
        ),
    ]
    .concat();
    let found = applied(&text, HOST, "shop", &[]);
    assert_eq!(found.as_deref(), Some("a+b:v1,v2"));
}

#[test]
fn the_callers_namespace_goes_before_the_services_and_that_before_the_root() {
    let root = rule("root", "istio-system", "{host: '*.local'}");
    let shop = rule("shop", "shop", "{host: cart}");
    let bank = rule("bank", "bank", "{host: cart.shop.svc.cluster.local}");
    let all = [CART.to_owned(), root.clone(), shop.clone(), bank].concat();
    assert_eq!(applied(&all, HOST, "bank", &[]).as_deref(), Some("bank:"));
    let two = [CART.to_owned(), root.clone(), shop].concat();
    assert_eq!(applied(&two, HOST, "bank", &[]).as_deref(), Some("shop:"));
    let one = [CART.to_owned(), root].concat();
    assert_eq!(applied(&one, HOST, "bank", &[]).as_deref(), Some("root:"));
}

#[test]
fn a_rule_that_is_not_exported_does_not_hide_that_of_the_root() {
    let text = [
        CART.to_owned(),
        rule("root", "istio-system", "{host: '*.local'}"),
        rule("shop", "shop", "{host: cart, exportTo: [other]}"),
    ]
    .concat();
    assert_eq!(applied(&text, HOST, "bank", &[]).as_deref(), Some("root:"));
}

#[test]
fn a_selector_chooses_among_rules_of_the_callers_namespace() {
    let text = [
        CART.to_owned(),
        rule("all", "shop", "{host: cart, subsets: [{name: all}]}"),
        rule(
            "some",
            "shop",
            "{host: cart, workloadSelector: {matchLabels: {app: web}}, subsets: [{name: some}]}",
        ),
    ]
    .concat();
    let web = applied(&text, HOST, "shop", &[("app", "web")]);
    assert_eq!(web.as_deref(), Some("some:some"));
    assert_eq!(
        applied(&text, HOST, "shop", &[]).as_deref(),
        Some("all:all")
    );
    // Other namespaces never see it.
    let bank = applied(&text, HOST, "bank", &[("app", "web")]);
    assert_eq!(bank.as_deref(), Some("all:all"));
}

#[test]
fn the_most_specific_host_wins() {
    let text = [
        CART.to_owned(),
        rule("wide", "shop", "{host: '*.cluster.local'}"),
        rule("narrow", "shop", "{host: '*.shop.svc.cluster.local'}"),
    ]
    .concat();
    assert_eq!(
        applied(&text, HOST, "shop", &[]).as_deref(),
        Some("narrow:")
    );
}
