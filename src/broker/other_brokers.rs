//! The way to other brokers, by the listener that brokers have for each other.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use kafka_protocol::protocol::Request;

use super::Broker;
use crate::ids::NodeId;
use crate::metadata::MetadataImage;
use crate::network::node_connections::NodeAddress;
use crate::protocol::ErrorCode;

/// How often it is looked whether a broker that has not answered is still there. One that was frozen, or whose machine is
/// gone, closes no connection.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

impl Broker {
    /// Puts one request, which `request` makes for the newest version that both speak, to another broker. An answer is
    /// not awaited any more once the controller has fenced that broker.
    ///
    /// Errors: [`ErrorCode::NetworkException`], after which it may have been done or not; and
    /// [`ErrorCode::BrokerNotAvailable`], where there is no such broker now.
    pub async fn call_broker<R: Request>(
        &self,
        id: NodeId,
        request: impl FnOnce(i16) -> R + Send,
    ) -> Result<R::Response, ErrorCode> {
        let (address, epoch) = self.alive_broker(&self.image(), id).ok_or(ErrorCode::BrokerNotAvailable)?;
        let mut answer = pin!(self.others.call(&address, request).fuse());
        loop {
            match self.clock.timeout(LOOK_INTERVAL, &mut answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    tracing::debug!(broker = id, %error, api = R::KEY, "a broker has not answered another one");
                    return Err(ErrorCode::NetworkException);
                }
                Err(_) => {
                    let is_there = |(now, epoch_now)| now == address && epoch_now == epoch;
                    if !self.alive_broker(&self.image(), id).is_some_and(is_there) {
                        return Err(ErrorCode::NetworkException);
                    }
                }
            }
        }
    }

    /// Where a broker is reached by others, and the epoch of its registration; unless it is fenced.
    fn alive_broker(&self, image: &MetadataImage, id: NodeId) -> Option<(NodeAddress, i64)> {
        let broker = image.broker(id).filter(|broker| !broker.fenced)?;
        let endpoint = broker.endpoint(&self.config.load().inter_broker_listener)?;
        Some((NodeAddress { id, host: endpoint.host.clone(), port: endpoint.port }, broker.epoch))
    }
}
