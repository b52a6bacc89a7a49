//! The controller's questions as Kafka's own requests between nodes: what a broker asks of a controller that is another
//! node, and what that one reads there. Both directions of each stand side by side. Pure.

use std::time::Duration;

use kafka_protocol::protocol::{Request, StrBytes};

use super::Controller;
use crate::protocol::ErrorCode;
use crate::state_machine::Question;

pub mod allocate_producer_ids;
pub mod alter_partition;
pub mod broker_heartbeat;
pub mod broker_registration;
mod create_topics;

/// How long a broker looks for a controller that takes a request, where Kafka bounds it by the client's own time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A question that brokers put to the controller wherever it is.
pub(super) trait WireQuestion: Question<Controller> + Clone + Send + Sync {
    /// Kafka's request for it.
    type Wire: Request<Response: Send> + Send + Sync;

    /// How long it is asked again where nobody is known to lead, or whoever leads cannot be reached.
    const PATIENCE: Duration = PATIENCE;

    /// The request at `version`.
    fn to_wire(&self, version: i16) -> Self::Wire;

    /// The answer in a response.
    ///
    /// Errors: what concerns the whole request; [`ErrorCode::NotController`] has it asked again.
    fn from_wire(response: <Self::Wire as Request>::Response) -> Result<Self::Answer, ErrorCode>;
}

/// The error that `code` stands for, if it is one.
fn error(code: i16) -> Result<(), ErrorCode> {
    ErrorCode::try_from_code(code).map_or(Ok(()), Err)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
