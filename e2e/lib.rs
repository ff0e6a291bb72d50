//! What end-to-end cases share: the cluster, the mesh under test and whose turn it is, namespaces and
//! workloads of a case, requests and what became of them, waiting with a deadline, and what a person
//! would look at next when a case fails. Asserts nothing about the mesh itself.

pub mod argocd;
pub mod audit;
pub mod cluster;
pub mod configuration;
pub mod contents;
pub mod dashboards;
pub mod diagnose;
pub mod eventually;
pub mod exec;
pub mod gate;
pub mod http;
pub mod installation;
pub mod intercept;
pub mod inventory;
pub mod istioctl;
pub mod listing;
pub mod load;
pub mod local_operator;
pub mod mesh;
pub mod namespace;
pub mod node;
pub mod operator;
pub mod sidecar;
pub mod statuses;
pub mod tls;
pub mod token;
pub mod workload;
