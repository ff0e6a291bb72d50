//! The program beside each Envoy: writes its bootstrap, starts and ends it, passes its
//! configuration stream through to the control plane unread, keeps its certificate, answers for
//! its readiness, and captures the pod's traffic for it.

pub mod admin;
pub mod ads;
pub mod any_certificate;
pub mod app_metrics;
pub mod app_probe;
pub mod arguments;
mod body;
pub mod ca_client;
pub mod capture;
pub mod config;
pub mod control_plane;
pub mod drain;
pub mod envoy;
pub mod file_secret;
mod grpc;
pub mod health;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod node;
pub mod own_certificate;
pub mod proxy;
pub mod readiness;
pub mod renewal;
pub mod request;
pub mod resident;
pub mod sds;
pub mod secret;
pub mod wait;
mod wire;
pub mod workload_cert;
