//! What end-to-end cases share: the cluster, waiting with a deadline, the whole API as a list,
//! and what a person would look at next when a case fails. Asserts nothing about the mesh itself.

pub mod cluster;
pub mod diagnose;
pub mod eventually;
pub mod listing;
pub mod mesh;
