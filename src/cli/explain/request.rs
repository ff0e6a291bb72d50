//! `explain request FROM TO`: the objects, the mesh that they make, and the call through it.

use std::path::PathBuf;

use api::features::Features;
use api::mesh_config::MeshConfig;
use api::mesh_networks::MeshNetworks;
use api::snapshot::{World, read};
use clap::{Args, ValueEnum};
use envoy::simulate::{Call, Simulation};
use serde_json::Value;

use super::{controllers, from, print, workload};
use crate::analyze::files;

/// Arguments of `explain request`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Who calls: a pod, TYPE/NAME of something that has pods, labels as app=web, or a gateway
    from: String,
    /// Who is called: http://reviews:9080/path, https://…, grpc://…, tcp://db:5432, tls://…, or host:port
    to: String,
    /// Method of the request
    #[arg(long, short = 'X')]
    method: Option<String>,
    /// Header of the request, NAME:VALUE
    #[arg(long = "header", short = 'H', value_name = "NAME:VALUE")]
    headers: Vec<String>,
    /// File or folder with Kubernetes and Istio objects, - for standard input; then no cluster is asked
    #[arg(long = "filename", short = 'f', value_name = "FILE")]
    filenames: Vec<String>,
    /// Ask the cluster as well: files stand for what is to be applied over its objects
    #[arg(long = "use-kube", short = 'k')]
    use_kube: bool,
    /// File with the MeshConfig, instead of the one that is found
    #[arg(long = "meshConfigFile", value_name = "FILE", visible_alias = "mesh")]
    mesh_config: Option<PathBuf>,
    /// Form of the output
    #[arg(long, short, default_value = "text")]
    output: Output,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    flags: crate::cluster::Flags,
    /// Namespace
    #[cfg(not(feature = "cluster"))]
    #[arg(long, short)]
    namespace: Option<String>,
}

/// Forms of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Text,
    Json,
    Yaml,
}

/// What a cluster of Kubernetes calls itself, unless told otherwise.
const DOMAIN: &str = "cluster.local";

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let call = Call::parse(
        &arguments.to,
        arguments.method.as_deref(),
        &arguments.headers,
    )?;
    let (known, namespace) = of_cluster(arguments)?;
    let mut objects = known;
    for located in files::read(&arguments.filenames, true)? {
        let mut object = located.object;
        crate::analyze::settle(&mut object, &namespace);
        let name = validate::reference(&object);
        // A file stands for what is to be applied over the cluster's object.
        objects.retain(|known| !crate::analyze::same(&validate::reference(known), &name));
        objects.push(object);
    }
    // A cluster has done this itself.
    if !arguments.filenames.is_empty() {
        controllers::complete(&mut objects);
    }
    let world = world(arguments, &objects)?;
    let (mesh, problems) = mesh::compile(world.snapshot());
    for problem in problems {
        eprintln!("{problem}");
    }
    let simulation = Simulation {
        mesh: &mesh,
        endpoints: world.endpoints(),
        workloads: workload::all(&objects, &world),
        domain: DOMAIN.to_owned(),
        trust_domain: world.snapshot().mesh.trust_domain.clone(),
    };
    let caller = from::find(&arguments.from, &namespace, &objects, &simulation.workloads)?;
    let answer = match caller.is_gateway() {
        true => simulation.enter(caller, &call),
        false => simulation.call(caller, &call),
    };
    Ok(print::text(&answer, arguments.output))
}

fn world(arguments: &Arguments, objects: &[Value]) -> Result<World, String> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let pairs = environment.iter().map(|(name, value)| (&**name, &**value));
    let mut world = World::new(DOMAIN).with_features(Features::read(pairs));
    let config = match &arguments.mesh_config {
        Some(path) => {
            let name = path.display().to_string();
            let text = crate::file::read(&name)?;
            let documents = api::yaml::documents(&text);
            let mut documents = documents.map_err(|error| format!("{name}: {error}"))?;
            Some(documents.pop().unwrap_or_default())
        }
        None => crate::analyze::data_of(objects, "mesh"),
    };
    if let Some(config) = config {
        world.configure(MeshConfig::parse(&config)?);
    }
    if let Some(networks) = crate::analyze::data_of(objects, "meshNetworks") {
        world.connect(MeshNetworks::parse(&networks)?);
    }
    for object in objects {
        match read(object) {
            Ok(Some(item)) => drop(world.put(item)),
            Ok(None) => {}
            Err(problem) => eprintln!("{problem}"),
        }
    }
    Ok(world)
}

/// Objects of the cluster, where it is asked, and the namespace that names without one are of.
#[cfg(feature = "cluster")]
fn of_cluster(arguments: &Arguments) -> Result<(Vec<Value>, String), String> {
    let named = arguments.flags.namespace.clone();
    if !arguments.filenames.is_empty() && !arguments.use_kube {
        return Ok((Vec::new(), named.unwrap_or_else(|| "default".to_owned())));
    }
    arguments.flags.run(super::cluster::objects)
}

#[cfg(not(feature = "cluster"))]
fn of_cluster(arguments: &Arguments) -> Result<(Vec<Value>, String), String> {
    if arguments.use_kube || arguments.filenames.is_empty() {
        return Err("built without access to clusters, expected -f FILE".to_owned());
    }
    let named = arguments.namespace.clone();
    Ok((Vec::new(), named.unwrap_or_else(|| "default".to_owned())))
}

#[cfg(test)]
mod tests;
