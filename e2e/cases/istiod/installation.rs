//! What the command line says of an installation as it renders one: with an istiod of its own.

use e2e::istioctl::istioctl;
use e2e::{cluster, mesh};

#[tokio::test]
async fn the_installation_is_verified_and_nothing_would_change() {
    let client = cluster::client().await;
    let _mesh = mesh::shared(&client).await;
    let sample = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../config/samples/istiooperator.yaml"
    );
    let text = istioctl(&["verify-install", "-f", sample]).expect("all is there");
    assert!(
        text.contains("Istio is installed and verified successfully"),
        "{text}"
    );
    let text = istioctl(&["manifest", "diff", "-f", sample]).expect("a plan");
    assert_eq!(text, "nothing would change\n");
    let text = istioctl(&[
        "manifest",
        "diff",
        "-f",
        sample,
        "--set",
        "components.pilot.k8s.hpaSpec.maxReplicas=7",
    ]);
    let text = text.expect("a plan");
    // The values that are merged stand in a ConfigMap of their own.
    for line in [
        "change configmap istio-system/values\n",
        "change horizontalpodautoscaler istio-system/istiod\n    spec.maxReplicas from 5 to 7\n",
        "0 to create, 2 to change, 0 to remove\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
