//! What all handlers share.

/// One broker: placeholder until its parts exist.
#[derive(Debug)]
pub struct Broker {}
