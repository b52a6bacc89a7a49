//! Who asks, and what they may do.
//!
//! Promises: every decision on an operation comes from one [`Authorizer`], which a broker is started with. It must not
//! know requests or connections: a principal, a host and a resource are all that it judges by.

mod authorizer;
mod principal;
pub mod scram;

pub use authorizer::{AllowEverything, Authorizer, CLUSTER_NAME, Operation, Resource, ResourceType};
pub use principal::Principal;
