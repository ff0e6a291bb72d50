//! Labels, annotations and the finalizer with which installed objects and pods are marked.
//! Names are those of upstream, so that its tools find our objects.

/// Name of the IstioOperator that an object belongs to.
pub const OWNING_RESOURCE: &str = "install.operator.istio.io/owning-resource";
/// Namespace of the IstioOperator that an object belongs to.
pub const OWNING_RESOURCE_NAMESPACE: &str = "install.operator.istio.io/owning-resource-namespace";
/// `true` exempts an object from being pruned when it is no longer rendered.
pub const NOT_PRUNED: &str = "install.operator.istio.io/owning-resource-not-pruned";
/// `Reconcile` on every object that the operator owns.
pub const MANAGED: &str = "operator.istio.io/managed";
/// The value of [`MANAGED`].
pub const MANAGED_RECONCILE: &str = "Reconcile";
/// Component that an object belongs to: `Base`, `Pilot` …
pub const COMPONENT: &str = "operator.istio.io/component";
/// Version of the operator that rendered an object.
pub const VERSION: &str = "operator.istio.io/version";
/// Control plane revision; `default` when none is set.
pub const REVISION: &str = "istio.io/rev";
/// Marks the objects that carry mesh-wide configuration data, the root certificate among them.
pub const CONFIG: &str = "istio.io/config";
/// Annotation: `true` on an IstioOperator pauses its reconciliation, on one of its objects leaves
/// that object as it is.
pub const IGNORE_RECONCILE: &str = "install.istio.io/ignoreReconcile";
/// Annotation on an IstioOperator, or on an object that someone else made: `true` lets the
/// operator take over what it would otherwise call a conflict.
pub const ADOPT: &str = "install.istio.io/adopt";
/// Annotation on an IstioOperator that is being deleted: `true` ends the waiting for its objects.
pub const FORCE_DELETE: &str = "install.istio.io/forceDelete";
/// Annotation by which Helm knows the release that an object belongs to.
pub const HELM_RELEASE: &str = "meta.helm.sh/release-name";
/// Annotation with the namespace of that release.
pub const HELM_NAMESPACE: &str = "meta.helm.sh/release-namespace";
/// Finalizer of the IstioOperator.
pub const FINALIZER: &str = "istio-finalizer.install.istio.io";
/// Field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "istio-operator";
