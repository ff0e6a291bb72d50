//! Questions over xDS: who is answered, and what.

use base::SpiffeId;
use serde_json::Value;
use tonic::Code;

use super::super::tests::{caller, debug};
use super::{Asked, answer, is_debug};

fn ask(
    type_url: &str,
    names: &[&str],
    caller: Option<SpiffeId>,
) -> Result<Vec<(String, Value)>, Code> {
    let (debug, _open) = debug();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let asked = Asked {
        type_url,
        nonce: "",
        error: None,
        names: &names,
    };
    let answered = answer(&debug, &asked, caller.as_ref()).map_err(|status| status.code())?;
    let read = answered.into_iter().map(|(name, any)| {
        let text = match any.type_url.as_str() {
            "istio.io/debug" => String::from_utf8(any.value.to_vec()).expect("text"),
            of => proto::json::text(of, &any.value).expect("known"),
        };
        (
            name,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    });
    Ok(read.collect())
}

#[test]
fn upstreams_tool_reads_how_far_each_proxy_is() {
    let found = ask("istio.io/debug/syncz", &[], Some(caller("istio-system"))).expect("answered");
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["pay.bank", "web.shop"]);
    let web = &found[1].1;
    assert_eq!(web["node"]["metadata"]["ISTIO_VERSION"], "1.30.0");
    let configs = &web["genericXdsConfigs"];
    assert_eq!(configs[0]["configStatus"], "SYNCED");
    assert_eq!(configs[1]["configStatus"], "ERROR");
    assert_eq!(configs[1]["errorState"]["details"], "no such thing");
    assert!(configs[0]["lastUpdated"].is_string());
}

#[test]
fn others_hear_of_their_own_namespace_only() {
    let found = ask("istio.io/debug/syncz", &[], Some(caller("bank"))).expect("answered");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "pay.bank");
    let dump = |namespace| {
        ask(
            "istio.io/debug/config_dump",
            &["web.shop"],
            Some(caller(namespace)),
        )
    };
    assert_eq!(dump("bank").expect("answered").len(), 0);
    assert_eq!(dump("shop").expect("answered").len(), 7);
}

#[test]
fn any_endpoint_is_answered_under_its_name() {
    let found = ask(
        "istio.io/debug",
        &["adsz?proxyID=web"],
        Some(caller("istio-system")),
    );
    let found = found.expect("answered");
    assert_eq!(found[0].0, "adsz?proxyID=web");
    assert_eq!(found[0].1["totalClients"], 1);
}

#[test]
fn nobody_else_is_answered() {
    let refused = |of, names: &[&str], caller| ask(of, names, caller).expect_err("refused");
    assert_eq!(
        refused("istio.io/debug/syncz", &[], None),
        Code::Unauthenticated
    );
    let shop = || Some(caller("shop"));
    assert_eq!(
        refused("istio.io/debug", &[], shop()),
        Code::InvalidArgument
    );
    assert_eq!(
        refused("istio.io/debug", &["syncz"], shop()),
        Code::PermissionDenied
    );
}

#[test]
fn types_of_proxies_are_no_questions() {
    assert!(is_debug("istio.io/debug") && is_debug("istio.io/debug/syncz"));
    assert!(!is_debug("istio.io/debugging") && !is_debug(proto::codec::type_url::CLUSTER));
}
