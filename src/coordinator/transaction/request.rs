//! What a transaction coordinator is asked, what it answers, and what it tells the leaders of partitions.
//!
//! Everything is owned. Versions of the wire do not reach here: a handler says by [`ClientVersion`] what follows from
//! them.

use std::sync::Arc;

use regex::Regex;

use crate::ids::{LeaderEpoch, ProducerIdAndEpoch, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::control_records::TransactionResult;
use crate::protocol::transaction_records::TransactionState;

/// A transactional id.
pub type TransactionalId = Arc<str>;

/// How the client goes about transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientVersion {
    /// One epoch for all transactions of a producer (`EndTxn` before version 5).
    One,
    /// Each transaction has an epoch of its own (KIP-890).
    Two,
}

impl ClientVersion {
    /// The level of the feature `transaction.version` that stands for it in records.
    pub(super) fn level(self) -> i16 {
        match self {
            Self::One => 0,
            Self::Two => 2,
        }
    }
}

/// One question to the machine that holds the transactional id.
#[derive(Debug, Clone)]
pub enum TransactionRequest {
    /// To become the one producer of the id.
    InitProducer(InitProducerRequest),
    /// To add partitions to the transaction, or to see whether they are in it.
    AddPartitions(AddPartitionsRequest),
    /// To add the partition that holds a group's offsets.
    AddOffsets(AddOffsetsRequest),
    /// To commit or abort.
    End(EndTransactionRequest),
    /// What has become of [`WriteMarkers`].
    MarkersWritten(MarkersWritten),
    /// To describe one id.
    Describe(DescribeTransactionRequest),
    /// To list the ids of this machine.
    List(ListTransactions),
}

/// One answer; its variant is that of the request.
#[derive(Debug, Clone)]
pub enum TransactionResponse {
    /// Whom the producer is to be from now on.
    InitProducer(Result<ProducerIdAndEpoch, ProducerRefusal>),
    /// Each partition of the request, in order, and what is wrong with it.
    AddPartitions(Vec<(TopicPartition, Option<ErrorCode>)>),
    /// To adding offsets.
    AddOffsets(Result<(), ErrorCode>),
    /// Whom the producer is to be in its next transaction.
    End(Result<ProducerIdAndEpoch, ProducerRefusal>),
    /// The markers were noted.
    MarkersWritten,
    /// To a description.
    Describe(Result<DescribedTransaction, ErrorCode>),
    /// In the order of their ids.
    List(Vec<ListedTransaction>),
}

/// Why a producer does not get what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerRefusal {
    /// This is the client's answer.
    Error(ErrorCode),
    /// Nothing was decided: the request must come again with a fresh producer id. The machine has none of its own, and
    /// few requests need one.
    NeedsProducerId,
}

impl From<ErrorCode> for ProducerRefusal {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code)
    }
}

/// `InitProducerId` with a transactional id.
#[derive(Debug, Clone)]
pub struct InitProducerRequest {
    /// The id.
    pub transactional_id: TransactionalId,
    /// How long its transactions may take, milliseconds.
    pub timeout_ms: i32,
    /// Who the producer believes to be, if it goes on after an error (KIP-360).
    pub expected: Option<ProducerIdAndEpoch>,
    /// A fresh producer id, if one was asked for by [`ProducerRefusal::NeedsProducerId`].
    pub new_producer_id: Option<i64>,
}

/// Who asks for something within a transaction.
#[derive(Debug, Clone)]
pub struct TransactionalProducer {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// The producer as it believes to be.
    pub producer: ProducerIdAndEpoch,
    /// How it goes about transactions.
    pub version: ClientVersion,
}

/// `AddPartitionsToTxn`, for one transaction.
#[derive(Debug, Clone)]
pub struct AddPartitionsRequest {
    /// Who asks, itself or by the leader of a partition.
    pub producer: TransactionalProducer,
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    /// Whether to add nothing and only say which of them are in the transaction (v4+).
    pub verify_only: bool,
}

/// `AddOffsetsToTxn`.
#[derive(Debug, Clone)]
pub struct AddOffsetsRequest {
    /// Who asks.
    pub producer: TransactionalProducer,
    /// The partition of `__consumer_offsets` that the group belongs to.
    pub offsets_partition: TopicPartition,
}

/// `EndTxn`.
#[derive(Debug, Clone)]
pub struct EndTransactionRequest {
    /// Who asks.
    pub producer: TransactionalProducer,
    /// How it ends.
    pub result: TransactionResult,
    /// A fresh producer id, if one was asked for by [`ProducerRefusal::NeedsProducerId`].
    pub new_producer_id: Option<i64>,
}

/// To the leaders of partitions: the transaction has ended so. It may be told more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteMarkers {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// Names the end of this one transaction within the epoch, for [`MarkersWritten`].
    pub marking: u64,
    /// Whose records, and from which epoch on older ones are fenced.
    pub producer: ProducerIdAndEpoch,
    /// How it ended.
    pub result: TransactionResult,
    /// The leader epoch of the coordinator's partition: leaders refuse markers of older ones.
    pub coordinator_epoch: LeaderEpoch,
    /// Where.
    pub partitions: Vec<TopicPartition>,
}

/// Markers were written, or there is no longer a partition to write them to.
#[derive(Debug, Clone)]
pub struct MarkersWritten {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// That of [`WriteMarkers::marking`].
    pub marking: u64,
    /// That of [`WriteMarkers::coordinator_epoch`].
    pub coordinator_epoch: LeaderEpoch,
    /// Where that is done.
    pub partitions: Vec<TopicPartition>,
}

/// `DescribeTransactions`, for one id.
#[derive(Debug, Clone)]
pub struct DescribeTransactionRequest {
    /// The id.
    pub transactional_id: TransactionalId,
}

/// A transactional id as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedTransaction {
    /// Its producer.
    pub producer: ProducerIdAndEpoch,
    /// Where its transaction stands.
    pub state: TransactionState,
    /// How long one may take, milliseconds.
    pub timeout_ms: i32,
    /// When it began: milliseconds since the Unix epoch, or -1.
    pub start_ms: i64,
    /// The partitions in it; once it is ending, those whose markers are not written.
    pub partitions: Vec<TopicPartition>,
}

/// `ListTransactions`; what is not said lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct ListTransactions {
    /// Of these producer ids.
    pub producer_ids: Vec<i64>,
    /// In one of these states; none at all, where the client knew only states that do not exist.
    pub states: Option<Vec<TransactionState>>,
    /// Begun longer ago than that, milliseconds (v1+).
    pub longer_than_ms: Option<i64>,
    /// Whose id it matches, which must be anchored to match whole ids (v2+).
    pub pattern: Option<Regex>,
}

/// One transactional id of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTransaction {
    /// The id.
    pub transactional_id: TransactionalId,
    /// Its producer id.
    pub producer_id: i64,
    /// Where its transaction stands.
    pub state: TransactionState,
}
