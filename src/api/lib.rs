//! What people write, as types: parsed strictly once at the door, so that a mistyped key is a
//! Problem with its path and not silence. Judges no meaning beyond the form.

pub mod duration;
pub mod istio_operator;
pub mod mesh_config;
pub mod networking;
pub mod security;
pub mod snapshot;
pub mod yaml;
