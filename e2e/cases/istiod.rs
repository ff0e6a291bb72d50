//! Cases of a control plane that runs in Pods of its own: where the operator hosts it, nobody can take it away and
//! leave the operator there.

mod apiserver;
mod deletion;
mod gateways;
mod healing;
mod installation;
pub(crate) mod kills;
mod outage;
mod restart;
mod revisions;
