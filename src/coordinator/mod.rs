//! Under construction.
/// Groups.
pub mod group;
