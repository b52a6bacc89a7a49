//! The state machines, and wrong configurations, told as scripts: each file in `tests/scripts/` gives commands and
//! everything they must lead to.
//!
//! `UPDATE=1 cargo test --test scripts` writes what they do now into the files, for a person to review.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod script;

#[test]
fn configuration() {
    script::run_all("configuration", script::configuration::machine);
}

#[test]
fn controller() {
    script::run_all("controller", script::controller::machine);
}

#[test]
fn group() {
    script::run_all("group", script::group::machine);
}

#[test]
fn transaction() {
    script::run_all("transaction", script::transaction::machine);
}
