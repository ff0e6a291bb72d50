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
/// Annotation on an IstioOperator: `true` pauses its reconciliation.
pub const IGNORE_RECONCILE: &str = "install.istio.io/ignoreReconcile";
/// Finalizer of the IstioOperator.
pub const FINALIZER: &str = "istio-finalizer.install.istio.io";
/// Field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "istio-operator";
