//! A table's definition with everything that is derived from it once.

use std::sync::Arc;

use tessera_catalog::{IndexDef, TableDef};
use tessera_codec::key::Order;
use tessera_codec::row::{RowLayout, RowReader};
use tessera_storage::Val;
use tessera_types::{FormatContext, RelationId, SqlType, Value, ValueRef, text};

use crate::error::{Result, TableError};
use crate::layout::{self, PREFIX_BYTES};

/// A row: one value per live column, in the definition's order.
pub type Row = Vec<Value>;

/// A table ready to read and write rows. Made once per definition and shared.
#[derive(Debug)]
pub struct Table {
    def: Arc<TableDef>,
    layout: RowLayout,
    /// Slot of each live column in the stored row: its number minus one.
    slots: Vec<usize>,
    /// No column was dropped, so a row's values are its slots.
    is_dense: bool,
    /// Positions of the primary key's columns; empty for a table with hidden row numbers.
    key: Vec<usize>,
    key_orders: Vec<Order>,
    indexes: Vec<Index>,
}

/// An index apart from the primary key.
#[derive(Debug)]
pub struct Index {
    /// The definition.
    pub def: Arc<IndexDef>,
    /// Positions of its columns in a row.
    pub positions: Vec<usize>,
    /// Their directions.
    pub orders: Vec<Order>,
}

impl Index {
    /// An index over the columns of `table`.
    pub fn new(table: &TableDef, def: &Arc<IndexDef>) -> Index {
        Index {
            def: Arc::clone(def),
            positions: def
                .columns
                .iter()
                .filter_map(|part| table.position(part.column))
                .collect(),
            orders: orders_of(def),
        }
    }
}

/// Directions of an index's columns.
pub(crate) fn orders_of(def: &IndexDef) -> Vec<Order> {
    def.columns
        .iter()
        .map(|part| Order {
            descending: part.descending,
            nulls_first: part.nulls_first,
        })
        .collect()
}

impl Table {
    /// Prepares a definition.
    pub fn new(def: Arc<TableDef>) -> Table {
        // A dropped column keeps its slot and its type, as old rows have a value there.
        let physical = usize::from(def.next_column.max(1)) - 1;
        let mut types = vec![SqlType::Boolean; physical];
        let slots: Vec<usize> = def
            .columns
            .iter()
            .map(|column| usize::from(column.id.max(1)) - 1)
            .collect();
        let live = def
            .columns
            .iter()
            .map(|column| (column.id, &column.sql_type));
        let dropped = def
            .dropped
            .iter()
            .map(|column| (column.id, &column.sql_type));
        for (id, sql_type) in live.chain(dropped) {
            if let Some(entry) = types.get_mut(usize::from(id.max(1)) - 1) {
                *entry = sql_type.clone();
            }
        }
        let (key, key_orders) = match def.primary_key_index() {
            None => (Vec::new(), Vec::new()),
            Some(index) => (
                index
                    .columns
                    .iter()
                    .filter_map(|part| def.position(part.column))
                    .collect(),
                orders_of(index),
            ),
        };
        let indexes = def
            .secondary_indexes()
            .map(|index| Index::new(&def, index))
            .collect();
        let is_dense = slots.len() == physical;
        Table {
            layout: RowLayout::new(&types),
            slots,
            is_dense,
            key,
            key_orders,
            indexes,
            def,
        }
    }

    /// The definition.
    pub fn def(&self) -> &Arc<TableDef> {
        &self.def
    }

    /// The table's id.
    pub fn id(&self) -> RelationId {
        self.def.id
    }

    /// Whether rows are found by a primary key rather than by a hidden number.
    pub fn has_primary_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Positions of the primary key's columns.
    pub fn key_positions(&self) -> &[usize] {
        &self.key
    }

    /// Directions of the primary key's columns.
    pub fn key_orders(&self) -> &[Order] {
        &self.key_orders
    }

    /// Indexes apart from the primary key.
    pub fn indexes(&self) -> &[Index] {
        &self.indexes
    }

    /// The index of that id, unless it is the primary key.
    pub fn index(&self, id: RelationId) -> Option<&Index> {
        self.indexes.iter().find(|index| index.def.id == id)
    }

    /// Layout of stored rows; column `i` of a row is at [`Table::slot`]`(i)`.
    pub fn layout(&self) -> &RowLayout {
        &self.layout
    }

    /// Slot of a live column in the stored row.
    pub fn slot(&self, position: usize) -> usize {
        self.slots[position]
    }

    /// Encodes a row.
    pub fn encode(&self, row: &[Value]) -> Result<Val> {
        if self.is_dense {
            return Ok(Val::from(self.layout.encode(row)?));
        }
        let mut physical = vec![Value::Null; self.layout.column_count()];
        for (value, slot) in row.iter().zip(&self.slots) {
            physical[*slot] = value.clone();
        }
        Ok(Val::from(self.layout.encode(&physical)?))
    }

    /// Opens a stored row.
    pub fn read<'a>(&'a self, bytes: &'a [u8]) -> Result<RowView<'a>> {
        Ok(RowView {
            table: self,
            reader: RowReader::new(&self.layout, bytes)?,
        })
    }

    /// Decodes a stored row.
    pub fn decode(&self, bytes: &[u8]) -> Result<Row> {
        let view = self.read(bytes)?;
        (0..self.slots.len())
            .map(|at| Ok(view.get(at)?.to_owned()))
            .collect()
    }

    /// `Ok` unless a NOT NULL column is NULL.
    pub fn check_not_null(&self, row: &[Value]) -> Result<()> {
        for (column, value) in self.def.columns.iter().zip(row) {
            if column.not_null && value.is_null() {
                return Err(TableError::NotNull {
                    schema: self.def.schema.clone(),
                    table: self.def.name.clone(),
                    column: column.name.clone(),
                    row: self.describe(row),
                });
            }
        }
        Ok(())
    }

    /// The row as error details show it: `(1, abc, null)`.
    pub fn describe(&self, row: &[Value]) -> String {
        let types = self.def.columns.iter().map(|column| &column.sql_type);
        format!("({})", describe_values(row.iter().zip(types)))
    }

    /// A key as error details show it: `(a, b)=(1, 2)`.
    pub(crate) fn describe_key(&self, positions: &[usize], row: &[Value]) -> String {
        let names: Vec<&str> = positions
            .iter()
            .map(|at| self.def.columns[*at].name.as_str())
            .collect();
        let values = positions
            .iter()
            .map(|at| (&row[*at], &self.def.columns[*at].sql_type));
        format!("({})=({})", names.join(", "), describe_values(values))
    }
}

/// What the bytes of a key stand for.
impl Table {
    /// A key of the table or of one of its indexes as error details show it; `None` when it is
    /// neither. Rows without a primary key are named by their hidden number.
    pub fn describe_key_bytes(&self, key: &[u8]) -> Option<String> {
        let (prefix, rest) = key.split_first_chunk::<PREFIX_BYTES>()?;
        let (positions, orders) = if *prefix == layout::prefix(self.def.storage) {
            if !self.has_primary_key() {
                let number = u64::from_be_bytes(rest.try_into().ok()?);
                return Some(format!("row number {number}"));
            }
            (self.key_positions(), self.key_orders())
        } else {
            let index = self
                .indexes()
                .iter()
                .find(|index| *prefix == layout::prefix(index.def.storage))?;
            (index.positions.as_slice(), index.orders.as_slice())
        };
        let mut rest = rest;
        let mut values = Vec::with_capacity(positions.len());
        for (position, order) in positions.iter().zip(orders) {
            let sql_type = &self.def.columns[*position].sql_type;
            values.push(tessera_codec::key::decode_value(sql_type, *order, &mut rest).ok()?);
        }
        let names: Vec<&str> = positions
            .iter()
            .map(|at| self.def.columns[*at].name.as_str())
            .collect();
        let types = positions.iter().map(|at| &self.def.columns[*at].sql_type);
        let values = describe_values(values.iter().zip(types));
        Some(format!("({})=({values})", names.join(", ")))
    }
}

/// Characters of one value in an error detail.
const DESCRIBED_CHARACTERS_MAX: usize = 64;

fn describe_values<'a>(values: impl Iterator<Item = (&'a Value, &'a SqlType)>) -> String {
    let format = FormatContext::default();
    let mut out = String::new();
    for (value, sql_type) in values {
        if !out.is_empty() {
            out.push_str(", ");
        }
        if value.is_null() {
            out.push_str("null");
            continue;
        }
        let mut bytes = Vec::new();
        text::write(value.as_ref(), sql_type, &format, &mut bytes);
        let written = String::from_utf8_lossy(&bytes);
        match written.char_indices().nth(DESCRIBED_CHARACTERS_MAX) {
            Some((end, _)) => {
                out.push_str(&written[..end]);
                out.push_str("...");
            }
            None => out.push_str(&written),
        }
    }
    out
}

/// A stored row, columns decoded when asked for.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'a> {
    table: &'a Table,
    reader: RowReader<'a>,
}

impl<'a> RowView<'a> {
    /// The value of a live column.
    pub fn get(&self, position: usize) -> Result<ValueRef<'a>> {
        let slot = self.table.slots[position];
        if self.reader.has(slot) {
            return Ok(self.reader.get(slot)?);
        }
        // The row is older than the column.
        let missing = self.table.def.columns[position].missing.as_ref();
        Ok(missing.map_or(ValueRef::Null, Value::as_ref))
    }
}
