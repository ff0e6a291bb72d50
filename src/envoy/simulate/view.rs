//! What one proxy has been told, read back from its resources.

use std::sync::Arc;

use api::snapshot::{HostEndpoints, HostId};
use base::ObjectRef;
use mesh::{Mesh, Proxy};
use proto::codec::{self, type_url};
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::core::v3::Metadata;
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use proto::envoy::config::listener::v3::Listener;
use proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use proto::google::protobuf::value::Kind;

use crate::{Memo, Resource, Resources, assign, derive, names};

/// The resources of a proxy.
pub(super) struct View<'a> {
    resources: Resources,
    listeners: Vec<Listener>,
    endpoints: &'a imbl::OrdMap<HostId, Arc<HostEndpoints>>,
}

/// A virtual host with the objects that it was made from, as far as they are known.
pub(super) type Host = (VirtualHost, Vec<ObjectRef>);

impl<'a> View<'a> {
    pub(super) fn of(
        mesh: &Mesh,
        proxy: &Proxy,
        endpoints: &'a imbl::OrdMap<HostId, Arc<HostEndpoints>>,
    ) -> Self {
        let resources = derive(&mesh.scope(proxy), &Memo::default());
        let listeners = resources.of_type(type_url::LISTENER);
        let listeners = listeners.filter_map(|own| codec::decode_listener(&own.bytes()).ok());
        View {
            listeners: listeners.collect(),
            resources,
            endpoints,
        }
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = &Listener> + Clone {
        self.listeners.iter()
    }

    /// The objects that a resource was made from.
    pub(super) fn origin(&self, type_url: &str, name: &str) -> Vec<ObjectRef> {
        let resource = self.resources.get(type_url, name);
        resource.map_or_else(Vec::new, |resource| objects(resource))
    }

    /// A route configuration, with all of its virtual hosts, wherever they came from.
    pub(super) fn routes(&self, name: &str) -> Option<(RouteConfiguration, Vec<Host>)> {
        let resource = self.resources.get(type_url::ROUTE, name)?;
        let mut routes = codec::decode_route(&resource.bytes()).ok()?;
        let own = std::mem::take(&mut routes.virtual_hosts);
        let mut hosts: Vec<Host> = own.into_iter().map(|host| (host, Vec::new())).collect();
        let prefix = format!("{name}/");
        let apart = self.resources.of_type(type_url::VIRTUAL_HOST);
        for resource in apart.filter(|resource| resource.name.starts_with(&prefix)) {
            let host = codec::decode_virtual_host(&resource.bytes()).ok()?;
            hosts.push((host, objects(resource)));
        }
        Some((routes, hosts))
    }

    pub(super) fn cluster(&self, name: &str) -> Option<Cluster> {
        let resource = self.resources.get(type_url::CLUSTER, name)?;
        codec::decode_cluster(&resource.bytes()).ok()
    }

    pub(super) fn cluster_names(&self) -> impl Iterator<Item = &str> {
        let clusters = self.resources.of_type(type_url::CLUSTER);
        clusters.map(|cluster| &*cluster.name)
    }

    /// The endpoints of a cluster, its own or those that come apart.
    pub(super) fn assignment(&self, cluster: &Cluster) -> ClusterLoadAssignment {
        if let Some(own) = &cluster.load_assignment {
            return own.clone();
        }
        let view = self.resources.endpoints.get(cluster.name.as_str());
        let Some(view) = view else {
            return ClusterLoadAssignment::default();
        };
        let known = self.endpoints.get(&view.host).cloned();
        assign(view, &known.unwrap_or_default())
    }
}

/// The objects of a resource, those of one kind together.
fn objects(resource: &Resource) -> Vec<ObjectRef> {
    let mut found: Vec<ObjectRef> = resource.origin.iter().map(|own| (**own).clone()).collect();
    found.sort_unstable();
    found
}

/// The user's object that metadata names.
pub(super) fn object(metadata: Option<&Metadata>) -> Option<ObjectRef> {
    let istio = metadata?.filter_metadata.get("istio")?;
    match &istio.fields.get("config")?.kind {
        Some(Kind::StringValue(path)) => names::at_path(path),
        _ => None,
    }
}
