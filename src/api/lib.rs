//! What people write, as types: parsed strictly once at the door, so that a mistyped key is a
//! Problem with its path and not silence. Judges no meaning beyond the form.

pub mod cel;
pub mod crds;
pub mod duration;
pub mod features;
pub mod fields;
pub mod finding;
pub mod istio_operator;
pub mod mesh_config;
pub mod mesh_networks;
pub mod networking;
pub mod proxy_config;
pub mod read;
pub mod security;
pub mod snapshot;
pub mod telemetry;
pub mod yaml;
