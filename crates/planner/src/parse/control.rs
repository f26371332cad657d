//! Statements about the session: transactions, settings, prepared statements, cursors, EXPLAIN.

use std::sync::Arc;

use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};
use tessera_types::{Report, SqlType};

use super::{Source, chains};
use crate::statement::{
    Declare, Discard, Execute, Explain, ExplainFormat, Fetch, FetchDirection, IsolationLevel,
    LockTables, Maintenance, Prepare, Setting, SettingValue, Statement, Transaction,
    TransactionModes,
};

/// Reads the statement if it is one of this module's, else gives `None`.
pub(super) fn parse(
    source: &Source<'_>,
    tokens: &[TokenWithSpan],
) -> Result<Option<Statement>, Report> {
    let mut reader = Reader {
        source,
        tokens,
        at: 0,
    };
    let Some(first) = reader.word() else {
        return Ok(None);
    };
    let statement = match first.to_ascii_uppercase().as_str() {
        "BEGIN" => {
            reader.skip_any(&["WORK", "TRANSACTION"]);
            Statement::Transaction(Transaction::Begin(reader.modes()?))
        }
        "START" => {
            reader.expect("TRANSACTION")?;
            Statement::Transaction(Transaction::Begin(reader.modes()?))
        }
        "COMMIT" | "END" => {
            if reader.keyword("PREPARED") {
                return Err(Report::unsupported(
                    "prepared transactions are not supported",
                ));
            }
            reader.skip_any(&["WORK", "TRANSACTION"]);
            Statement::Transaction(Transaction::Commit {
                chain: reader.chain()?,
            })
        }
        "ROLLBACK" | "ABORT" => {
            if reader.keyword("PREPARED") {
                return Err(Report::unsupported(
                    "prepared transactions are not supported",
                ));
            }
            reader.skip_any(&["WORK", "TRANSACTION"]);
            if reader.keyword("TO") {
                reader.keyword("SAVEPOINT");
                Statement::Transaction(Transaction::RollbackTo(reader.name()?))
            } else {
                Statement::Transaction(Transaction::Rollback {
                    chain: reader.chain()?,
                })
            }
        }
        "SAVEPOINT" => Statement::Transaction(Transaction::Savepoint(reader.name()?)),
        "RELEASE" => {
            reader.keyword("SAVEPOINT");
            Statement::Transaction(Transaction::Release(reader.name()?))
        }
        "SET" => reader.set()?,
        "SHOW" => match reader.setting_name()? {
            name if name == "all" => Statement::Setting(Setting::ShowAll),
            name if name == "locks" => locks_query()?,
            name => Statement::Setting(Setting::Show(name)),
        },
        "RESET" => Statement::Setting(match reader.setting_name()? {
            name if name == "all" => Setting::ResetAll,
            name => Setting::Reset(name),
        }),
        "PREPARE" => reader.prepare()?,
        "EXECUTE" => reader.execute()?,
        "DEALLOCATE" => {
            reader.keyword("PREPARE");
            Statement::Deallocate(reader.name_or_all()?)
        }
        "DECLARE" => reader.declare()?,
        "FETCH" => Statement::Fetch(reader.fetch(false)?),
        "MOVE" => Statement::Fetch(reader.fetch(true)?),
        "CLOSE" => Statement::Close(reader.name_or_all()?),
        "DISCARD" => Statement::Discard(reader.discard()?),
        "LISTEN" => Statement::Listen(reader.name()?),
        "UNLISTEN" => {
            if reader.symbol(&Token::Mul) {
                Statement::Unlisten(None)
            } else {
                Statement::Unlisten(Some(reader.name()?))
            }
        }
        "NOTIFY" => {
            let channel = reader.name()?;
            let payload = if reader.symbol(&Token::Comma) {
                Some(reader.string()?)
            } else {
                None
            };
            Statement::Notify { channel, payload }
        }
        "LOCK" => reader.lock()?,
        "EXPLAIN" => return reader.explain().map(Some),
        "ANALYZE" | "ANALYSE" => {
            reader.skip_options();
            reader.keyword("VERBOSE");
            Statement::Maintenance(Maintenance::Analyze(reader.tables()?))
        }
        "VACUUM" => {
            let mut analyze = reader.skip_options();
            while let Some(found) = reader.any(&["FULL", "FREEZE", "VERBOSE", "ANALYZE"]) {
                analyze |= found == "ANALYZE";
            }
            Statement::Maintenance(Maintenance::Vacuum {
                tables: reader.tables()?,
                analyze,
            })
        }
        "CHECKPOINT" => Statement::Maintenance(Maintenance::Checkpoint),
        "REINDEX" | "CLUSTER" => {
            reader.at = tokens.len();
            Statement::Maintenance(Maintenance::Reindex)
        }
        "TABLE" => return reader.table_query().map(Some),
        _ => return Ok(None),
    };
    reader.end()?;
    Ok(Some(statement))
}

/// SHOW LOCKS: who waits first, the longest wait before the others.
fn locks_query() -> Result<Statement, Report> {
    let sql =
        "SELECT * FROM tessera.locks ORDER BY granted, waited_ms DESC NULLS LAST, transaction";
    let parsed = super::parse(sql)?.pop();
    parsed
        .map(|parsed| parsed.statement)
        .ok_or_else(|| Report::internal("SHOW LOCKS has no query"))
}

/// Walks over the tokens of one statement.
struct Reader<'a> {
    source: &'a Source<'a>,
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    /// The error that the next token should not be here.
    fn unexpected(&self) -> Report {
        self.source.near(self.tokens.get(self.at))
    }

    fn end(&self) -> Result<(), Report> {
        if self.at < self.tokens.len() {
            Err(self.unexpected())
        } else {
            Ok(())
        }
    }

    /// Takes the next token if it is an unquoted word.
    fn word(&mut self) -> Option<&'a str> {
        match self.peek() {
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                self.at += 1;
                Some(&word.value)
            }
            _ => None,
        }
    }

    fn peek_is(&self, keyword: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek_is(keyword);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self, keywords: &[&'static str]) -> Option<&'static str> {
        let found = keywords
            .iter()
            .copied()
            .find(|keyword| self.peek_is(keyword))?;
        self.at += 1;
        Some(found)
    }

    fn skip_any(&mut self, keywords: &[&'static str]) {
        let _ = self.any(keywords);
    }

    fn expect(&mut self, keyword: &str) -> Result<(), Report> {
        if self.keyword(keyword) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn symbol(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn expect_symbol(&mut self, token: &Token) -> Result<(), Report> {
        if self.symbol(token) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// An identifier, folded to lower case unless quoted.
    fn name(&mut self) -> Result<String, Report> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(match word.quote_style {
                    Some(_) => word.value.clone(),
                    None => word.value.to_lowercase(),
                })
            }
            _ => Err(self.unexpected()),
        }
    }

    fn name_or_all(&mut self) -> Result<Option<String>, Report> {
        if self.keyword("ALL") {
            Ok(None)
        } else {
            self.name().map(Some)
        }
    }

    fn string(&mut self) -> Result<String, Report> {
        let text = match self.peek() {
            Some(
                Token::SingleQuotedString(text)
                | Token::EscapedStringLiteral(text)
                | Token::UnicodeStringLiteral(text),
            ) => text.clone(),
            Some(Token::DollarQuotedString(text)) => text.value.clone(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(text)
    }

    fn integer(&mut self) -> Result<i64, Report> {
        let negative = self.symbol(&Token::Minus) || {
            self.symbol(&Token::Plus);
            false
        };
        match self.peek() {
            Some(Token::Number(text, _)) => {
                let value: i64 = text.parse().map_err(|_| self.unexpected())?;
                self.at += 1;
                Ok(if negative { -value } else { value })
            }
            _ => Err(self.unexpected()),
        }
    }

    fn chain(&mut self) -> Result<bool, Report> {
        if !self.keyword("AND") {
            return Ok(false);
        }
        let no = self.keyword("NO");
        self.expect("CHAIN")?;
        Ok(!no)
    }

    fn modes(&mut self) -> Result<TransactionModes, Report> {
        let mut modes = TransactionModes::default();
        loop {
            if self.keyword("ISOLATION") {
                self.expect("LEVEL")?;
                modes.isolation = Some(self.isolation()?);
            } else if self.keyword("READ") {
                match self.any(&["ONLY", "WRITE"]) {
                    Some(word) => modes.read_only = Some(word == "ONLY"),
                    None => return Err(self.unexpected()),
                }
            } else if self.keyword("NOT") {
                self.expect("DEFERRABLE")?;
                modes.deferrable = Some(false);
            } else if self.keyword("DEFERRABLE") {
                modes.deferrable = Some(true);
            } else {
                return Ok(modes);
            }
            self.symbol(&Token::Comma);
        }
    }

    fn isolation(&mut self) -> Result<IsolationLevel, Report> {
        if self.keyword("SERIALIZABLE") {
            return Ok(IsolationLevel::Serializable);
        }
        if self.keyword("REPEATABLE") {
            self.expect("READ")?;
            return Ok(IsolationLevel::RepeatableRead);
        }
        self.expect("READ")?;
        match self.any(&["COMMITTED", "UNCOMMITTED"]) {
            Some("COMMITTED") => Ok(IsolationLevel::ReadCommitted),
            Some(_) => Ok(IsolationLevel::ReadUncommitted),
            None => Err(self.unexpected()),
        }
    }

    /// The name in SHOW and RESET, with its several-word forms.
    fn setting_name(&mut self) -> Result<String, Report> {
        if self.keyword("TIME") {
            self.expect("ZONE")?;
            return Ok("timezone".to_owned());
        }
        if self.peek_is("TRANSACTION") {
            self.at += 1;
            self.expect("ISOLATION")?;
            self.expect("LEVEL")?;
            return Ok("transaction_isolation".to_owned());
        }
        if self.peek_is("SESSION") {
            self.at += 1;
            if self.keyword("AUTHORIZATION") {
                return Ok("session_authorization".to_owned());
            }
            self.at -= 1;
        }
        let mut name = self.name()?;
        while self.symbol(&Token::Period) {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name.to_lowercase())
    }

    fn set(&mut self) -> Result<Statement, Report> {
        let mut local = false;
        if self.keyword("SESSION") {
            if self.keyword("CHARACTERISTICS") {
                self.expect("AS")?;
                self.expect("TRANSACTION")?;
                let modes = self.modes()?;
                return Ok(Statement::Transaction(Transaction::SetDefault(modes)));
            }
            if self.keyword("AUTHORIZATION") {
                return self.set_value("session_authorization".to_owned(), false);
            }
        } else if self.keyword("LOCAL") {
            local = true;
        }
        if self.keyword("TRANSACTION") {
            if self.keyword("SNAPSHOT") {
                return Err(Report::unsupported("importing a snapshot is not supported"));
            }
            return Ok(Statement::Transaction(Transaction::Set(self.modes()?)));
        }
        if self.keyword("TIME") {
            self.expect("ZONE")?;
            if self.keyword("LOCAL") {
                let values = SettingValue::Default;
                return Ok(setting("timezone".to_owned(), values, local));
            }
            if self.keyword("INTERVAL") {
                let offset = self.string()?;
                if self.keyword("HOUR") {
                    self.expect("TO")?;
                    self.expect("MINUTE")?;
                }
                let values = SettingValue::Values(vec![format!("INTERVAL '{offset}'")]);
                return Ok(setting("timezone".to_owned(), values, local));
            }
            return self.set_value("timezone".to_owned(), local);
        }
        if self.keyword("NAMES") {
            if self.at == self.tokens.len() {
                return Ok(setting(
                    "client_encoding".to_owned(),
                    SettingValue::Default,
                    local,
                ));
            }
            return self.set_value("client_encoding".to_owned(), local);
        }
        if self.keyword("SCHEMA") {
            return self.set_value("search_path".to_owned(), local);
        }
        if self.keyword("ROLE") {
            return self.set_value("role".to_owned(), local);
        }
        if self.keyword("CONSTRAINTS") {
            return Err(Report::unsupported(
                "deferrable constraints are not supported",
            ));
        }
        let name = self.setting_name()?;
        if !self.keyword("TO") {
            self.expect_symbol(&Token::Eq)?;
        }
        self.set_value(name, local)
    }

    fn set_value(&mut self, name: String, local: bool) -> Result<Statement, Report> {
        if self.keyword("DEFAULT") {
            return Ok(setting(name, SettingValue::Default, local));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.one_value()?);
            if !self.symbol(&Token::Comma) {
                break;
            }
        }
        Ok(setting(name, SettingValue::Values(values), local))
    }

    fn one_value(&mut self) -> Result<String, Report> {
        let sign = if self.symbol(&Token::Minus) {
            "-"
        } else {
            self.symbol(&Token::Plus);
            ""
        };
        match self.peek() {
            Some(Token::Number(text, _)) => {
                self.at += 1;
                Ok(format!("{sign}{text}"))
            }
            Some(Token::Word(_)) => self.name(),
            _ => self.string(),
        }
    }

    /// The rest of the statement as a statement of its own.
    fn rest(&mut self) -> Result<crate::Parsed, Report> {
        let rest = &self.tokens[self.at.min(self.tokens.len())..];
        if rest.is_empty() {
            return Err(self.unexpected());
        }
        self.at = self.tokens.len();
        super::parse_one(self.source, rest)
    }

    fn prepare(&mut self) -> Result<Statement, Report> {
        if self.keyword("TRANSACTION") {
            return Err(Report::unsupported(
                "prepared transactions are not supported",
            ));
        }
        let name = self.name()?;
        let mut types = Vec::new();
        if self.symbol(&Token::LParen) {
            let start = self.at;
            let mut depth = 0;
            let mut begin = start;
            while let Some(token) = self.peek() {
                match token {
                    Token::LParen => depth += 1,
                    Token::RParen if depth == 0 => break,
                    Token::RParen => depth -= 1,
                    Token::Comma if depth == 0 => {
                        types.push(self.type_between(begin, self.at)?);
                        begin = self.at + 1;
                    }
                    _ => {}
                }
                self.at += 1;
            }
            types.push(self.type_between(begin, self.at)?);
            self.expect_symbol(&Token::RParen)?;
        }
        self.expect("AS")?;
        let statement = self.rest()?;
        Ok(Statement::Prepare(Arc::new(Prepare {
            name,
            types,
            statement,
        })))
    }

    fn type_between(&self, begin: usize, end: usize) -> Result<Option<SqlType>, Report> {
        let (text, _) = self
            .source
            .text_of(self.tokens.get(begin..end).unwrap_or_default());
        match SqlType::from_name(&text).map_err(|error| error.report())? {
            SqlType::Unknown => Ok(None),
            sql_type => Ok(Some(sql_type)),
        }
    }

    fn execute(&mut self) -> Result<Statement, Report> {
        let name = self.name()?;
        let mut arguments = Vec::new();
        if self.peek() == Some(&Token::LParen) {
            let mut parser = self.source.parser(&self.tokens[self.at + 1..]);
            let report = |error| self.source.report(error, self.tokens);
            arguments = parser
                .parse_comma_separated(|parser| parser.parse_expr())
                .map_err(report)?;
            parser.expect_token(&Token::RParen).map_err(report)?;
            self.source.expect_end(&mut parser, self.tokens)?;
            self.at = self.tokens.len();
            for argument in &mut arguments {
                chains::limit(argument)?;
            }
        }
        Ok(Statement::Execute(Arc::new(Execute { name, arguments })))
    }

    fn declare(&mut self) -> Result<Statement, Report> {
        let name = self.name()?;
        let (mut binary, mut scroll, mut hold) = (false, None, false);
        loop {
            match self.any(&[
                "BINARY",
                "ASENSITIVE",
                "INSENSITIVE",
                "NO",
                "SCROLL",
                "CURSOR",
            ]) {
                Some("BINARY") => binary = true,
                Some("SCROLL") => scroll = Some(true),
                Some("NO") => {
                    self.expect("SCROLL")?;
                    scroll = Some(false);
                }
                Some("CURSOR") => break,
                Some(_) => {}
                None => return Err(self.unexpected()),
            }
        }
        if let Some(word) = self.any(&["WITH", "WITHOUT"]) {
            self.expect("HOLD")?;
            hold = word == "WITH";
        }
        self.expect("FOR")?;
        let query = self.rest()?;
        if !query.statement.is_query() {
            return Err(Report::error(
                tessera_types::codes::INVALID_CURSOR_DEFINITION,
                "a cursor needs a query that returns rows",
            ));
        }
        Ok(Statement::Declare(Arc::new(Declare {
            name,
            binary,
            scroll,
            hold,
            query,
        })))
    }

    fn fetch(&mut self, move_only: bool) -> Result<Fetch, Report> {
        let direction = match self.any(&[
            "NEXT", "PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "ALL", "FORWARD", "BACKWARD",
        ]) {
            Some("NEXT") => FetchDirection::Forward(Some(1)),
            Some("PRIOR") => FetchDirection::Backward(Some(1)),
            Some("FIRST") => FetchDirection::Absolute(1),
            Some("LAST") => FetchDirection::Absolute(-1),
            Some("ABSOLUTE") => FetchDirection::Absolute(self.integer()?),
            Some("RELATIVE") => FetchDirection::Relative(self.integer()?),
            Some("ALL") => FetchDirection::Forward(None),
            Some("FORWARD") => FetchDirection::Forward(self.count()?),
            Some(_) => FetchDirection::Backward(self.count()?),
            None if matches!(
                self.peek(),
                Some(Token::Number(..) | Token::Minus | Token::Plus)
            ) =>
            {
                match self.integer()? {
                    count if count < 0 => FetchDirection::Backward(Some(-count)),
                    count => FetchDirection::Forward(Some(count)),
                }
            }
            None => FetchDirection::Forward(Some(1)),
        };
        let _ = self.any(&["FROM", "IN"]);
        Ok(Fetch {
            cursor: self.name()?,
            direction,
            move_only,
        })
    }

    /// After FORWARD or BACKWARD: a number, ALL, or nothing for one.
    fn count(&mut self) -> Result<Option<i64>, Report> {
        if self.keyword("ALL") {
            return Ok(None);
        }
        match self.peek() {
            Some(Token::Number(..) | Token::Minus | Token::Plus) => self.integer().map(Some),
            _ => Ok(Some(1)),
        }
    }

    fn discard(&mut self) -> Result<Discard, Report> {
        match self.any(&["ALL", "PLANS", "SEQUENCES", "TEMP", "TEMPORARY"]) {
            Some("ALL") => Ok(Discard::All),
            Some("PLANS") => Ok(Discard::Plans),
            Some("SEQUENCES") => Ok(Discard::Sequences),
            Some(_) => Ok(Discard::Temp),
            None => Err(self.unexpected()),
        }
    }

    fn object_name(&mut self) -> Result<ast::ObjectName, Report> {
        let mut parts = vec![self.identifier()?];
        while self.symbol(&Token::Period) {
            parts.push(self.identifier()?);
        }
        Ok(ast::ObjectName::from(parts))
    }

    fn identifier(&mut self) -> Result<ast::Ident, Report> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let span = self.tokens[self.at].span;
                self.at += 1;
                Ok(ast::Ident {
                    value: word.value.clone(),
                    quote_style: word.quote_style,
                    span,
                })
            }
            _ => Err(self.unexpected()),
        }
    }

    fn tables(&mut self) -> Result<Vec<ast::ObjectName>, Report> {
        let mut tables = Vec::new();
        while self.at < self.tokens.len() {
            self.keyword("ONLY");
            tables.push(self.object_name()?);
            if self.symbol(&Token::LParen) {
                while !self.symbol(&Token::RParen) {
                    if self.peek().is_none() {
                        return Err(self.unexpected());
                    }
                    self.at += 1;
                }
            }
            if !self.symbol(&Token::Comma) {
                break;
            }
        }
        Ok(tables)
    }

    /// Skips `( … )`; says whether ANALYZE was among it.
    fn skip_options(&mut self) -> bool {
        let mut analyze = false;
        if self.symbol(&Token::LParen) {
            while self.peek().is_some() && !self.symbol(&Token::RParen) {
                analyze |= self.peek_is("ANALYZE");
                self.at += 1;
            }
        }
        analyze
    }

    fn lock(&mut self) -> Result<Statement, Report> {
        self.keyword("TABLE");
        let mut tables = Vec::new();
        loop {
            self.keyword("ONLY");
            tables.push(self.object_name()?);
            self.symbol(&Token::Mul);
            if !self.symbol(&Token::Comma) {
                break;
            }
        }
        let mut mode = "ACCESS EXCLUSIVE".to_owned();
        if self.keyword("IN") {
            let mut words = Vec::new();
            while !self.keyword("MODE") {
                words.push(
                    self.word()
                        .ok_or_else(|| self.unexpected())?
                        .to_ascii_uppercase(),
                );
            }
            mode = words.join(" ");
        }
        let no_wait = self.keyword("NOWAIT");
        Ok(Statement::Lock(Arc::new(LockTables {
            tables,
            mode,
            no_wait,
        })))
    }

    fn explain(&mut self) -> Result<Statement, Report> {
        let mut options = ExplainOptions::default();
        if self.symbol(&Token::LParen) {
            loop {
                self.explain_option(&mut options)?;
                if !self.symbol(&Token::Comma) {
                    break;
                }
            }
            self.expect_symbol(&Token::RParen)?;
        } else {
            options.analyze = self.any(&["ANALYZE", "ANALYSE"]).is_some();
            options.verbose = self.keyword("VERBOSE");
        }
        let statement = Box::new(self.rest()?);
        match statement.statement {
            Statement::Query(_)
            | Statement::Write(_)
            | Statement::CreateTableAs(_)
            | Statement::Declare(_)
            | Statement::Execute(_) => {}
            _ => {
                return Err(Report::unsupported(
                    "EXPLAIN is for queries and writes only",
                ));
            }
        }
        Ok(Statement::Explain(Arc::new(Explain {
            analyze: options.analyze,
            verbose: options.verbose,
            costs: options.costs.unwrap_or(true),
            timing: options.timing.unwrap_or(true),
            summary: options.summary,
            format: options.format,
            statement,
        })))
    }

    fn explain_option(&mut self, options: &mut ExplainOptions) -> Result<(), Report> {
        let name = self.name()?;
        if name == "format" {
            options.format = match self.name()?.as_str() {
                "text" => ExplainFormat::Text,
                "json" => ExplainFormat::Json,
                other => {
                    return Err(Report::unsupported(format!(
                        "EXPLAIN format \"{other}\" is not supported"
                    ))
                    .with_hint("Use TEXT or JSON."));
                }
            };
            return Ok(());
        }
        let on = match self.peek() {
            Some(Token::Comma | Token::RParen) => true,
            Some(Token::Number(text, _)) => {
                self.at += 1;
                text != "0"
            }
            _ => matches!(self.name()?.as_str(), "true" | "on"),
        };
        match name.as_str() {
            "analyze" | "analyse" => options.analyze = on,
            "verbose" => options.verbose = on,
            "costs" => options.costs = Some(on),
            "timing" => options.timing = Some(on),
            "summary" => options.summary = Some(on),
            "buffers" | "wal" | "settings" | "generic_plan" => {}
            other => {
                return Err(Report::error(
                    tessera_types::codes::SYNTAX_ERROR,
                    format!("unrecognized EXPLAIN option \"{other}\""),
                ));
            }
        }
        Ok(())
    }

    /// `TABLE name` is `SELECT * FROM name`; the tokens after it (ORDER BY, LIMIT) stay.
    fn table_query(&mut self) -> Result<Statement, Report> {
        let span = self.tokens[0].span;
        let word = |value: &str| TokenWithSpan {
            token: Token::make_keyword(value),
            span,
        };
        let mut tokens = vec![
            word("SELECT"),
            TokenWithSpan {
                token: Token::Mul,
                span,
            },
            word("FROM"),
        ];
        tokens.extend_from_slice(&self.tokens[1..]);
        super::parse_sql(self.source, &tokens)
    }
}

#[derive(Default)]
struct ExplainOptions {
    analyze: bool,
    verbose: bool,
    costs: Option<bool>,
    timing: Option<bool>,
    summary: Option<bool>,
    format: ExplainFormat,
}

fn setting(name: String, values: SettingValue, local: bool) -> Statement {
    Statement::Setting(Setting::Set {
        name,
        values,
        local,
    })
}
