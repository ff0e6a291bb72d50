//! Deployments, pods and Services of the sample application's roles, as cases apply them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The one image of all roles.
const IMAGE: &str = "localhost/ferrosail/bookinfo:0.1.0";
/// The container that runs the role.
pub const CONTAINER: &str = "app";
/// Ports of the role `echo`.
pub const HTTP: u16 = 8080;
pub const TCP: u16 = 9000;

/// Pods that run one role.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Of the Deployment or Pod.
    pub name: String,
    /// Label `app`, and the ServiceAccount.
    pub app: String,
    arguments: Vec<String>,
    replicas: u32,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    serves: bool,
    grace: u32,
}

impl Workload {
    fn new(name: &str, app: &str, arguments: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            app: app.to_owned(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            replicas: 1,
            labels: [("app".to_owned(), app.to_owned())].into(),
            annotations: BTreeMap::new(),
            serves: false,
            grace: 15,
        }
    }

    /// Answers over HTTP and TCP, and names `version`.
    pub fn echo(app: &str, version: &str) -> Self {
        let arguments = ["echo", "--version", version];
        let mut workload = Self::new(&format!("{app}-{version}"), app, &arguments);
        workload.serves = true;
        workload.label("version", version)
    }

    /// Decides about requests that proxies ask about.
    pub fn judge(app: &str) -> Self {
        let port = HTTP.to_string();
        let mut workload = Self::new(app, app, &["judge", "--port", &port]);
        workload.serves = true;
        workload
    }

    /// Runs any role of the sample application's program.
    pub fn role(name: &str, role: &str, arguments: &[&str]) -> Self {
        let mut workload = Self::new(name, name, &[role]);
        let more = arguments.iter().map(|&word| word.to_owned());
        workload.arguments.extend(more);
        workload
    }

    /// Waits; a place to run clients in.
    pub fn client(name: &str) -> Self {
        Self::new(name, name, &["idle"])
    }

    /// Prints the access logs and spans that it is sent.
    pub fn collector(name: &str) -> Self {
        let mut workload = Self::new(name, name, &["collector"]);
        workload.serves = true;
        workload
    }

    /// Asks for `url` once, when it starts.
    pub fn first(name: &str, url: &str) -> Self {
        Self::new(name, name, &["first", "--url", url])
    }

    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// One more argument of the role.
    pub fn argument(mut self, word: &str) -> Self {
        self.arguments.push(word.to_owned());
        self
    }

    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Gets no sidecar, whatever its namespace says.
    pub fn plain(self) -> Self {
        self.label("sidecar.istio.io/inject", "false")
    }

    /// Its sidecar is a container beside the others, as before Kubernetes knew of sidecars.
    pub fn classic(self) -> Self {
        self.annotation("sidecar.istio.io/nativeSidecar", "false")
    }

    /// Whether it answers at ports of its own.
    pub fn serves(&self) -> bool {
        self.serves
    }

    fn template(&self) -> Value {
        let mut container = json!({
            "name": CONTAINER, "image": IMAGE, "imagePullPolicy": "IfNotPresent",
            "args": self.arguments,
        });
        if self.serves {
            container["ports"] = json!([{"containerPort": HTTP}, {"containerPort": TCP}]);
            container["readinessProbe"] =
                json!({"httpGet": {"path": "/health", "port": HTTP}, "periodSeconds": 1});
        }
        json!({
            "metadata": {"labels": self.labels, "annotations": self.annotations},
            "spec": {
                "serviceAccountName": self.app,
                "terminationGracePeriodSeconds": self.grace,
                "containers": [container],
            },
        })
    }

    /// The pods' ServiceAccount.
    pub fn account(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self.app}})
    }

    pub fn deployment(&self) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": self.labels},
                "template": self.template(),
                "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
            },
        })
    }

    pub fn pod(&self) -> Value {
        let mut pod = self.template();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!(self.name);
        pod
    }
}

/// The Service of all versions of an echo.
pub fn service(app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": app},
        "spec": {
            "selector": {"app": app},
            "ports": [{"name": "http", "port": HTTP}, {"name": "tcp", "port": TCP}],
        },
    })
}
