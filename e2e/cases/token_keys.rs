//! Keys that tokens are checked with: they change without a good token being refused, whether they are written into
//! the policy or fetched by the control plane; and what has no keys lets no token in.

use e2e::eventually::eventually;
use e2e::namespace::{self, Namespace};
use e2e::token::{self, Issuer};
use e2e::workload::Workload;
use e2e::{cluster, mesh};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::authorization::{answers, bearer, get, tokens};

const URL: &str = "http://echo:8080";

/// A request with a token of this issuer.
fn with_token(issuer: &Issuer) -> Value {
    get("/", &[bearer(&issuer.token("joe", &json!({})))])
}

/// A policy whose keys are found elsewhere.
fn fetched(from: &str) -> Value {
    let mut made = tokens(&[]);
    made["spec"]["jwtRules"][0] = json!({"issuer": token::NAME, "jwksUri": from});
    made
}

#[tokio::test]
async fn keys_of_an_issuer_change_without_a_good_token_being_refused() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    namespace::injected(&client, "token-keys", async |place| {
        let workloads = [Workload::echo("echo", "v1"), Workload::client("web")];
        place.deploy(&workloads).await;
        let (old, new) = (Issuer::new("old"), Issuer::new("new"));
        let both = json!([with_token(&old), with_token(&new)]);
        for (keys, expected) in [
            (vec![&old], json!([200, 401])),
            (vec![&old, &new], json!([200, 200])),
            (vec![&new], json!([401, 200])),
        ] {
            place.apply(tokens(&keys)).await;
            answers(place, "web", URL, &both, &expected).await;
        }
        let requests = json!([with_token(&old), with_token(&new), get("/", &[])]);
        let closed = json!([401, 401, 200]);
        // Keys that nobody can fetch let no token in, and everybody else; so do none at all.
        place.apply(fetched("http://nobody.invalid/keys")).await;
        answers(place, "web", URL, &requests, &closed).await;
        told(place, "jwksUri keys cannot be fetched").await;
        place.apply(tokens(&[&new])).await;
        answers(place, "web", URL, &both, &json!([401, 200])).await;
        place.apply(tokens(&[])).await;
        answers(place, "web", URL, &requests, &closed).await;
        told(place, "jwks has no keys").await;
    })
    .await;
}

/// Waits until the policy says of itself what is wrong.
async fn told(place: &Namespace, text: &str) {
    let api = cluster::dynamic(
        &place.client,
        "security.istio.io/v1",
        "RequestAuthentication",
        Some(&place.name),
    );
    let what = format!("the policy is told {text:?}");
    eventually(&place.client, &what, 30, || async {
        let found = api.get("tokens").await.map_err(|error| error.to_string())?;
        let conditions = found.data["status"]["conditions"].as_array().cloned();
        let told = conditions.iter().flatten().any(|one| {
            let message = one["message"].as_str().unwrap_or_default();
            one["type"] == "Programmed" && one["status"] == "False" && message.contains(text)
        });
        told.then_some(())
            .ok_or_else(|| found.data["status"].to_string())
    })
    .await;
}

/// Sets how often the control plane fetches keys.
async fn refresh(client: &kube::Client, interval: &str) {
    let env = json!({"PILOT_JWT_PUB_KEY_REFRESH_INTERVAL": interval});
    let patch = json!({"spec": {"values": {"pilot": {"env": env}}}});
    mesh::operators(client)
        .patch(mesh::NAME, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("an environment");
    mesh::wait_until_healthy(client).await;
}

/// Serves the keys of these issuers at port 8080 of `name`, outside of the mesh.
async fn serve(place: &Namespace, name: &str, issuers: &[&Issuer]) {
    let server = Workload::echo(name, "v1").plain();
    let server = server.argument("--says").argument(&token::key_set(issuers));
    place.deploy(&[server]).await;
}

#[tokio::test]
async fn keys_are_fetched_and_their_rotation_is_followed() {
    let client = cluster::client().await;
    let _mesh = mesh::exclusive(&client).await;
    refresh(&client, "2s").await;
    namespace::injected(&client, "fetched-keys", async |place| {
        let (old, new) = (Issuer::new("old"), Issuer::new("new"));
        serve(place, "keys", &[&old]).await;
        let workloads = [Workload::echo("echo", "v1"), Workload::client("web")];
        place.deploy(&workloads).await;
        place
            .apply(fetched(&format!("http://{}:8080/keys", place.host("keys"))))
            .await;
        let both = json!([with_token(&old), with_token(&new)]);
        answers(place, "web", URL, &both, &json!([200, 401])).await;
        serve(place, "keys", &[&old, &new]).await;
        answers(place, "web", URL, &both, &json!([200, 200])).await;
        serve(place, "keys", &[&new]).await;
        answers(place, "web", URL, &both, &json!([401, 200])).await;
        // An answer without a key is none: what is known stays.
        serve(place, "keys", &[]).await;
        answers(place, "web", URL, &both, &json!([401, 200])).await;
        // Where there never was a key no token is good. (The pods before answer for a while yet.)
        serve(place, "keyless", &[]).await;
        let keyless = format!("http://{}:8080/keys", place.host("keyless"));
        place.apply(fetched(&keyless)).await;
        let requests = json!([with_token(&old), with_token(&new), get("/", &[])]);
        answers(place, "web", URL, &requests, &json!([401, 401, 200])).await;
        told(place, "answered with no key set").await;
    })
    .await;
    mesh::restore(&client).await;
}
