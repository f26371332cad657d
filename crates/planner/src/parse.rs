//! Text to statements.
//!
//! The text is cut into tokens once; statements are separated at semicolons. Statements about
//! the session are read by `control`, all others by `sqlparser` with its PostgreSQL dialect.
//! Errors get PostgreSQL's words and a position counted in characters from 1.
//!
//! # Invariants
//! 1. No text overflows the stack, neither while it is read nor when the result is dropped:
//!    nesting and the length of operator chains are limited, long AND/OR chains are balanced.

mod chains;
mod control;
mod locks;
mod long_names;
mod mask;
mod models;
pub(crate) mod rewrite;

use std::sync::Arc;

use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError};
use tessera_types::{Report, SqlType, codes};

use crate::statement::{Parsed, Statement};

pub(crate) use locks::of_all;
pub use locks::{LockStrength, LockWait, RowLockClause, row_lock};
pub use mask::{MASKED_CHARS_MAX, mask_literals};

/// Parentheses and brackets that may be open at one time.
pub const NESTING_MAX: usize = 400;

/// Levels of recursion in the parser; a parenthesis takes several.
const RECURSION_MAX: usize = 4 * NESTING_MAX;

/// Bytes of one text.
pub const TEXT_BYTES_MAX: usize = 256 << 20;

/// Reads a text of any number of statements. Empty statements are left out.
pub fn parse(sql: &str) -> Result<Vec<Parsed>, Report> {
    if sql.len() > TEXT_BYTES_MAX {
        return Err(Report::error(
            codes::PROGRAM_LIMIT_EXCEEDED,
            format!("statement text is longer than {TEXT_BYTES_MAX} bytes"),
        ));
    }
    let source = Source::new(sql);
    let tokens = source.tokens()?;
    let mut statements = Vec::with_capacity(1);
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        if !part.is_empty() {
            statements.push(parse_one(&source, part)?);
        }
    }
    Ok(statements)
}

/// Reads one scalar expression, such as a DEFAULT kept in the catalog.
pub fn parse_expression(sql: &str) -> Result<ast::Expr, Report> {
    let source = Source::new(sql);
    let tokens = source.tokens()?;
    source.check_nesting(&tokens)?;
    let mut parser = source.parser(&tokens);
    let mut expression = parser
        .parse_expr()
        .map_err(|error| source.report(error, &tokens))?;
    source.expect_end(&mut parser, &tokens)?;
    chains::limit(&mut expression)?;
    Ok(expression)
}

/// Reads a type's name as `format_type` and casts write it.
pub fn parse_type_name(sql: &str) -> Result<SqlType, Report> {
    SqlType::from_name(sql).map_err(|error| error.report())
}

/// Reads one statement out of its tokens.
fn parse_one(source: &Source<'_>, tokens: &[TokenWithSpan]) -> Result<Parsed, Report> {
    source.check_nesting(tokens)?;
    let (text, offset) = source.text_of(tokens);
    let (short, notices) = long_names::cut(tokens);
    let tokens = short.as_deref().unwrap_or(tokens);
    let statement = match control::parse(source, tokens)? {
        Some(statement) => statement,
        None => match models::parse(source, tokens)? {
            Some(statement) => statement,
            None => parse_sql(source, tokens)?,
        },
    };
    Ok(Parsed {
        statement,
        text,
        offset,
        lines: source.line_starts(),
        notices,
    })
}

/// Reads a statement that `sqlparser` knows.
fn parse_sql(source: &Source<'_>, tokens: &[TokenWithSpan]) -> Result<Statement, Report> {
    let locks = locks::mend(tokens);
    let tokens = locks.as_deref().unwrap_or(tokens);
    let mended = rewrite::mend(tokens);
    let tokens = mended.as_ref().map_or(tokens, |mended| &mended.tokens);
    let mut parser = source.parser(tokens);
    let mut statement = parser
        .parse_statement()
        .map_err(|error| source.report(error, tokens))?;
    source.expect_end(&mut parser, tokens)?;
    if let Some(mended) = &mended {
        mended.restore(&mut statement);
    }
    chains::limit(&mut statement)?;
    Ok(classify(statement))
}

/// Sorts a statement by who executes it.
fn classify(statement: ast::Statement) -> Statement {
    use ast::Statement as S;
    match statement {
        S::Query(query) => match writes_or_into(&query) {
            QueryKind::Plain => Statement::Query(Arc::from(query)),
            QueryKind::Into => Statement::CreateTableAs(Arc::new(S::Query(query))),
            QueryKind::Writes => Statement::Write(Arc::new(S::Query(query))),
        },
        S::Insert(_) | S::Update(_) | S::Delete(_) | S::Merge(_) | S::Truncate(_) => {
            Statement::Write(Arc::new(statement))
        }
        S::Copy { .. } => Statement::Copy(Arc::new(statement)),
        S::CreateTable(ref create) if create.query.is_some() => {
            Statement::CreateTableAs(Arc::new(statement))
        }
        other => Statement::Ddl(Arc::new(other)),
    }
}

enum QueryKind {
    Plain,
    Into,
    Writes,
}

fn writes_or_into(query: &ast::Query) -> QueryKind {
    let is_write = |body: &ast::SetExpr| {
        matches!(
            body,
            ast::SetExpr::Insert(_)
                | ast::SetExpr::Update(_)
                | ast::SetExpr::Delete(_)
                | ast::SetExpr::Merge(_)
        )
    };
    let with = query.with.as_ref();
    if is_write(&query.body)
        || with.is_some_and(|with| with.cte_tables.iter().any(|cte| is_write(&cte.query.body)))
    {
        return QueryKind::Writes;
    }
    match query.body.as_ref() {
        ast::SetExpr::Select(select) if select.into.is_some() => QueryKind::Into,
        _ => QueryKind::Plain,
    }
}

/// A text and where its lines begin.
pub(crate) struct Source<'a> {
    text: &'a str,
    /// Byte offset and character offset of each line's begin.
    lines: Vec<(usize, usize)>,
}

static DIALECT: PostgreSqlDialect = PostgreSqlDialect {};

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Source<'a> {
        let mut lines = vec![(0, 0)];
        for (characters, (bytes, character)) in text.char_indices().enumerate() {
            if character == '\n' {
                lines.push((bytes + 1, characters + 1));
            }
        }
        Source { text, lines }
    }

    /// Characters before each line.
    fn line_starts(&self) -> Arc<[u32]> {
        let starts = self.lines.iter();
        starts
            .map(|(_, characters)| u32::try_from(*characters).unwrap_or(u32::MAX))
            .collect()
    }

    /// All tokens but white space and comments.
    fn tokens(&self) -> Result<Vec<TokenWithSpan>, Report> {
        let mut tokens = Vec::with_capacity(self.text.len() / 4 + 4);
        Tokenizer::new(&DIALECT, self.text)
            .tokenize_with_location_into_buf(&mut tokens)
            .map_err(|error| self.token_report(&error))?;
        tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
        rewrite::free_names(&mut tokens);
        rewrite::open_fetch(&mut tokens);
        Ok(tokens)
    }

    fn parser(&self, tokens: &[TokenWithSpan]) -> Parser<'static> {
        Parser::new(&DIALECT)
            .with_recursion_limit(RECURSION_MAX)
            .with_tokens_with_locations(tokens.to_vec())
    }

    /// Nothing may follow.
    fn expect_end(&self, parser: &mut Parser<'_>, tokens: &[TokenWithSpan]) -> Result<(), Report> {
        let next = parser.peek_token();
        if next.token == Token::EOF {
            return Ok(());
        }
        Err(self.near(
            tokens
                .iter()
                .find(|token| token.span.start == next.span.start),
        ))
    }

    /// Refuses texts nested deeper than the parser should go.
    fn check_nesting(&self, tokens: &[TokenWithSpan]) -> Result<(), Report> {
        let mut depth = 0_usize;
        for token in tokens {
            match &token.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                Token::Word(word) if word.keyword == Keyword::CASE => depth += 1,
                Token::Word(word) if word.keyword == Keyword::END => {
                    depth = depth.saturating_sub(1)
                }
                _ => {}
            }
            if depth > NESTING_MAX {
                return Err(too_deep().at(self.position(token.span.start)));
            }
        }
        Ok(())
    }

    /// The text from the first to the last token, and the characters before it.
    fn text_of(&self, tokens: &[TokenWithSpan]) -> (Arc<str>, u32) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return (Arc::from(""), 0);
        };
        let start = self.byte(first.span.start);
        let end = self.byte(last.span.end).max(start);
        let offset = self.position(first.span.start).saturating_sub(1);
        (
            Arc::from(self.text.get(start..end).unwrap_or_default()),
            offset,
        )
    }

    /// A token as it was written.
    fn token_text(&self, token: &TokenWithSpan) -> &'a str {
        let start = self.byte(token.span.start);
        let end = self.byte(token.span.end).max(start);
        self.text.get(start..end).unwrap_or_default()
    }

    /// Byte offset of a location.
    fn byte(&self, location: Location) -> usize {
        let Some((line, _)) = self.lines.get((location.line as usize).saturating_sub(1)) else {
            return self.text.len();
        };
        let rest = &self.text[*line..];
        let column = (location.column as usize).saturating_sub(1);
        rest.char_indices()
            .nth(column)
            .map_or(self.text.len(), |(at, _)| line + at)
    }

    /// Character position of a location, from 1.
    pub(crate) fn position(&self, location: Location) -> u32 {
        let line = self.lines.get((location.line as usize).saturating_sub(1));
        let before = line.map_or(0, |(_, characters)| *characters);
        u32::try_from(before + location.column as usize).unwrap_or(u32::MAX)
    }

    /// `syntax error at or near "…"`, or at the end.
    fn near(&self, token: Option<&TokenWithSpan>) -> Report {
        match token {
            Some(token) => Report::error(
                codes::SYNTAX_ERROR,
                format!("syntax error at or near \"{}\"", self.token_text(token)),
            )
            .at(self.position(token.span.start)),
            None => {
                let end = u32::try_from(self.text.chars().count() + 1).unwrap_or(u32::MAX);
                Report::error(codes::SYNTAX_ERROR, "syntax error at end of input").at(end)
            }
        }
    }

    /// A parser's error in PostgreSQL's words.
    fn report(&self, error: ParserError, tokens: &[TokenWithSpan]) -> Report {
        let text = match error {
            ParserError::RecursionLimitExceeded => return too_deep(),
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        };
        if let Some(location) = location_in(&text) {
            let token = tokens.iter().find(|token| token.span.start == location);
            return self.near(token);
        }
        if text.contains("found: EOF") {
            return self.near(None);
        }
        Report::error(
            codes::SYNTAX_ERROR,
            format!("syntax error: {}", first_line(&text)),
        )
    }

    fn token_report(&self, error: &TokenizerError) -> Report {
        let text = &error.message;
        let rest = &self.text[self.byte(error.location).min(self.text.len())..];
        let message = if text.contains("Unterminated string") || text.contains("nterminated") {
            let what = if text.contains("comment") {
                "/* comment"
            } else if text.contains("dollar") {
                "dollar-quoted string"
            } else if text.contains("encoded") {
                "quoted string"
            } else {
                "quoted string"
            };
            format!("unterminated {what} at or near \"{}\"", first_line(rest))
        } else if text.contains("close delimiter") {
            format!(
                "unterminated quoted identifier at or near \"{}\"",
                first_line(rest)
            )
        } else {
            let token: String = rest
                .chars()
                .take_while(|c| !c.is_whitespace())
                .take(60)
                .collect();
            format!("syntax error at or near \"{token}\"")
        };
        Report::error(codes::SYNTAX_ERROR, message).at(self.position(error.location))
    }
}

/// `… at Line: 3, Column: 7`.
fn location_in(text: &str) -> Option<Location> {
    let (_, place) = text.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location {
        line: line.trim().parse().ok()?,
        column: column.trim().parse().ok()?,
    })
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// 54001.
pub(crate) fn too_deep() -> Report {
    Report::error(codes::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded").with_hint(format!(
        "The statement nests more than {NESTING_MAX} levels, or chains more than {} operators.",
        chains::CHAIN_MAX
    ))
}

#[cfg(test)]
mod tests;
