//! What goes to stdout.

use std::io::Write;

/// Writes to stdout; a reader that went away is not an error, unlike with `print!`, which panics.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}
