//! Roles: compositions of services. Every spawn, channel and variable of the environment is here.

mod control_plane;
pub mod discovery;
pub mod operator;
mod services;
