//! The registered brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::BufMut;

use super::error::{MetadataDecodeError, ReplayError};
use super::fields::{flag, int, length, list, long, option, port, put_option, put_string, string, uuid};
use super::kind::RecordKind;
use crate::ids::{NodeId, Uuid};

/// One address at which a broker is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name, as in `advertised.listeners`.
    pub listener: Arc<str>,
    /// Host name or address.
    pub host: Arc<str>,
    /// Port, never 0.
    pub port: u16,
    /// The security protocol: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: Arc<str>,
}

/// A broker as it last registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerRegistration {
    /// Its node id.
    pub id: NodeId,
    /// The registration's number; grows with each registration of any broker.
    pub epoch: i64,
    /// Names one run of the broker's process.
    pub incarnation: Uuid,
    /// Where it is reached, one per listener.
    pub listeners: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<Arc<str>>,
    /// Whether it is excluded from leadership and placement.
    pub fenced: bool,
    /// Whether it is about to stop and hands its leaderships over: it gets none, nor new replicas, and is not in sync.
    pub in_controlled_shutdown: bool,
    /// The ids of its log directories; none where its registration is from before they were told.
    pub log_dirs: Vec<Uuid>,
}

impl BrokerRegistration {
    /// Whether it may lead, be in sync and get replicas.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Its address on the listener named `listener`.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.listeners.iter().find(|endpoint| &*endpoint.listener == listener)
    }
}

/// A change of the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerRecord {
    /// A broker registered, for the first time or with a new incarnation.
    RegisterBroker(BrokerRegistration),
    /// A broker was fenced or unfenced, or is about to stop.
    BrokerChange {
        /// The broker.
        id: NodeId,
        /// The epoch of the registration that changes.
        epoch: i64,
        /// Whether it is fenced from now on.
        fenced: bool,
        /// Whether it hands its leaderships over from now on.
        in_controlled_shutdown: bool,
    },
    /// A broker is no part of the cluster any more.
    UnregisterBroker {
        /// The broker.
        id: NodeId,
        /// The epoch of the registration that ends.
        epoch: i64,
    },
    /// Broker epochs up to this one have been used, if only by brokers that are no part of the cluster any more.
    UsedBrokerEpoch {
        /// The highest of them.
        epoch: i64,
    },
}

/// The brokers, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Brokers {
    by_id: Arc<BTreeMap<NodeId, BrokerRegistration>>,
    pub(super) last_epoch: i64,
}

impl Brokers {
    pub(super) fn by_id(&self, id: NodeId) -> Option<&BrokerRegistration> {
        self.by_id.get(&id)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &BrokerRegistration> {
        self.by_id.values()
    }

    /// Answers the broker that changed, if one did; after an error nothing has.
    pub(super) fn replay(&mut self, record: &BrokerRecord) -> Result<Option<NodeId>, ReplayError> {
        match record {
            BrokerRecord::RegisterBroker(broker) => {
                Arc::make_mut(&mut self.by_id).insert(broker.id, broker.clone());
                self.last_epoch = self.last_epoch.max(broker.epoch);
                Ok(Some(broker.id))
            }
            BrokerRecord::BrokerChange { id, epoch, fenced, in_controlled_shutdown } => {
                let broker = self.registered(*id, *epoch)?;
                (broker.fenced, broker.in_controlled_shutdown) = (*fenced, *in_controlled_shutdown);
                Ok(Some(*id))
            }
            BrokerRecord::UnregisterBroker { id, epoch } => {
                self.registered(*id, *epoch)?;
                Arc::make_mut(&mut self.by_id).remove(id);
                Ok(Some(*id))
            }
            BrokerRecord::UsedBrokerEpoch { epoch } => {
                self.last_epoch = self.last_epoch.max(*epoch);
                Ok(None)
            }
        }
    }

    fn registered(&mut self, id: NodeId, epoch: i64) -> Result<&mut BrokerRegistration, ReplayError> {
        let broker = Arc::make_mut(&mut self.by_id).get_mut(&id).filter(|broker| broker.epoch == epoch);
        broker.ok_or(ReplayError::UnknownBroker(id, epoch))
    }

    pub(super) fn to_records(&self) -> impl Iterator<Item = BrokerRecord> {
        let Self { by_id, last_epoch: epoch } = self;
        // The registrations tell theirs.
        let is_told = by_id.values().map(|broker| broker.epoch).max().unwrap_or(0) == *epoch;
        let used = (!is_told).then_some(BrokerRecord::UsedBrokerEpoch { epoch: *epoch });
        used.into_iter().chain(by_id.values().cloned().map(BrokerRecord::RegisterBroker))
    }

    /// The brokers that are not what they were in `before`, or were not there, or are not any more.
    pub(super) fn changed_since(&self, before: &Self) -> BTreeSet<NodeId> {
        let ids = self.by_id.keys().chain(before.by_id.keys()).copied();
        ids.filter(|id| self.by_id(*id) != before.by_id(*id)).collect()
    }
}

impl BrokerRecord {
    pub(super) fn kind(&self) -> RecordKind {
        match self {
            Self::RegisterBroker(_) => RecordKind::RegisterBroker,
            Self::BrokerChange { .. } => RecordKind::BrokerChange,
            Self::UnregisterBroker { .. } => RecordKind::UnregisterBroker,
            Self::UsedBrokerEpoch { .. } => RecordKind::UsedBrokerEpoch,
        }
    }

    /// The version of the encoding: 1 where there is what version 0 cannot say.
    pub(super) fn version(&self) -> u8 {
        match self {
            Self::RegisterBroker(broker) => registration_version(broker),
            Self::BrokerChange { in_controlled_shutdown, .. } => u8::from(*in_controlled_shutdown),
            Self::UnregisterBroker { .. } | Self::UsedBrokerEpoch { .. } => 0,
        }
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::RegisterBroker(broker) => put_registration(broker, buffer),
            Self::BrokerChange { id, epoch, fenced, in_controlled_shutdown } => {
                buffer.put_i32(*id);
                buffer.put_i64(*epoch);
                buffer.put_u8(u8::from(*fenced));
                if self.version() > 0 {
                    buffer.put_u8(u8::from(*in_controlled_shutdown));
                }
            }
            Self::UnregisterBroker { id, epoch } => {
                buffer.put_i32(*id);
                buffer.put_i64(*epoch);
            }
            Self::UsedBrokerEpoch { epoch } => buffer.put_i64(*epoch),
        }
    }

    pub(super) fn decode_register_broker(version: u8, bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::RegisterBroker(BrokerRegistration {
            id: int(bytes)?,
            epoch: long(bytes)?,
            incarnation: uuid(bytes)?,
            listeners: list(bytes, endpoint)?,
            rack: option(bytes, |bytes| string(bytes).map(Arc::from))?,
            fenced: flag(bytes)?,
            in_controlled_shutdown: version > 0 && flag(bytes)?,
            log_dirs: if version > 0 { list(bytes, uuid)? } else { Vec::new() },
        }))
    }

    pub(super) fn decode_unregister_broker(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::UnregisterBroker { id: int(bytes)?, epoch: long(bytes)? })
    }

    pub(super) fn decode_broker_change(version: u8, bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::BrokerChange {
            id: int(bytes)?,
            epoch: long(bytes)?,
            fenced: flag(bytes)?,
            in_controlled_shutdown: version > 0 && flag(bytes)?,
        })
    }

    pub(super) fn decode_used_broker_epoch(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        Ok(Self::UsedBrokerEpoch { epoch: long(bytes)? })
    }
}

fn registration_version(broker: &BrokerRegistration) -> u8 {
    u8::from(broker.in_controlled_shutdown || !broker.log_dirs.is_empty())
}

fn put_registration(broker: &BrokerRegistration, buffer: &mut Vec<u8>) {
    let BrokerRegistration { id, epoch, incarnation, listeners, rack, fenced, in_controlled_shutdown, log_dirs } =
        broker;
    buffer.put_i32(*id);
    buffer.put_i64(*epoch);
    buffer.put_slice(incarnation.as_bytes());
    buffer.put_u32(length(listeners.len()));
    for endpoint in listeners {
        put_string(&endpoint.listener, buffer);
        put_string(&endpoint.host, buffer);
        buffer.put_u16(endpoint.port);
        put_string(&endpoint.protocol, buffer);
    }
    put_option(rack.as_ref(), buffer, |rack, buffer| put_string(rack, buffer));
    buffer.put_u8(u8::from(*fenced));
    if registration_version(broker) > 0 {
        buffer.put_u8(u8::from(*in_controlled_shutdown));
        buffer.put_u32(length(log_dirs.len()));
        for directory in log_dirs {
            buffer.put_slice(directory.as_bytes());
        }
    }
}

fn endpoint(bytes: &mut &[u8]) -> Result<Endpoint, MetadataDecodeError> {
    Ok(Endpoint {
        listener: string(bytes)?.into(),
        host: string(bytes)?.into(),
        port: port(bytes)?,
        protocol: string(bytes)?.into(),
    })
}
