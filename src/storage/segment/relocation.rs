//! A segment whose directory has got another name.

use std::path::Path;

use super::Segment;

impl Segment {
    /// Has its files in `dir` from now on, where somebody has moved them.
    pub(in crate::storage) fn relocate(&mut self, dir: &Path) {
        if let Some(file) = self.file() {
            file.relocate(dir);
        }
        if !self.offset_index.is_in_memory() {
            self.close_indexes();
        }
    }
}
