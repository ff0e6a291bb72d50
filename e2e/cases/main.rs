//! End-to-end cases on a real cluster, one file per boundary of the product.

mod adoption;
mod authorization;
mod canary;
mod certificates;
mod changes;
mod cli;
mod deletion;
mod drift;
mod egress;
mod endpoints;
mod gateways;
mod hold;
mod injection;
mod install;
mod istiod;
mod mutual_tls;
mod restarts;
mod rotation;
mod status;
mod telemetry;
mod told;
mod traffic;
mod validation;
mod webhooks;
mod writes;
mod xds;
