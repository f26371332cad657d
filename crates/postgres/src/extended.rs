//! The extended query protocol: Parse, Bind, Describe, Execute, Close.

use std::sync::Arc;

use tessera_engine::{Portal, PortalStep, Value};
use tessera_types::{Report, SqlType, codes};

use crate::backend;
use crate::connection::{Connection, Fault, drive};
use crate::frontend::{Bind, Fields, Formats, utf8};
use crate::values::{self, RowFormat};

/// Rows encoded before the output buffer's size is looked at.
const ROWS_PER_STEP: usize = 256;

impl Connection {
    /// Parse: a text becomes a prepared statement.
    pub(crate) fn parse(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut fields = Fields::new(body);
        let name = fields.text()?;
        let sql = fields.text()?;
        let count = fields.count()?;
        let mut types = Vec::with_capacity(count.min(body.len() / 4));
        for _ in 0..count {
            types.push(parameter_type(fields.i32()? as u32)?);
        }
        fields.end()?;
        if !name.is_empty() {
            self.session.check_statement_name(name)?;
        }
        let statement = self.session.parse(sql, &types)?;
        self.session.store_statement(name, statement)?;
        backend::parse_complete(&mut self.wire.out);
        Ok(())
    }

    /// Bind: a prepared statement and parameters become a portal.
    pub(crate) fn bind(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut bind = Bind::read(body)?;
        let statement = self.session.statement(bind.statement)?.clone();
        let wanted = statement.params();
        if wanted.len() != bind.parameters {
            return Err(Report::error(
                codes::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
                    bind.parameters,
                    bind.statement,
                    wanted.len()
                ),
            )
            .into());
        }
        self.session.check_runnable(&statement)?;
        let context = self.session.format().clone();
        let mut params = Vec::with_capacity(wanted.len());
        for (at, sql_type) in wanted.iter().enumerate() {
            let bytes = bind.fields.parameter()?;
            let is_binary = bind.formats.is_binary(at)?;
            let is_name = !is_binary && sql_type.is_oid_like() && *sql_type != SqlType::Oid;
            params.push(match bytes {
                Some(name) if is_name => {
                    Value::Oid(self.session.oid_of_name(sql_type, utf8(name)?)?)
                }
                bytes => values::parameter(bytes, is_binary, sql_type, &context, at + 1)?,
            });
        }
        let formats = bind.fields.result_formats()?;
        bind.fields.end()?;
        let columns = statement.columns().map_or(0, |columns| columns.len());
        if formats.len() > 1 && formats.len() != columns {
            return Err(Report::error(
                codes::PROTOCOL_VIOLATION,
                format!(
                    "bind message has {} result formats but query has {columns} columns",
                    formats.len()
                ),
            )
            .into());
        }
        let formats = self.shared_formats(formats);
        let params: Arc<[Value]> = params.into();
        self.session
            .store_portal(bind.portal, Portal::new(statement, params, formats))?;
        backend::bind_complete(&mut self.wire.out);
        Ok(())
    }

    /// Most clients want all columns in one format: those share one list.
    fn shared_formats(&self, formats: Formats<'_>) -> Arc<[i16]> {
        if formats.iter().all(|code| code == 0) {
            self.all_text.clone()
        } else if formats.iter().all(|code| code == 1) {
            self.all_binary.clone()
        } else {
            formats.iter().collect()
        }
    }

    /// Describe: types of parameters and columns.
    pub(crate) fn describe(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut fields = Fields::new(body);
        let kind = fields.byte()?;
        let name = fields.text()?;
        fields.end()?;
        match kind {
            b'S' => {
                let statement = self.session.statement(name)?.clone();
                self.session.check_runnable(&statement)?;
                let out = &mut self.wire.out;
                backend::parameter_description(out, statement.params());
                match statement.columns() {
                    Some(columns) => values::describe(out, columns, &[]),
                    None => backend::no_data(out),
                }
            }
            b'P' => {
                let portal = self.session.portal(name)?;
                match portal.columns() {
                    Some(columns) => {
                        values::describe(&mut self.wire.out, columns, portal.formats());
                    }
                    None => backend::no_data(&mut self.wire.out),
                }
            }
            kind => return Err(bad_subtype("DESCRIBE", kind).into()),
        }
        Ok(())
    }

    /// Close: forgets a statement or portal; no error when there is none.
    pub(crate) fn close(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut fields = Fields::new(body);
        let kind = fields.byte()?;
        let name = fields.text()?;
        fields.end()?;
        match kind {
            b'S' => self.session.close_statement(name),
            b'P' => self.session.close_portal(name),
            kind => return Err(bad_subtype("CLOSE", kind).into()),
        };
        backend::close_complete(&mut self.wire.out);
        Ok(())
    }

    /// Execute: runs a portal to its end, or for a number of rows.
    pub(crate) async fn execute(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut fields = Fields::new(body);
        let name = fields.text()?;
        // Zero and below mean no limit.
        let limit = match fields.i32()? {
            limit if limit > 0 => limit as usize,
            _ => usize::MAX,
        };
        fields.end()?;
        let mut portal = self.session.take_portal(name)?;
        if self.wire.next_is_sync() {
            self.session.expect_end_of_batch();
        }
        let is_kept = self.run_portal(&mut portal, limit).await?;
        if is_kept {
            self.session.put_portal(name, portal);
        }
        Ok(())
    }

    /// True when the portal returned rows: it stays, suspended or at its end.
    async fn run_portal(&mut self, portal: &mut Portal, limit: usize) -> Result<bool, Fault> {
        let mut left = limit;
        loop {
            let step = self.session.advance(portal, left);
            match drive(&mut self.wire, &self.signals, step).await?? {
                PortalStep::Rows(batch, range) => {
                    left = left.saturating_sub(range.len());
                    let columns = portal.columns().cloned().unwrap_or_else(|| Arc::from([]));
                    let context = self.session.format().clone();
                    let format = RowFormat {
                        columns: &columns,
                        formats: portal.formats(),
                        context: &context,
                        names: self.session.oid_names(&columns),
                    };
                    let mut at = range.start;
                    while at < range.end {
                        let end = range.end.min(at + ROWS_PER_STEP);
                        values::rows(&mut self.wire.out, &batch, at..end, &format)?;
                        at = end;
                        self.wire.flush_if_full().await?;
                    }
                }
                PortalStep::Suspended => {
                    self.put_notices();
                    backend::portal_suspended(&mut self.wire.out);
                    return Ok(true);
                }
                PortalStep::Done(tag) => {
                    self.put_notices();
                    backend::command_complete(&mut self.wire.out, &tag);
                    return Ok(portal.has_rows());
                }
                PortalStep::Empty => {
                    backend::empty_query(&mut self.wire.out);
                    return Ok(false);
                }
                PortalStep::CopyIn(copy) => {
                    let tag = self.copy_in(copy).await?;
                    self.put_notices();
                    backend::command_complete(&mut self.wire.out, &tag);
                    return Ok(false);
                }
                PortalStep::CopyOut(copy) => {
                    let tag = self.copy_out(copy).await?;
                    self.put_notices();
                    backend::command_complete(&mut self.wire.out, &tag);
                    return Ok(false);
                }
            }
        }
    }
}

/// The type of a parameter as the client says; 0 and `unknown` leave it to the server.
fn parameter_type(oid: u32) -> Result<Option<SqlType>, Report> {
    if oid == 0 {
        return Ok(None);
    }
    match SqlType::from_oid(oid, -1) {
        Some(SqlType::Unknown) => Ok(None),
        Some(known) => Ok(Some(known)),
        None => Err(Report::error(
            codes::UNDEFINED_OBJECT,
            format!("type with OID {oid} does not exist"),
        )),
    }
}

fn bad_subtype(message: &str, kind: u8) -> Report {
    Report::error(
        codes::PROTOCOL_VIOLATION,
        format!("invalid {message} message subtype {kind}"),
    )
}
