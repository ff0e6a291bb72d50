//! Puts a rendered installation into a cluster and tells how far it is: server-side apply,
//! readiness, inventory, pruning. The operator and `ferrosail install` share it. Decides nothing
//! about what is to be installed.

pub mod apply;
pub mod blame;
pub mod change;
mod error;
pub mod gather;
pub mod inventory;
pub mod kind;
mod live;
mod managed;
pub mod plan;
pub mod prune;
pub mod ready;
pub mod record;

pub use change::FieldChange;
pub use error::Error;
pub use inventory::Inventory;
pub use kind::Kind;
pub use live::{Live, State, Workload};
pub use plan::{Action, Plan, PlannedChange};
pub use ready::Readiness;
pub use record::{Record, Written};
