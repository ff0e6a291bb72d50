//! The objects of an installation, component by component, as they are to be applied.

use crate::overlay::{self, Fault};
use crate::settings::{self, Target};
use crate::{Component, Install, Object, base, gateway, hosted, istiod, labels};

/// All objects of an installation; one entry per component in [`Component::ALL`]'s order.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// One entry per component, disabled ones included.
    pub components: Vec<ComponentManifest>,
}

/// The objects of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentManifest {
    /// Whose objects these are.
    pub component: Component,
    /// Whether the specification asks for it.
    pub enabled: bool,
    /// In the order in which they are to be applied; empty when disabled.
    pub objects: Vec<Object>,
}

impl Manifest {
    /// Every object, component by component in apply order.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.components.iter().flat_map(|c| c.objects.iter())
    }
}

/// Renders an installation. Cannot fail: whatever could was judged by `resolve`. Same input, same
/// bytes.
pub fn build(install: &Install) -> Manifest {
    build_and_judge(install).0
}

/// Renders, and tells which overlays fit no object; `resolve` refuses these.
pub(crate) fn build_and_judge(install: &Install) -> (Manifest, Vec<Fault>) {
    let mut faults = Vec::new();
    let components = Component::ALL
        .into_iter()
        .map(|component| {
            let mut objects = render(component, install, &mut faults);
            for object in &mut objects {
                labels::own(object, component, install);
            }
            sort(&mut objects);
            ComponentManifest {
                component,
                enabled: install.enabled(component),
                objects,
            }
        })
        .collect();
    (Manifest { components }, faults)
}

pub(crate) fn render(
    component: Component,
    install: &Install,
    faults: &mut Vec<Fault>,
) -> Vec<Object> {
    match component {
        Component::Base => {
            let Some(base) = &install.base else {
                return Vec::new();
            };
            let mut objects = base::build(base, install);
            let found = overlay::apply(&mut objects, &base.k8s, "spec.components.base");
            faults.extend(found);
            objects
        }
        Component::Pilot => {
            let Some(pilot) = &install.pilot else {
                return Vec::new();
            };
            let mut objects = istiod::build(pilot, install);
            let target = Target {
                name: &install.revisioned("istiod"),
                container: istiod::CONTAINER,
                scaling: pilot.scaling(),
                built: &[],
            };
            settings::apply(&mut objects, &pilot.k8s, &target);
            let found = overlay::apply(&mut objects, &pilot.k8s, "spec.components.pilot");
            faults.extend(found);
            if let Some(host) = &install.host {
                hosted::hand_over(&mut objects, install, host);
            }
            objects
        }
        Component::IngressGateways | Component::EgressGateways => install
            .gateways
            .iter()
            .filter(|gateway| gateway.component == component)
            .flat_map(|gateway| {
                let mut objects = gateway::build(gateway, install);
                let target = Target {
                    name: &gateway.name,
                    container: gateway::CONTAINER,
                    scaling: gateway.scaling(),
                    built: &[("service", "ports")],
                };
                settings::apply(&mut objects, &gateway.k8s, &target);
                faults.extend(overlay::apply(&mut objects, &gateway.k8s, &gateway.field));
                objects
            })
            .collect(),
    }
}

/// Puts objects in the order in which they are applied: what others refer to comes first, and a
/// Service, which makes pods reachable, last. Ties are broken by group, kind, namespace and name.
pub fn sort(objects: &mut [Object]) {
    objects.sort_by_cached_key(|object| {
        let reference = &object.reference;
        (
            rank(&reference.kind),
            reference.group().to_owned(),
            reference.kind.clone(),
            reference.name.clone(),
            reference.namespace.clone(),
        )
    });
}

fn rank(kind: &str) -> u8 {
    match kind {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        "ServiceAccount" | "ClusterRole" => 2,
        "ClusterRoleBinding" => 3,
        "ValidatingWebhookConfiguration" => 4,
        "ConfigMap" => 5,
        "HorizontalPodAutoscaler" => 7,
        "Service" => 8,
        _ => 6,
    }
}
