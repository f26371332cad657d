//! Values of sequences. They are not transactional: what was given is never given again, also
//! after a rollback; a crash skips what was reserved and not given.
//!
//! A block of values is reserved on disk by a small commit of its own, then given from memory.
//! The reservation stands in the log before every commit that can use one of its values, so it
//! need not wait for the disk by itself.
//!
//! RESTART is transactional and begins a new *generation*. Positions are stored per generation,
//! so values given before the commit (in the same transaction, say) and a rollback do not get
//! into each other's way.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tessera_storage::{Durability, KeySpace};
use tessera_transactions::Transaction;
use tessera_types::{RelationId, Report, codes};

use crate::catalog::Catalog;
use crate::definition::{SequenceDef, SequenceOptions};
use crate::error::CatalogError;
use crate::record;
use crate::refusal;

/// Values of the first block that is reserved; each following one is twice as large.
const RESERVED_MIN: i64 = 32;
/// Values of the largest block.
const RESERVED_MAX: i64 = 4_096;

/// Sequences used since the database was opened.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    used: Mutex<HashMap<RelationId, Arc<Sequence>, RandomState>>,
}

impl Sequences {
    /// Forgets what is in memory of a dropped sequence.
    pub(crate) fn forget(&self, id: RelationId) {
        self.used.lock().remove(&id);
    }
}

/// One sequence in memory.
#[derive(Debug, Default)]
struct Sequence {
    state: Mutex<Option<InMemory>>,
    /// Held while values are reserved.
    reserving: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct InMemory {
    generation: u64,
    position: Position,
    /// How many values after `position` are reserved on disk.
    reserved: i64,
    /// Size of the next block.
    block: i64,
}

/// What RESTART stores: which generation counts, and where it began.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Generation {
    /// Id of the transaction that did the restart; 0 for none.
    id: u64,
    start: Position,
}

/// Where a sequence stands, as PostgreSQL shows it and as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The last value given, or the first one to give.
    pub last_value: i64,
    /// Whether `last_value` was given.
    pub is_called: bool,
}

impl Position {
    /// The value after this one; `None` at the end of a sequence that does not cycle.
    fn next(self, options: &SequenceOptions) -> Option<i64> {
        if !self.is_called {
            return Some(self.last_value);
        }
        match self.last_value.checked_add(options.increment) {
            Some(next) if options.min <= next && next <= options.max => Some(next),
            _ if options.cycle => Some(if options.increment > 0 {
                options.min
            } else {
                options.max
            }),
            _ => None,
        }
    }

    /// Where the sequence stands after giving `count` values, and how many that were.
    fn after(self, options: &SequenceOptions, count: i64) -> (Position, i64) {
        let mut position = self;
        for given in 0..count {
            match position.next(options) {
                Some(value) => {
                    position = Position {
                        last_value: value,
                        is_called: true,
                    }
                }
                None => return (position, given),
            }
        }
        (position, count)
    }
}

impl Catalog {
    /// `nextval`: the next value, never the same twice (unless the sequence cycles).
    pub async fn next_value(&self, sequence: &SequenceDef) -> Result<i64, CatalogError> {
        loop {
            if let Some(value) = self.try_next_value(sequence)? {
                return Ok(value);
            }
            self.reserve(sequence).await?;
        }
    }

    /// `nextval` without waiting: `None` means that values must be reserved first.
    pub fn try_next_value(&self, sequence: &SequenceDef) -> Result<Option<i64>, CatalogError> {
        let used = self.sequence(sequence.id);
        let mut state = used.state.lock();
        let Some(state) = state.as_mut().filter(|state| state.reserved > 0) else {
            return Ok(None);
        };
        let options = &sequence.options;
        let Some(value) = state.position.next(options) else {
            return Err(exhausted(sequence));
        };
        state.position = Position {
            last_value: value,
            is_called: true,
        };
        state.reserved -= 1;
        Ok(Some(value))
    }

    /// Where the sequence stands: `SELECT last_value, is_called FROM sequence`.
    pub async fn sequence_position(
        &self,
        sequence: &SequenceDef,
    ) -> Result<Position, CatalogError> {
        let used = self.sequence(sequence.id);
        if let Some(state) = *used.state.lock() {
            return Ok(state.position);
        }
        Ok(self.read_state(sequence).await?.position)
    }

    /// `setval`: not transactional, like `nextval`.
    pub async fn set_value(
        &self,
        sequence: &SequenceDef,
        value: i64,
        is_called: bool,
    ) -> Result<(), CatalogError> {
        let options = &sequence.options;
        if value < options.min || value > options.max {
            let message = format!(
                "setval: value {value} is out of bounds for sequence \"{}\" ({}..{})",
                sequence.name, options.min, options.max
            );
            return Err(Report::error(codes::NUMERIC_VALUE_OUT_OF_RANGE, message).into());
        }
        let used = self.sequence(sequence.id);
        let _reserving = used.reserving.lock().await;
        let known = *used.state.lock();
        let generation = match known {
            Some(state) => state.generation,
            None => self.read_state(sequence).await?.generation,
        };
        let position = Position {
            last_value: value,
            is_called,
        };
        self.write_position(sequence.id, generation, position)
            .await?;
        *used.state.lock() = Some(InMemory {
            generation,
            position,
            reserved: 0,
            block: RESERVED_MIN,
        });
        Ok(())
    }

    /// ALTER SEQUENCE … RESTART and TRUNCATE … RESTART IDENTITY. Takes effect at once, for
    /// everybody; a rollback goes back to where the sequence stood.
    pub async fn restart_sequence(
        &self,
        txn: &Transaction,
        sequence: &SequenceDef,
        at: Option<i64>,
    ) -> Result<(), CatalogError> {
        let position = Position {
            last_value: at.unwrap_or(sequence.options.start),
            is_called: false,
        };
        self.restart_at_position(txn, sequence, position).await
    }

    /// Begins a generation at that position.
    pub(crate) async fn restart_at_position(
        &self,
        txn: &Transaction,
        sequence: &SequenceDef,
        position: Position,
    ) -> Result<(), CatalogError> {
        let used = self.sequence(sequence.id);
        let _reserving = used.reserving.lock().await;
        let before = *used.state.lock();
        let generation = Generation {
            id: txn.id().0,
            start: position,
        };
        txn.put(
            KeySpace::Meta,
            record::sequence_key(sequence.id),
            record::encode(&generation),
        )?;
        let restarted = InMemory {
            generation: generation.id,
            position,
            reserved: 0,
            block: RESERVED_MIN,
        };
        *used.state.lock() = Some(restarted);
        let undone = Arc::clone(&used);
        // What was read from disk before is read again.
        txn.on_rollback(Box::new(move || {
            *undone.state.lock() = before.map(|state| InMemory {
                reserved: 0,
                ..state
            });
        }));
        Ok(())
    }

    /// Gives back values that are reserved and not given, so that a clean restart skips none.
    pub async fn flush_sequences(&self) -> Result<(), CatalogError> {
        let used: Vec<_> = self
            .sequences
            .used
            .lock()
            .iter()
            .map(|(id, used)| (*id, Arc::clone(used)))
            .collect();
        let state = self.state();
        for (id, used) in used {
            if state.sequence(id).is_none() {
                continue;
            }
            let _reserving = used.reserving.lock().await;
            let (generation, position) = {
                let mut state = used.state.lock();
                let Some(state) = state.as_mut().filter(|state| state.reserved > 0) else {
                    continue;
                };
                state.reserved = 0;
                (state.generation, state.position)
            };
            self.write_position(id, generation, position).await?;
        }
        Ok(())
    }

    fn sequence(&self, id: RelationId) -> Arc<Sequence> {
        Arc::clone(self.sequences.used.lock().entry(id).or_default())
    }

    async fn reserve(&self, sequence: &SequenceDef) -> Result<(), CatalogError> {
        let used = self.sequence(sequence.id);
        let _reserving = used.reserving.lock().await;
        let state = *used.state.lock();
        let state = match state {
            // Somebody else was faster.
            Some(state) if state.reserved > 0 => return Ok(()),
            Some(state) => state,
            None => {
                let stored = self.read_state(sequence).await?;
                InMemory {
                    block: RESERVED_MIN.max(sequence.options.cache),
                    ..stored
                }
            }
        };
        let (end, reserved) = state.position.after(&sequence.options, state.block);
        if reserved == 0 {
            *used.state.lock() = Some(state);
            return Err(exhausted(sequence));
        }
        self.write_position(sequence.id, state.generation, end)
            .await?;
        let block = (state.block * 2).min(RESERVED_MAX);
        *used.state.lock() = Some(InMemory {
            reserved,
            block,
            ..state
        });
        Ok(())
    }

    async fn read_state(&self, sequence: &SequenceDef) -> Result<InMemory, CatalogError> {
        let view = self.transactions.view();
        let key = record::sequence_key(sequence.id);
        let begun = match view.get(KeySpace::Meta, &key).await? {
            Some(value) => record::decode(&key, &value)?,
            None => {
                let start = Position {
                    last_value: sequence.options.start,
                    is_called: false,
                };
                Generation { id: 0, start }
            }
        };
        let key = record::sequence_position_key(sequence.id, begun.id);
        let position = match view.get(KeySpace::Meta, &key).await? {
            Some(value) => record::decode(&key, &value)?,
            None => begun.start,
        };
        Ok(InMemory {
            generation: begun.id,
            position,
            reserved: 0,
            block: RESERVED_MIN,
        })
    }

    async fn write_position(
        &self,
        id: RelationId,
        generation: u64,
        position: Position,
    ) -> Result<(), CatalogError> {
        let txn = self.begin_internal(Durability::Buffered);
        let key = record::sequence_position_key(id, generation);
        txn.put(KeySpace::Meta, key, record::encode(&position))?;
        txn.commit().await?;
        Ok(())
    }
}

fn exhausted(sequence: &SequenceDef) -> CatalogError {
    let options = &sequence.options;
    let limit = if options.increment > 0 {
        options.max
    } else {
        options.min
    };
    refusal::sequence_exhausted(&sequence.name, options.increment, limit).into()
}
