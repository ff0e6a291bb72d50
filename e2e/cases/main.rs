//! End-to-end cases on a real cluster, one file per boundary of the product.

mod certificates;
mod deletion;
mod gateways;
mod healing;
mod install;
mod status;
mod webhooks;
mod xds;
