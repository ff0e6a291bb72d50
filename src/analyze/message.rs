//! What analysis says: codes and levels are upstream's, so that scripts that know them go on working; the words
//! are our own.

use base::ObjectRef;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// It works, but probably not as meant.
    Warning,
    /// Something does not work.
    Error,
}

impl Level {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Info => "Info",
            Level::Warning => "Warning",
            Level::Error => "Error",
        }
    }

    /// Reads a level in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Level::Info, Level::Warning, Level::Error];
        all.into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text))
    }
}

/// A kind of message: its code and level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `IST` and four digits.
    pub code: &'static str,
    /// Its level.
    pub level: Level,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $level:ident;)+) => {
        $($(#[$doc])* pub const $name: Code = Code { code: $code, level: Level::$level };)+
    };
}

codes! {
    /// A field or kind that will go, or has gone.
    DEPRECATED = "IST0002", Warning;
    /// Something is named that does not exist.
    NOT_FOUND = "IST0101", Error;
    /// A namespace says nothing about injection.
    NAMESPACE_NOT_INJECTED = "IST0102", Info;
    /// A pod of an injected namespace has no proxy.
    POD_WITHOUT_PROXY = "IST0103", Warning;
    /// An object breaks the rules of its kind.
    INVALID = "IST0106", Error;
    /// An annotation on a kind where it means nothing.
    MISPLACED_ANNOTATION = "IST0107", Warning;
    /// An annotation that nobody knows.
    UNKNOWN_ANNOTATION = "IST0108", Warning;
    /// Two VirtualServices for one host in the mesh.
    CONFLICTING_HOSTS = "IST0109", Error;
    /// Two Sidecars for one pod.
    CONFLICTING_SIDECARS = "IST0110", Error;
    /// Two Sidecars for all of a namespace.
    SIDECARS_WITHOUT_SELECTOR = "IST0111", Error;
    /// A destination of several ports without one chosen.
    PORT_REQUIRED = "IST0112", Error;
    /// Services give one port several protocols.
    SEVERAL_PROTOCOLS = "IST0116", Warning;
    /// A port's name says no protocol.
    PORT_NAME = "IST0118", Info;
    /// Contradicting labels for injection.
    SEVERAL_INJECTION_LABELS = "IST0123", Warning;
    /// An annotation's value.
    INVALID_ANNOTATION = "IST0125", Warning;
    /// A network of a registry that is not there.
    UNKNOWN_REGISTRY = "IST0126", Error;
    /// A policy for no workload.
    NO_WORKLOADS = "IST0127", Warning;
    /// TLS without checking the server.
    UNVERIFIED_SERVER = "IST0128", Warning;
    /// The same for one port.
    UNVERIFIED_SERVER_OF_PORT = "IST0129", Warning;
    /// A rule that is never reached.
    UNREACHABLE_RULE = "IST0130", Warning;
    /// A match that an earlier one covers.
    INEFFECTIVE_MATCH = "IST0131", Info;
    /// A host that the Gateway does not serve.
    HOST_NOT_IN_GATEWAY = "IST0132", Warning;
    /// An object that is probably not as meant.
    QUESTIONABLE = "IST0133", Warning;
    /// TCP ports that only an address tells apart.
    ADDRESSES_REQUIRED = "IST0134", Warning;
    /// An annotation that will go.
    DEPRECATED_ANNOTATION = "IST0135", Info;
    /// Services give one target port several ports.
    CONFLICTING_PORTS = "IST0137", Warning;
    /// One certificate in two Gateways.
    DUPLICATE_CERTIFICATE = "IST0138", Warning;
    /// Webhooks that overlap or lead nowhere.
    INVALID_WEBHOOK = "IST0139", Error;
    /// Subsets of the mesh do not apply at a gateway.
    INGRESS_NOT_AFFECTED = "IST0140", Warning;
    /// A workload runs as the proxy's user.
    PROXY_USER = "IST0144", Warning;
    /// Two Gateways serve one host and port.
    CONFLICTING_GATEWAYS = "IST0145", Error;
    /// `image: auto` in a workload that is not injected.
    AUTO_IMAGE_OF_DEPLOYMENT = "IST0146", Warning;
    /// The same in a pod.
    AUTO_IMAGE_OF_POD = "IST0147", Error;
    /// Injected without having asked.
    INJECTED_BY_DEFAULT = "IST0148", Info;
    /// Routing by claims that nothing checks.
    CLAIMS_WITHOUT_AUTHENTICATION = "IST0149", Error;
    /// A port's name of an ExternalName service.
    EXTERNAL_NAME_PORT = "IST0150", Warning;
    /// A patch whose place depends on the order of EnvoyFilters.
    RELATIVE_OPERATION = "IST0151", Warning;
    /// REPLACE where it does nothing.
    REPLACE_OPERATION = "IST0152", Error;
    /// ADD where it does nothing.
    ADD_OPERATION = "IST0153", Error;
    /// REMOVE where it does nothing.
    REMOVE_OPERATION = "IST0154", Error;
    /// Like RELATIVE_OPERATION, for some proxies only.
    RELATIVE_OPERATION_OF_VERSION = "IST0155", Warning;
    /// Access logging to nowhere.
    TELEMETRY_WITHOUT_PROVIDER = "IST0157", Warning;
    /// Proxies of another version than the injector's.
    PROXY_IMAGE = "IST0158", Warning;
    /// Two Telemetries for one pod.
    CONFLICTING_TELEMETRIES = "IST0159", Error;
    /// Two Telemetries for all of a namespace.
    TELEMETRIES_WITHOUT_SELECTOR = "IST0160", Error;
    /// A Secret that is no certificate.
    INVALID_CREDENTIAL = "IST0161", Error;
    /// A Gateway's port that its Service lacks.
    PORT_NOT_ON_SERVICE = "IST0162", Warning;
    /// A webhook's URL.
    EXTERNAL_CONTROL_PLANE = "IST0163", Warning;
    /// The same, by address.
    EXTERNAL_CONTROL_PLANE_ADDRESS = "IST0164", Info;
    /// A Gateway that the control plane made for itself.
    INTERNAL_GATEWAY = "IST0165", Warning;
    /// A selector where a targetRef is needed.
    INEFFECTIVE_SELECTOR = "IST0166", Warning;
    /// A policy that does nothing.
    INEFFECTIVE_POLICY = "IST0167", Warning;
    /// A status says that something is wrong.
    NEGATIVE_CONDITION = "IST0171", Warning;
    /// A subset without pods.
    EMPTY_SUBSET = "IST0173", Error;
    /// A DestinationRule for a host that is not there.
    UNKNOWN_HOST = "IST0174", Warning;
    /// Keys may be fetched from everywhere.
    UNRESTRICTED_JWKS = "IST0175", Warning;
    /// Gateway API older than supported.
    GATEWAY_API_VERSION = "IST0176", Warning;
    /// ServiceEntries give one port several protocols.
    CONFLICTING_PROTOCOLS = "IST0177", Warning;
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What kind it is.
    pub code: Code,
    /// The object it is about.
    pub subject: ObjectRef,
    /// What is wrong; lower case, no full stop.
    pub text: String,
}

impl Message {
    /// The object as upstream prints it: `VirtualService shop/front`.
    pub fn origin(&self) -> String {
        let (kind, name) = (&self.subject.kind, &self.subject.name);
        match self.subject.namespace.as_deref() {
            None | Some("") => format!("{kind} {name}"),
            Some(namespace) => format!("{kind} {namespace}/{name}"),
        }
    }

    /// Where upstream explains the code.
    pub fn documentation(&self) -> String {
        let code = self.code.code.to_ascii_lowercase();
        format!("https://istio.io/latest/docs/reference/config/analysis/{code}/")
    }
}
