//! What the fuzz targets share.

pub mod allocation;
pub mod files;
pub mod log;
pub mod names;
pub mod quorum;
