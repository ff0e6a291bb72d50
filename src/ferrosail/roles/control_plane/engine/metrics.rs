//! What the engine counts of itself, under upstream's names: how much there is, what made it move, how long it took.

use std::sync::Arc;
use std::time::Duration;

use api::snapshot::World;
use mesh::Mesh;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serve::Shutdown;
use tokio::sync::watch;

/// Upper bounds, in seconds; as upstream.
const COMPILE_TIMES: [f64; 6] = [0.01, 0.1, 0.5, 1.0, 3.0, 5.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Why {
    r#type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfVersion {
    version: &'static str,
}

/// Cloneable; all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    services: Gauge,
    virtual_services: Gauge,
    triggers: Family<Why, Counter>,
    compiled: Histogram,
    failures: Counter,
    pub(super) events: source::kube::Metrics,
    pub(super) keys: source::jwks::Metrics,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            services: Gauge::default(),
            virtual_services: Gauge::default(),
            triggers: Family::default(),
            compiled: Histogram::new(COMPILE_TIMES),
            failures: Counter::default(),
            events: source::kube::Metrics::register(registry),
            keys: source::jwks::Metrics::register(registry),
        };
        let info = Family::<OfVersion, Gauge>::default();
        let version = super::super::VERSION;
        info.get_or_create(&OfVersion { version }).set(1);
        registry.register("pilot_info", "Pilot version and build information", info);
        for (name, help, gauge) in [
            (
                "pilot_services",
                "Total services known to pilot",
                &metrics.services,
            ),
            (
                "pilot_virt_services",
                "Total virtual services known to pilot",
                &metrics.virtual_services,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "pilot_push_triggers",
            "Changes that were followed, by what changed: config for relations, endpoint for endpoints and secrets",
            metrics.triggers.clone(),
        );
        registry.register(
            "pilot_pushcontext_init_seconds",
            "Time in seconds to bring the mesh to a new snapshot",
            metrics.compiled.clone(),
        );
        registry.register(
            "pilot_total_xds_internal_errors",
            "Times that the mesh could not be compiled and the previous one stayed",
            metrics.failures.clone(),
        );
        metrics
    }

    /// A mesh was compiled in this time.
    pub(super) fn compiled(&self, took: Duration) {
        self.compiled.observe(took.as_secs_f64());
    }

    /// Compiling failed.
    pub(super) fn failed(&self) {
        self.failures.inc();
    }

    fn trigger(&self, r#type: &'static str) {
        self.triggers.get_or_create(&Why { r#type }).inc();
    }

    /// Follows what the engine hands out until `shutdown`.
    pub(super) async fn follow(
        self,
        mut meshes: watch::Receiver<Option<Arc<Mesh>>>,
        mut worlds: watch::Receiver<Option<World>>,
        shutdown: Shutdown,
    ) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Ok(()) = meshes.changed() => {
                    self.trigger("config");
                    if let Some(mesh) = &*meshes.borrow_and_update() {
                        self.sizes(mesh);
                    }
                }
                Ok(()) = worlds.changed() => self.trigger("endpoint"),
            }
        }
    }

    fn sizes(&self, mesh: &Mesh) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.services.set(count(mesh.services().len()));
        let virtual_services = &mesh.snapshot().virtual_services;
        self.virtual_services
            .set(count(virtual_services.values().count()));
    }
}
