//! The words that every room shares: how objects are named, what a problem is,
//! which labels and names the mesh uses. No behaviour beyond formatting.

pub mod condition;
pub mod hash;
pub mod identity;
pub mod labels;
pub mod names;
mod object_ref;
mod problem;

pub use condition::Condition;
pub use identity::SpiffeId;
pub use object_ref::ObjectRef;
pub use problem::{Problem, Severity};
