//! What AlterConfigs and IncrementalAlterConfigs are asked for, in one form.

/// One resource that a request names, with what it asks for.
pub(super) struct AskedResource {
    /// Kafka's number of the resource's type.
    pub(super) type_id: i8,
    pub(super) name: String,
    pub(super) keys: Vec<AskedKey>,
}

/// One key that a request names.
pub(super) struct AskedKey {
    pub(super) name: String,
    pub(super) value: Option<String>,
    /// The number of the operation, one of [`alter_config_op`](crate::config::alter_config_op); `None` in AlterConfigs, which sets.
    pub(super) operation: Option<i8>,
}
