//! The CustomResourceDefinition of IstioOperator. Its schema keeps unknown fields: a strict one
//! would let the API server drop a mistyped key in silence, before anyone could name it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec, CustomResourceDefinitionVersion, CustomResourceSubresourceStatus,
    CustomResourceSubresources, CustomResourceValidation, JSONSchemaProps,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

const GROUP: &str = "install.istio.io";
const PLURAL: &str = "istiooperators";

/// The definition as it is applied; `crds/` holds the same as a file.
pub fn istio_operator_crd() -> Value {
    let definition = CustomResourceDefinition {
        metadata: ObjectMeta {
            name: Some(format!("{PLURAL}.{GROUP}")),
            ..Default::default()
        },
        spec: CustomResourceDefinitionSpec {
            group: GROUP.to_owned(),
            names: CustomResourceDefinitionNames {
                kind: api::istio_operator::KIND.to_owned(),
                list_kind: Some("IstioOperatorList".to_owned()),
                plural: PLURAL.to_owned(),
                singular: Some("istiooperator".to_owned()),
                short_names: Some(vec!["iop".to_owned(), "io".to_owned()]),
                ..Default::default()
            },
            scope: "Namespaced".to_owned(),
            versions: vec![version()],
            ..Default::default()
        },
        status: None,
    };
    let mut value = serde_json::to_value(definition).expect("Kubernetes types are plain data");
    if let Value::Object(map) = &mut value {
        map.shift_remove("status");
    }
    value
}

fn version() -> CustomResourceDefinitionVersion {
    CustomResourceDefinitionVersion {
        name: "v1alpha1".to_owned(),
        served: true,
        storage: true,
        additional_printer_columns: Some(vec![
            column(
                "Revision",
                ".spec.revision",
                "string",
                "The control plane's revision",
            ),
            column(
                "Status",
                ".status.status",
                "string",
                "How the installation stands",
            ),
            column(
                "Age",
                ".metadata.creationTimestamp",
                "date",
                "When the resource was created",
            ),
        ]),
        subresources: Some(CustomResourceSubresources {
            status: Some(CustomResourceSubresourceStatus(Value::Object(
                Default::default(),
            ))),
            ..Default::default()
        }),
        schema: Some(CustomResourceValidation {
            open_api_v3_schema: Some(JSONSchemaProps {
                type_: Some("object".to_owned()),
                properties: Some(
                    [("spec", open()), ("status", open())]
                        .map(|(name, schema)| (name.to_owned(), schema))
                        .into(),
                ),
                ..Default::default()
            }),
        }),
        ..Default::default()
    }
}

fn column(
    name: &str,
    path: &str,
    type_: &str,
    description: &str,
) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: name.to_owned(),
        json_path: path.to_owned(),
        type_: type_.to_owned(),
        description: Some(description.to_owned()),
        ..Default::default()
    }
}

fn open() -> JSONSchemaProps {
    JSONSchemaProps {
        type_: Some("object".to_owned()),
        x_kubernetes_preserve_unknown_fields: Some(true),
        ..Default::default()
    }
}
