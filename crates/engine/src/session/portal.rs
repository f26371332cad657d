//! Portals of the protocol and SQL's cursors, in one name space as in PostgreSQL.

use std::ops::Range;
use std::sync::Arc;

use tessera_executor::{CommandTag, RowBatch};
use tessera_planner::ColumnInfo;
use tessera_planner::statement::{Declare, Fetch, FetchDirection};
use tessera_types::{Report, Value, codes};

use super::Session;
use super::execute::{CopyIn, CopyOut, Outcome, Rows};
use super::statement::PreparedStatement;

/// Portals of one session.
const PORTALS_MAX: usize = 10_000;
/// Bytes of rows that a SCROLL or WITH HOLD cursor keeps.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// A prepared statement with parameters, and how far it has run.
pub struct Portal {
    statement: Arc<PreparedStatement>,
    params: Arc<[Value]>,
    /// The client's wish for each column: 0 text, 1 binary; one for all, or none for text.
    formats: Arc<[i16]>,
    state: PortalState,
    /// Made by DECLARE.
    cursor: Option<Cursor>,
}

enum PortalState {
    New,
    /// Rows: those at hand and those to come.
    Rows {
        rows: Rows,
        batch: Option<(RowBatch, usize)>,
        returned: u64,
    },
    Done {
        returned: Option<CommandTag>,
    },
}

/// What a cursor is beyond a portal.
#[derive(Default)]
struct Cursor {
    scroll: bool,
    hold: bool,
    /// The transaction that declared it has committed.
    held: bool,
    /// Rows seen so far, when the cursor may go back to them.
    kept: Vec<Vec<Value>>,
    kept_bytes: usize,
    /// Rows before the position: 0 is before the first row.
    position: usize,
    /// `kept` has all rows.
    complete: bool,
}

/// What the next step of a portal gave.
pub enum PortalStep {
    /// Some rows of a batch.
    Rows(RowBatch, Range<usize>),
    /// The row limit was reached.
    Suspended,
    /// The end.
    Done(CommandTag),
    /// There was nothing to run.
    Empty,
    /// COPY … FROM STDIN waits for data.
    CopyIn(CopyIn),
    /// COPY … TO STDOUT gives data.
    CopyOut(CopyOut),
}

impl Portal {
    /// A portal that has not run yet.
    pub fn new(
        statement: Arc<PreparedStatement>,
        params: Arc<[Value]>,
        formats: Arc<[i16]>,
    ) -> Portal {
        Portal {
            statement,
            params,
            formats,
            state: PortalState::New,
            cursor: None,
        }
    }

    /// Columns of the result; `None` when it returns no rows.
    pub fn columns(&self) -> Option<&Arc<[ColumnInfo]>> {
        match &self.state {
            PortalState::Rows { rows, .. } => Some(rows.columns()),
            _ => self.statement.columns(),
        }
    }

    /// Whether it has run and returned rows.
    pub fn has_rows(&self) -> bool {
        match &self.state {
            PortalState::New => false,
            PortalState::Rows { .. } => true,
            PortalState::Done { returned } => returned.is_some(),
        }
    }

    /// The client's wish for each column's format.
    pub fn formats(&self) -> &Arc<[i16]> {
        &self.formats
    }
}

impl std::fmt::Debug for Portal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Portal")
            .field("statement", &self.statement)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Keeps a portal under a name; the empty name is the unnamed portal, which the next replaces.
    ///
    /// # Errors
    /// 42P03 when the name is taken, 53400 when there are too many.
    pub fn store_portal(&mut self, name: &str, portal: Portal) -> Result<(), Report> {
        if name.is_empty() {
            self.unnamed_portal = Some(portal);
            return Ok(());
        }
        if self.portals.contains_key(name) {
            return Err(Report::error(
                codes::DUPLICATE_CURSOR,
                format!("cursor \"{name}\" already exists"),
            ));
        }
        if self.portals.len() >= PORTALS_MAX {
            return Err(Report::error(
                codes::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session may have at most {PORTALS_MAX} portals"),
            )
            .with_hint("CLOSE cursors that are no longer used."));
        }
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// A portal by name.
    ///
    /// # Errors
    /// 34000.
    pub fn portal(&self, name: &str) -> Result<&Portal, Report> {
        let found = if name.is_empty() {
            self.unnamed_portal.as_ref()
        } else {
            self.portals.get(name)
        };
        found.ok_or_else(|| no_portal(name))
    }

    /// Takes a portal out, to be run and put back by [`Session::put_portal`].
    pub fn take_portal(&mut self, name: &str) -> Result<Portal, Report> {
        let found = if name.is_empty() {
            self.unnamed_portal.take()
        } else {
            self.portals.remove(name)
        };
        found.ok_or_else(|| no_portal(name))
    }

    /// Puts a portal back.
    pub fn put_portal(&mut self, name: &str, portal: Portal) {
        if name.is_empty() {
            self.unnamed_portal = Some(portal);
        } else {
            self.portals.insert(name.to_owned(), portal);
        }
    }

    /// Forgets a portal, if there is one of that name.
    pub fn close_portal(&mut self, name: &str) -> bool {
        if name.is_empty() {
            self.unnamed_portal.take().is_some()
        } else {
            self.portals.remove(name).is_some()
        }
    }

    /// Runs a portal a step further. At most `limit` rows are returned before `Suspended`; the
    /// caller counts it down by the rows it got.
    pub async fn advance(
        &mut self,
        portal: &mut Portal,
        limit: usize,
    ) -> Result<PortalStep, Report> {
        let result = self.try_advance(portal, limit).await;
        if result.is_err() {
            self.fail();
        }
        result
    }

    async fn try_advance(
        &mut self,
        portal: &mut Portal,
        limit: usize,
    ) -> Result<PortalStep, Report> {
        if let PortalState::New = portal.state {
            match self
                .execute(&portal.statement.clone(), &portal.params.clone())
                .await?
            {
                Outcome::Rows(rows) => {
                    portal.state = PortalState::Rows {
                        rows,
                        batch: None,
                        returned: 0,
                    };
                }
                Outcome::Command(tag) => {
                    portal.state = PortalState::Done { returned: None };
                    return Ok(PortalStep::Done(tag));
                }
                Outcome::Empty => return Ok(PortalStep::Empty),
                Outcome::CopyIn(copy) => {
                    portal.state = PortalState::Done { returned: None };
                    return Ok(PortalStep::CopyIn(copy));
                }
                Outcome::CopyOut(copy) => {
                    portal.state = PortalState::Done { returned: None };
                    return Ok(PortalStep::CopyOut(copy));
                }
            }
        }
        loop {
            match &mut portal.state {
                PortalState::New => return Err(Report::internal("the portal has not run")),
                PortalState::Done {
                    returned: Some(tag),
                } => {
                    // Run again after its end: no rows more.
                    return Ok(PortalStep::Done(CommandTag {
                        verb: tag.verb.clone(),
                        rows: tag.rows.map(|_| 0),
                    }));
                }
                PortalState::Done { returned: None } => {
                    return Err(Report::error(
                        codes::OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "portal cannot be run anymore",
                    ));
                }
                PortalState::Rows {
                    rows,
                    batch,
                    returned,
                } => {
                    if let Some((current, at)) = batch.take() {
                        let left = current.rows() - at;
                        if left > 0 {
                            if limit == 0 {
                                *batch = Some((current, at));
                                // The tag tells the rows of one run, not of all.
                                *returned = 0;
                                return Ok(PortalStep::Suspended);
                            }
                            let take = left.min(limit);
                            *returned += take as u64;
                            let range = at..at + take;
                            if take < left {
                                *batch = Some((current.clone(), at + take));
                            }
                            return Ok(PortalStep::Rows(current, range));
                        }
                    }
                    match self.next_rows(rows).await? {
                        Some(next) => *batch = Some((next, 0)),
                        None => {
                            let tag = rows.tag(*returned);
                            portal.state = PortalState::Done {
                                returned: Some(tag.clone()),
                            };
                            return Ok(PortalStep::Done(tag));
                        }
                    }
                }
            }
        }
    }

    /// DECLARE … CURSOR.
    pub(super) fn declare(
        &mut self,
        declare: &Declare,
        query: &Arc<PreparedStatement>,
        params: &Arc<[Value]>,
    ) -> Result<Outcome, Report> {
        if !declare.hold {
            self.require_block("DECLARE CURSOR")?;
        }
        if query.columns().is_none() {
            return Err(Report::error(
                codes::INVALID_CURSOR_DEFINITION,
                "DECLARE CURSOR needs a query that returns rows",
            ));
        }
        let format = i16::from(declare.binary);
        let mut portal = Portal::new(query.clone(), params.clone(), Arc::from([format]));
        portal.cursor = Some(Cursor {
            scroll: declare.scroll == Some(true),
            hold: declare.hold,
            ..Cursor::default()
        });
        self.store_portal(&declare.name, portal)?;
        Ok(Outcome::command("DECLARE CURSOR"))
    }

    /// FETCH and MOVE.
    pub(super) async fn fetch(&mut self, fetch: &Fetch) -> Result<Outcome, Report> {
        let mut portal = self.take_portal(&fetch.cursor)?;
        let result = self.fetch_from(&mut portal, fetch).await;
        // After an error the transaction's portals are gone.
        if result.is_ok() {
            self.put_portal(&fetch.cursor, portal);
        }
        result
    }

    async fn fetch_from(&mut self, portal: &mut Portal, fetch: &Fetch) -> Result<Outcome, Report> {
        let columns = portal.columns().cloned().ok_or_else(|| {
            Report::error(codes::INVALID_CURSOR_STATE, "the portal returns no rows")
        })?;
        let rows = match forward_count(fetch.direction) {
            Some(limit) if !portal.cursor.as_ref().is_some_and(Cursor::keeps) => {
                let rows = self.pull(portal, limit).await?;
                if let Some(cursor) = &mut portal.cursor {
                    cursor.position += rows.len();
                }
                rows
            }
            _ => self.scroll(portal, fetch.direction).await?,
        };
        if fetch.move_only {
            return Ok(Outcome::Command(CommandTag::counted(
                "MOVE",
                rows.len() as u64,
            )));
        }
        let batch = RowBatch::from_values(rows, columns.len());
        let stream = tessera_executor::RowStream::ready(columns, "FETCH", batch);
        Ok(Outcome::Rows(Rows::new(stream, true, None)))
    }

    /// Up to `limit` rows from the running query.
    async fn pull(&mut self, portal: &mut Portal, limit: usize) -> Result<Vec<Vec<Value>>, Report> {
        let mut found = Vec::new();
        let mut bytes = 0;
        while found.len() < limit {
            match self.advance(portal, limit - found.len()).await? {
                PortalStep::Rows(batch, range) => {
                    for row in range {
                        let values: Vec<Value> = (0..batch.columns())
                            .map(|column| batch.value(row, column).to_owned())
                            .collect();
                        bytes += values.iter().map(Value::memory_bytes).sum::<usize>();
                        found.push(values);
                    }
                    if bytes > KEPT_BYTES_MAX {
                        return Err(too_large());
                    }
                }
                _ => break,
            }
        }
        Ok(found)
    }

    /// A movement that may need rows that were passed before.
    async fn scroll(
        &mut self,
        portal: &mut Portal,
        direction: FetchDirection,
    ) -> Result<Vec<Vec<Value>>, Report> {
        let keeps = portal.cursor.as_ref().is_some_and(Cursor::keeps);
        if !keeps {
            return Err(Report::error(
                codes::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "cursor can only scan forward",
            )
            .with_hint("Declare it with SCROLL option to enable backward scan."));
        }
        // How many rows must be known to answer.
        let position = portal.cursor.as_ref().map_or(0, |cursor| cursor.position);
        let wanted = match direction {
            FetchDirection::Forward(Some(count)) if count >= 0 => {
                position.saturating_add(count as usize).saturating_add(1)
            }
            FetchDirection::Absolute(at) if at >= 0 => at as usize,
            FetchDirection::Relative(by) if by >= 0 => position.saturating_add(by as usize),
            FetchDirection::Backward(Some(count)) if count < 0 => position
                .saturating_add(count.unsigned_abs() as usize)
                .saturating_add(1),
            FetchDirection::Forward(None) | FetchDirection::Absolute(_) => usize::MAX,
            _ => position,
        };
        self.keep_rows(portal, wanted).await?;
        let Some(cursor) = &mut portal.cursor else {
            return Ok(Vec::new());
        };
        Ok(cursor.go(direction))
    }

    /// Runs the query until `wanted` rows are kept, or its end.
    async fn keep_rows(&mut self, portal: &mut Portal, wanted: usize) -> Result<(), Report> {
        let (have, complete) = portal
            .cursor
            .as_ref()
            .map_or((0, true), |c| (c.kept.len(), c.complete));
        if complete || have >= wanted {
            return Ok(());
        }
        let more = self.pull(portal, wanted - have).await?;
        let ended = more.len() < wanted - have;
        let Some(cursor) = &mut portal.cursor else {
            return Ok(());
        };
        cursor.complete = ended;
        for row in more {
            cursor.kept_bytes += row.iter().map(Value::memory_bytes).sum::<usize>();
            cursor.kept.push(row);
        }
        if cursor.kept_bytes > KEPT_BYTES_MAX {
            return Err(too_large());
        }
        Ok(())
    }

    /// Cursors WITH HOLD that the present transaction declared.
    pub(super) fn new_held_cursors(&self) -> Vec<String> {
        let is_new = |portal: &Portal| {
            portal
                .cursor
                .as_ref()
                .is_some_and(|cursor| cursor.hold && !cursor.held)
        };
        self.portals
            .iter()
            .filter(|(_, portal)| is_new(portal))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Before a commit: cursors WITH HOLD take their remaining rows with them.
    pub(super) async fn keep_held_cursors(&mut self, names: Vec<String>) -> Result<(), Report> {
        for name in names {
            let Ok(mut portal) = self.take_portal(&name) else {
                continue;
            };
            self.keep_rows(&mut portal, usize::MAX).await?;
            if let Some(cursor) = &mut portal.cursor {
                cursor.held = true;
            }
            portal.state = PortalState::Done { returned: None };
            self.put_portal(&name, portal);
        }
        Ok(())
    }

    /// The end of a transaction: its portals end, held cursors stay.
    pub(super) fn drop_portals(&mut self) {
        self.unnamed_portal = None;
        if !self.portals.is_empty() {
            self.portals
                .retain(|_, portal| portal.cursor.as_ref().is_some_and(|cursor| cursor.held));
        }
    }

    pub(super) fn close_portals(&mut self) {
        self.unnamed_portal = None;
        self.portals.clear();
    }
}

impl Cursor {
    /// Rows are kept, so that the cursor can go back or outlive its transaction.
    fn keeps(&self) -> bool {
        self.scroll || self.hold
    }

    /// Moves over kept rows and gives those passed or reached.
    fn go(&mut self, direction: FetchDirection) -> Vec<Vec<Value>> {
        let len = self.kept.len();
        let (from, to, one) = match direction {
            FetchDirection::Forward(count) => {
                let count = count.unwrap_or(i64::MAX);
                if count < 0 {
                    return self.go(FetchDirection::Backward(count.checked_neg()));
                }
                if count == 0 {
                    return self.at(self.position);
                }
                let end = self.position.saturating_add(count as usize);
                let begin = self.position.min(len);
                // Running over the end leaves the position after the last row.
                self.position = end.min(len + 1);
                (begin, end.min(len), false)
            }
            FetchDirection::Backward(count) => {
                let count = count.unwrap_or(i64::MAX);
                if count < 0 {
                    return self.go(FetchDirection::Forward(count.checked_neg()));
                }
                if count == 0 {
                    return self.at(self.position);
                }
                let rows: Vec<_> = (0..self.position.saturating_sub(1).min(len))
                    .rev()
                    .take(count as usize)
                    .map(|at| self.kept[at].clone())
                    .collect();
                self.position = self.position.saturating_sub(count as usize);
                return rows;
            }
            FetchDirection::Absolute(at) => {
                let target = if at >= 0 {
                    at as usize
                } else {
                    (len + 1).saturating_sub(at.unsigned_abs() as usize)
                };
                (target.saturating_sub(1), target, true)
            }
            FetchDirection::Relative(by) => {
                let target = if by >= 0 {
                    self.position.saturating_add(by as usize)
                } else {
                    self.position.saturating_sub(by.unsigned_abs() as usize)
                };
                (target.saturating_sub(1), target, true)
            }
        };
        if one {
            self.position = to.min(len + 1);
            return self.at(to);
        }
        self.kept
            .get(from..to)
            .map(<[_]>::to_vec)
            .unwrap_or_default()
    }

    /// The row at a position counted from 1.
    fn at(&self, position: usize) -> Vec<Vec<Value>> {
        let index = position.checked_sub(1);
        index
            .and_then(|index| self.kept.get(index))
            .cloned()
            .into_iter()
            .collect()
    }
}

/// The row limit of a plain movement forward; `None` for all others.
fn forward_count(direction: FetchDirection) -> Option<usize> {
    match direction {
        FetchDirection::Forward(None) => Some(usize::MAX),
        FetchDirection::Forward(Some(count)) if count > 0 => Some(count as usize),
        FetchDirection::Relative(1) => Some(1),
        _ => None,
    }
}

fn no_portal(name: &str) -> Report {
    let message = if name.is_empty() {
        "portal \"\" does not exist".to_owned()
    } else {
        format!("cursor \"{name}\" does not exist")
    };
    Report::error(codes::INVALID_CURSOR_NAME, message)
}

fn too_large() -> Report {
    Report::error(
        codes::PROGRAM_LIMIT_EXCEEDED,
        format!("the rows of a cursor that are kept take more than {KEPT_BYTES_MAX} bytes"),
    )
    .with_hint("FETCH fewer rows at a time, and declare the cursor without SCROLL and HOLD.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(rows: i32) -> Cursor {
        Cursor {
            scroll: true,
            complete: true,
            kept: (1..=rows).map(|n| vec![Value::Integer(n)]).collect(),
            ..Cursor::default()
        }
    }

    fn go(cursor: &mut Cursor, direction: FetchDirection) -> Vec<i64> {
        cursor
            .go(direction)
            .iter()
            .filter_map(|row| row[0].as_i64())
            .collect()
    }

    #[test]
    fn a_scroll_cursor_moves_as_postgresql_s() {
        use FetchDirection::{Absolute, Backward, Forward, Relative};
        let mut c = cursor(5);
        assert_eq!(go(&mut c, Forward(Some(2))), [1, 2]);
        assert_eq!(go(&mut c, Backward(Some(1))), [1]);
        assert_eq!(go(&mut c, Backward(Some(1))), [0_i64; 0]);
        assert_eq!(go(&mut c, Forward(None)), [1, 2, 3, 4, 5]);
        assert_eq!(go(&mut c, Forward(Some(1))), [0_i64; 0]);
        assert_eq!(go(&mut c, Backward(Some(1))), [5]);
        assert_eq!(go(&mut c, Absolute(3)), [3]);
        assert_eq!(go(&mut c, Absolute(-1)), [5]);
        assert_eq!(go(&mut c, Relative(-2)), [3]);
        assert_eq!(go(&mut c, Relative(0)), [3]);
        assert_eq!(go(&mut c, Forward(Some(0))), [3]);
        assert_eq!(go(&mut c, Backward(None)), [2, 1]);
        assert_eq!(go(&mut c, Absolute(9)), [0_i64; 0]);
        assert_eq!(go(&mut c, Backward(Some(2))), [5, 4]);
    }
}
