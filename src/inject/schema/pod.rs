//! Pods, containers and their probes (`core/v1`), fields in the order in which the API declares them.

use super::volume::{VOLUME, VOLUME_MOUNT};
use super::{Kind, Shape};

/// A pod.
pub static POD: Shape = Shape {
    fields: &[
        ("kind", Kind::Text),
        ("apiVersion", Kind::Text),
        ("metadata", Kind::Object(&META)),
        ("spec", Kind::Object(&SPEC)),
        ("status", Kind::Any),
    ],
};

static META: Shape = Shape {
    fields: &[
        ("name", Kind::Text),
        ("generateName", Kind::Text),
        ("namespace", Kind::Text),
        ("selfLink", Kind::Text),
        ("uid", Kind::Text),
        ("resourceVersion", Kind::Text),
        ("generation", Kind::Number),
        ("creationTimestamp", Kind::Any),
        ("deletionTimestamp", Kind::Any),
        ("deletionGracePeriodSeconds", Kind::Any),
        ("labels", Kind::Map),
        ("annotations", Kind::Map),
        ("ownerReferences", Kind::List(&OWNER, Some("uid"))),
        ("finalizers", Kind::Set),
        ("managedFields", Kind::Any),
    ],
};

static OWNER: Shape = Shape {
    fields: &[
        ("apiVersion", Kind::Text),
        ("kind", Kind::Text),
        ("name", Kind::Text),
        ("uid", Kind::Text),
        ("controller", Kind::Any),
        ("blockOwnerDeletion", Kind::Any),
    ],
};

static SPEC: Shape = Shape {
    fields: &[
        ("volumes", Kind::List(&VOLUME, Some("name"))),
        ("initContainers", Kind::List(&CONTAINER, Some("name"))),
        ("containers", Kind::List(&CONTAINER, Some("name"))),
        ("ephemeralContainers", Kind::List(&CONTAINER, Some("name"))),
        ("restartPolicy", Kind::Text),
        ("terminationGracePeriodSeconds", Kind::Any),
        ("activeDeadlineSeconds", Kind::Any),
        ("dnsPolicy", Kind::Text),
        ("nodeSelector", Kind::Map),
        ("serviceAccountName", Kind::Text),
        ("serviceAccount", Kind::Text),
        ("automountServiceAccountToken", Kind::Any),
        ("nodeName", Kind::Text),
        ("hostNetwork", Kind::Flag),
        ("hostPID", Kind::Flag),
        ("hostIPC", Kind::Flag),
        ("shareProcessNamespace", Kind::Any),
        ("securityContext", Kind::Any),
        ("imagePullSecrets", Kind::List(&NAMED, Some("name"))),
        ("hostname", Kind::Text),
        ("subdomain", Kind::Text),
        ("affinity", Kind::Any),
        ("schedulerName", Kind::Text),
        ("tolerations", Kind::List(&OPEN, None)),
        ("hostAliases", Kind::List(&HOST_ALIAS, Some("ip"))),
        ("priorityClassName", Kind::Text),
        ("priority", Kind::Any),
        ("dnsConfig", Kind::Optional(&DNS_CONFIG)),
        ("readinessGates", Kind::List(&OPEN, None)),
        ("runtimeClassName", Kind::Any),
        ("enableServiceLinks", Kind::Any),
        ("preemptionPolicy", Kind::Any),
        ("overhead", Kind::Quantities),
        (
            "topologySpreadConstraints",
            Kind::List(&OPEN, Some("topologyKey")),
        ),
        ("setHostnameAsFQDN", Kind::Any),
        ("os", Kind::Any),
        ("hostUsers", Kind::Any),
        ("schedulingGates", Kind::List(&NAMED, Some("name"))),
        ("resourceClaims", Kind::List(&NAMED, Some("name"))),
        ("resources", Kind::Optional(&RESOURCES)),
    ],
};

/// Objects of which nothing needs to be known but how their list merges.
static OPEN: Shape = Shape { fields: &[] };

static NAMED: Shape = Shape {
    fields: &[("name", Kind::Text)],
};

static HOST_ALIAS: Shape = Shape {
    fields: &[("ip", Kind::Text), ("hostnames", Kind::Texts)],
};

static DNS_CONFIG: Shape = Shape {
    fields: &[
        ("nameservers", Kind::Texts),
        ("searches", Kind::Texts),
        ("options", Kind::List(&OPEN, None)),
    ],
};

/// A container, of any of the three lists.
pub static CONTAINER: Shape = Shape {
    fields: &[
        ("name", Kind::Text),
        ("image", Kind::Text),
        ("command", Kind::Texts),
        ("args", Kind::Texts),
        ("workingDir", Kind::Text),
        ("ports", Kind::List(&PORT, Some("containerPort"))),
        ("envFrom", Kind::List(&OPEN, None)),
        ("env", Kind::List(&ENVIRONMENT, Some("name"))),
        ("resources", Kind::Object(&RESOURCES)),
        ("resizePolicy", Kind::List(&OPEN, None)),
        ("restartPolicy", Kind::Any),
        ("restartPolicyRules", Kind::List(&OPEN, None)),
        ("volumeMounts", Kind::List(&VOLUME_MOUNT, Some("mountPath"))),
        ("volumeDevices", Kind::List(&OPEN, Some("devicePath"))),
        ("livenessProbe", Kind::Optional(&PROBE)),
        ("readinessProbe", Kind::Optional(&PROBE)),
        ("startupProbe", Kind::Optional(&PROBE)),
        ("lifecycle", Kind::Optional(&LIFECYCLE)),
        ("terminationMessagePath", Kind::Text),
        ("terminationMessagePolicy", Kind::Text),
        ("imagePullPolicy", Kind::Text),
        ("securityContext", Kind::Optional(&SECURITY)),
        ("stdin", Kind::Flag),
        ("stdinOnce", Kind::Flag),
        ("tty", Kind::Flag),
    ],
};

static PORT: Shape = Shape {
    fields: &[
        ("name", Kind::Text),
        ("hostPort", Kind::Number),
        ("containerPort", Kind::Number),
        ("protocol", Kind::Text),
        ("hostIP", Kind::Text),
    ],
};

static ENVIRONMENT: Shape = Shape {
    fields: &[
        ("name", Kind::Text),
        ("value", Kind::Text),
        ("valueFrom", Kind::Optional(&VALUE_FROM)),
    ],
};

static VALUE_FROM: Shape = Shape {
    fields: &[
        ("fieldRef", Kind::Optional(&FIELD_REF)),
        ("resourceFieldRef", Kind::Optional(&RESOURCE_FIELD_REF)),
        ("configMapKeyRef", Kind::Any),
        ("secretKeyRef", Kind::Any),
    ],
};

static FIELD_REF: Shape = Shape {
    fields: &[("apiVersion", Kind::Text), ("fieldPath", Kind::Text)],
};

pub(super) static RESOURCE_FIELD_REF: Shape = Shape {
    fields: &[
        ("containerName", Kind::Text),
        ("resource", Kind::Text),
        ("divisor", Kind::Quantity),
    ],
};

static RESOURCES: Shape = Shape {
    fields: &[
        ("limits", Kind::Quantities),
        ("requests", Kind::Quantities),
        ("claims", Kind::List(&NAMED, Some("name"))),
    ],
};

static PROBE: Shape = Shape {
    fields: &[
        ("exec", Kind::Any),
        ("httpGet", Kind::Optional(&HTTP_GET)),
        ("tcpSocket", Kind::Optional(&TCP_SOCKET)),
        ("grpc", Kind::Optional(&GRPC)),
        ("initialDelaySeconds", Kind::Number),
        ("timeoutSeconds", Kind::Number),
        ("periodSeconds", Kind::Number),
        ("successThreshold", Kind::Number),
        ("failureThreshold", Kind::Number),
        ("terminationGracePeriodSeconds", Kind::Any),
    ],
};

static LIFECYCLE: Shape = Shape {
    fields: &[
        ("postStart", Kind::Optional(&HANDLER)),
        ("preStop", Kind::Optional(&HANDLER)),
        ("stopSignal", Kind::Any),
    ],
};

static HANDLER: Shape = Shape {
    fields: &[
        ("exec", Kind::Any),
        ("httpGet", Kind::Optional(&HTTP_GET)),
        ("tcpSocket", Kind::Optional(&TCP_SOCKET)),
        ("sleep", Kind::Any),
    ],
};

static HTTP_GET: Shape = Shape {
    fields: &[
        ("path", Kind::Text),
        ("port", Kind::Any),
        ("host", Kind::Text),
        ("scheme", Kind::Text),
        ("httpHeaders", Kind::List(&HEADER, None)),
    ],
};

static HEADER: Shape = Shape {
    fields: &[("name", Kind::Text), ("value", Kind::Text)],
};

static TCP_SOCKET: Shape = Shape {
    fields: &[("port", Kind::Any), ("host", Kind::Text)],
};

static GRPC: Shape = Shape {
    fields: &[("port", Kind::Number), ("service", Kind::Any)],
};

static SECURITY: Shape = Shape {
    fields: &[
        ("capabilities", Kind::Any),
        ("privileged", Kind::Any),
        ("seLinuxOptions", Kind::Any),
        ("windowsOptions", Kind::Any),
        ("runAsUser", Kind::Any),
        ("runAsGroup", Kind::Any),
        ("runAsNonRoot", Kind::Any),
        ("readOnlyRootFilesystem", Kind::Any),
        ("allowPrivilegeEscalation", Kind::Any),
        ("procMount", Kind::Any),
        ("seccompProfile", Kind::Any),
        ("appArmorProfile", Kind::Any),
    ],
};

/// What a prober remembers of a probe that it stands for.
pub static PROBER: Shape = Shape {
    fields: &[
        ("httpGet", Kind::Optional(&HTTP_GET)),
        ("tcpSocket", Kind::Optional(&TCP_SOCKET)),
        ("grpc", Kind::Optional(&GRPC)),
        ("timeoutSeconds", Kind::Number),
    ],
};
