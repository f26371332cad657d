//! What a caller says when it begins a transaction.

use tessera_storage::{Durability, Origin};

/// Which commits of others a transaction sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// Every statement sees what was committed when it began; a row that changed while waiting
    /// for its lock is looked at again.
    #[default]
    ReadCommitted,
    /// All statements see what was committed when the first one began; writing a row that was
    /// changed since then fails with 40001 (snapshot isolation, first updater wins).
    RepeatableRead,
    /// Like `RepeatableRead`; and a transaction that writes commits only if everything it read is
    /// still so. The result is that of running the serializable transactions one after another,
    /// in the order of their commits.
    Serializable,
}

impl Isolation {
    /// Whether all statements read one snapshot, so that a row which was changed since then
    /// cannot be written.
    pub fn keeps_snapshot(self) -> bool {
        match self {
            Isolation::ReadCommitted => false,
            Isolation::RepeatableRead | Isolation::Serializable => true,
        }
    }

    /// The words of `SHOW transaction_isolation`.
    pub fn as_str(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        }
    }
}

/// Properties of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionOptions {
    /// Which commits of others it sees.
    pub isolation: Isolation,
    /// Writes are refused with 25006.
    pub read_only: bool,
    /// Ask for a snapshot that no conflict can end. Every snapshot of this store is one, so
    /// nothing is waited for; it is kept to be shown.
    pub deferrable: bool,
    /// Whether commit waits for the disk.
    pub durability: Durability,
    /// Bytes of own writes kept in memory; more go to runs of the store.
    /// `None` means the default of [`TransactionsOptions`].
    pub write_buffer_bytes_max: Option<usize>,
    /// Who writes, for change feeds.
    pub origin: Origin,
}

impl Default for TransactionOptions {
    fn default() -> Self {
        TransactionOptions {
            isolation: Isolation::ReadCommitted,
            read_only: false,
            deferrable: false,
            durability: Durability::Durable,
            write_buffer_bytes_max: None,
            origin: Origin::Client,
        }
    }
}

/// Limits of all transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionsOptions {
    /// Bytes of own writes that a transaction keeps in memory unless it says otherwise.
    pub write_buffer_bytes_max: usize,
    /// Savepoints of one transaction.
    pub savepoints_max: usize,
    /// Keys and ranges that a serializable transaction remembers to have read. Beyond, they grow
    /// together, so that it may be refused because of a change that it did not read.
    pub reads_max: usize,
}

impl Default for TransactionsOptions {
    fn default() -> Self {
        TransactionsOptions {
            write_buffer_bytes_max: 64 << 20,
            savepoints_max: 10_000,
            reads_max: 16_384,
        }
    }
}
