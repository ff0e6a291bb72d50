//! `kube-inject`: sidecars in the pods of files, without a cluster.

use clap::{ArgAction, Args};
use inject::{Context, MeshConfig, Settings};
use serde_json::json;

use crate::file;

/// Arguments of `kube-inject`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// File with the objects to inject, - for standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    filename: String,
    /// File with the values that templates read (key `values` of ConfigMap istio-sidecar-injector)
    #[arg(long = "valuesFile", value_name = "FILE")]
    values: Option<String>,
    /// File with the mesh configuration (key `mesh` of ConfigMap istio)
    #[arg(long = "meshConfigFile", value_name = "FILE")]
    mesh: Option<String>,
    /// File with templates and policy (key `config` of ConfigMap istio-sidecar-injector)
    #[arg(long = "injectConfigFile", value_name = "FILE")]
    config: Option<String>,
    /// Revision of the control plane
    #[arg(long, short, default_value = "")]
    revision: String,
    /// Whether the nodes run sidecars as init containers that stay, as Kubernetes does from 1.33 on
    #[arg(long, value_name = "true|false", default_value_t = true, action = ArgAction::Set)]
    native_sidecars: bool,
    /// Policy that proxies obey, for example fips-140-3
    #[arg(
        long,
        env = "COMPLIANCE_POLICY",
        default_value = "",
        hide_env_values = true
    )]
    compliance_policy: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let optional = |name: &Option<String>| name.as_deref().map_or(Ok(String::new()), file::read);
    let values = match &arguments.values {
        Some(name) => file::read(name)?,
        None => default_values(),
    };
    let settings = Settings::parse(&optional(&arguments.config)?, &values)
        .map_err(|error| error.to_string())?;
    let mesh = MeshConfig::parse(&optional(&arguments.mesh)?).map_err(|error| error.to_string())?;
    let context = Context {
        settings: &settings,
        mesh: &mesh,
        native_sidecars: arguments.native_sidecars,
        revision: &arguments.revision,
        compliance_policy: &arguments.compliance_policy,
    };
    let text = file::read(&arguments.filename)?;
    injected(&arguments.filename, &text, &context)
}

fn injected(name: &str, text: &str, context: &Context<'_>) -> Result<String, String> {
    let documents = api::yaml::documents(text).map_err(|error| format!("{name}: {error}"))?;
    let mut out = String::new();
    for object in documents {
        let injected = inject::inject_object(&object, context, &mut |reason| eprintln!("{reason}"));
        out += &api::yaml::print(&injected.map_err(|error| format!("{name}: {error}"))?);
        out += "---\n";
    }
    Ok(out)
}

/// What the default installation would have said.
fn default_values() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let cr = json!({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "metadata": {}, "spec": {}});
    let seen = install::Observed {
        hub: install::DEFAULT_HUB.to_owned(),
        tag: version.to_owned(),
        version: version.to_owned(),
        kubernetes: None,
        host: None,
    };
    let parsed = api::istio_operator::IstioOperator::parse(&cr).expect("an empty spec parses");
    let install = install::resolve(&parsed, &seen).expect("the default profile resolves");
    let manifest = install::build(&install);
    let found = manifest
        .objects()
        .find(|object| object.reference.name == "istio-sidecar-injector");
    let values = found.and_then(|object| object.body.pointer("/data/values")?.as_str());
    values
        .expect("the default profile installs the injector")
        .to_owned()
}
