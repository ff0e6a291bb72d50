//! Roles: compositions of services. Every spawn, channel and variable of the environment is here.

pub mod discovery;
pub mod operator;
