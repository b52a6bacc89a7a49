//! What a transaction coordinator is asked, each with its own answer.

use super::TransactionCoordinator;
use super::request::{
    AddOffsetsRequest, AddPartitionsRequest, DescribeTransactionRequest, DescribedTransaction, EndTransactionRequest,
    InitProducerRequest, ListTransactions, ListedTransaction, MarkersWritten, ProducerRefusal, TransactionRequest,
    TransactionResponse,
};
use crate::ids::{ProducerIdAndEpoch, TopicPartition};
use crate::protocol::ErrorCode;
use crate::state_machine::{Question, questions};

questions! { TransactionCoordinator:
    InitProducerRequest => TransactionRequest::InitProducer,
        TransactionResponse::InitProducer: Result<ProducerIdAndEpoch, ProducerRefusal>;
    AddPartitionsRequest => TransactionRequest::AddPartitions,
        TransactionResponse::AddPartitions: Vec<(TopicPartition, Option<ErrorCode>)>;
    AddOffsetsRequest => TransactionRequest::AddOffsets, TransactionResponse::AddOffsets: Result<(), ErrorCode>;
    EndTransactionRequest => TransactionRequest::End,
        TransactionResponse::End: Result<ProducerIdAndEpoch, ProducerRefusal>;
    DescribeTransactionRequest => TransactionRequest::Describe,
        TransactionResponse::Describe: Result<DescribedTransaction, ErrorCode>;
    ListTransactions => TransactionRequest::List, TransactionResponse::List: Vec<ListedTransaction>;
}

impl Question<TransactionCoordinator> for MarkersWritten {
    type Answer = ();

    fn into_request(self) -> TransactionRequest {
        TransactionRequest::MarkersWritten(self)
    }

    fn answer(response: TransactionResponse) -> Option<()> {
        matches!(response, TransactionResponse::MarkersWritten).then_some(())
    }
}
