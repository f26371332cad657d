//! Row locks of a query: `FOR { UPDATE | NO KEY UPDATE | SHARE | KEY SHARE } [OF a, b] [NOWAIT |
//! SKIP LOCKED]`, any number of them.
//!
//! `sqlparser` reads `FOR UPDATE | SHARE [OF one_name]`. The tokens are rewritten into that form:
//! a clause with several names becomes one clause for each, and the two weaker strengths travel
//! in front of the name, as a quoted word that no user writes ([`KEY_MARK`]).
//!
//! Source: PostgreSQL's page on SELECT, "The Locking Clause", and table 13.3.

use sqlparser::ast::{LockClause, LockType, NonBlock, ObjectName, ObjectNamePart};
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// First part of the name in OF when the clause said NO KEY UPDATE or KEY SHARE.
const KEY_MARK: &str = "tessera\u{1}key";

/// How strongly rows are locked, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LockStrength {
    /// FOR KEY SHARE: others may change everything but the key.
    KeyShare,
    /// FOR SHARE: others may read and lock the same way.
    Share,
    /// FOR NO KEY UPDATE: what an UPDATE that keeps the key takes.
    NoKeyUpdate,
    /// FOR UPDATE: what a DELETE takes.
    Update,
}

/// What to do with a row that is locked by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockWait {
    /// Wait for it.
    Block,
    /// Fail with 55P03.
    NoWait,
    /// Leave it out.
    SkipLocked,
}

/// One locking clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowLockClause {
    /// How strongly.
    pub strength: LockStrength,
    /// Which relation of FROM, by the name it has there; `None`: all of them.
    pub of: Option<String>,
    /// What to do when a row is not free.
    pub wait: LockWait,
}

impl LockStrength {
    /// The clause's words.
    pub fn words(self) -> &'static str {
        match self {
            LockStrength::KeyShare => "FOR KEY SHARE",
            LockStrength::Share => "FOR SHARE",
            LockStrength::NoKeyUpdate => "FOR NO KEY UPDATE",
            LockStrength::Update => "FOR UPDATE",
        }
    }
}

/// What a clause says.
pub fn row_lock(clause: &LockClause) -> RowLockClause {
    let mut names = clause.of.iter().flat_map(|name| &name.0).peekable();
    let is_key = names.next_if(|part| is_mark(part)).is_some();
    let of = names.next_back().and_then(|part| match part {
        ObjectNamePart::Identifier(ident) => Some(crate::bind::fold(ident)),
        ObjectNamePart::Function(_) => None,
    });
    RowLockClause {
        strength: match (clause.lock_type, is_key) {
            (LockType::Update, false) => LockStrength::Update,
            (LockType::Update, true) => LockStrength::NoKeyUpdate,
            (LockType::Share, false) => LockStrength::Share,
            (LockType::Share, true) => LockStrength::KeyShare,
        },
        of,
        wait: match clause.nonblock {
            None => LockWait::Block,
            Some(NonBlock::Nowait) => LockWait::NoWait,
            Some(NonBlock::SkipLocked) => LockWait::SkipLocked,
        },
    }
}

/// The same clause about all relations.
pub(crate) fn of_all(clause: &LockClause) -> LockClause {
    let mut clause = clause.clone();
    let mark = clause.of.iter().flat_map(|name| &name.0).next();
    let mark = mark.filter(|part| is_mark(part)).cloned();
    clause.of = mark.map(|mark| ObjectName(vec![mark]));
    clause
}

fn is_mark(part: &ObjectNamePart) -> bool {
    matches!(part, ObjectNamePart::Identifier(ident) if ident.value == KEY_MARK)
}

/// The tokens with their locking clauses in the form that `sqlparser` reads; `None` when they
/// are in that form already.
pub(super) fn mend(tokens: &[TokenWithSpan]) -> Option<Vec<TokenWithSpan>> {
    let mut out: Option<Vec<TokenWithSpan>> = None;
    let mut at = 0;
    while at < tokens.len() {
        let run = Run::read(&tokens[at..]);
        match run {
            Some(run) if run.needs_mending() => {
                let out = out.get_or_insert_with(|| tokens[..at].to_vec());
                out.extend_from_slice(run.limit);
                for clause in &run.clauses {
                    clause.write(&tokens[at], out);
                }
                at += run.length;
            }
            _ => {
                if let Some(out) = &mut out {
                    out.push(tokens[at].clone());
                }
                at += 1;
            }
        }
    }
    out
}

/// The locking clauses of one query, and the LIMIT that PostgreSQL also reads behind them.
struct Run<'a> {
    clauses: Vec<Clause<'a>>,
    limit: &'a [TokenWithSpan],
    length: usize,
}

impl<'a> Run<'a> {
    fn read(tokens: &'a [TokenWithSpan]) -> Option<Run<'a>> {
        let mut clauses = Vec::new();
        let mut length = 0;
        while let Some(clause) = Clause::read(&tokens[length..]) {
            length += clause.length;
            clauses.push(clause);
        }
        if clauses.is_empty() {
            return None;
        }
        let rest = &tokens[length..];
        let is_limited = rest.first().is_some_and(|token| {
            ["limit", "offset", "fetch"]
                .iter()
                .any(|word| is_word(token, word))
        });
        let limit = if is_limited {
            &rest[..rest_of_query(rest)]
        } else {
            &rest[..0]
        };
        Some(Run {
            length: length + limit.len(),
            clauses,
            limit,
        })
    }

    fn needs_mending(&self) -> bool {
        !self.limit.is_empty() || self.clauses.iter().any(Clause::needs_mending)
    }
}

/// Tokens up to the parenthesis that ends the query.
fn rest_of_query(tokens: &[TokenWithSpan]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return at,
            Token::RParen => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// A locking clause as written.
struct Clause<'a> {
    is_key: bool,
    is_update: bool,
    names: Vec<&'a [TokenWithSpan]>,
    /// NOWAIT or SKIP LOCKED.
    wait: &'a [TokenWithSpan],
    /// Number of tokens.
    length: usize,
}

impl<'a> Clause<'a> {
    fn read(tokens: &'a [TokenWithSpan]) -> Option<Clause<'a>> {
        let words = |from: usize, wanted: &[&str]| {
            wanted.iter().enumerate().all(|(i, wanted)| {
                tokens
                    .get(from + i)
                    .is_some_and(|token| is_word(token, wanted))
            })
        };
        let (is_update, is_key, mut at) = if words(0, &["for", "update"]) {
            (true, false, 2)
        } else if words(0, &["for", "share"]) {
            (false, false, 2)
        } else if words(0, &["for", "no", "key", "update"]) {
            (true, true, 4)
        } else if words(0, &["for", "key", "share"]) {
            (false, true, 3)
        } else {
            return None;
        };
        let mut names = Vec::new();
        if words(at, &["of"]) {
            loop {
                let from = at + 1;
                at = from + name_length(tokens.get(from..)?);
                if at == from {
                    // Not a name: the parser says so, at the right place.
                    return None;
                }
                names.push(&tokens[from..at]);
                if tokens.get(at).map(|token| &token.token) != Some(&Token::Comma) {
                    break;
                }
            }
        }
        let end = if words(at, &["nowait"]) {
            at + 1
        } else if words(at, &["skip", "locked"]) {
            at + 2
        } else {
            at
        };
        Some(Clause {
            is_key,
            is_update,
            names,
            wait: &tokens[at..end],
            length: end,
        })
    }

    fn needs_mending(&self) -> bool {
        self.is_key || self.names.len() > 1
    }

    /// Writes one clause for each name; tokens that were not there stand where FOR stood.
    fn write(&self, start: &TokenWithSpan, out: &mut Vec<TokenWithSpan>) {
        let put = |out: &mut Vec<TokenWithSpan>, token: Token| {
            out.push(TokenWithSpan {
                token,
                span: start.span,
            });
        };
        let names: &[&[TokenWithSpan]] = if self.names.is_empty() {
            &[&[]]
        } else {
            &self.names
        };
        for name in names {
            put(out, Token::make_keyword("FOR"));
            let verb = if self.is_update { "UPDATE" } else { "SHARE" };
            put(out, Token::make_keyword(verb));
            if self.is_key || !name.is_empty() {
                put(out, Token::make_keyword("OF"));
            }
            if self.is_key {
                put(
                    out,
                    Token::Word(Word {
                        value: KEY_MARK.to_owned(),
                        quote_style: Some('"'),
                        keyword: sqlparser::keywords::Keyword::NoKeyword,
                    }),
                );
                if !name.is_empty() {
                    put(out, Token::Period);
                }
            }
            out.extend_from_slice(name);
            out.extend_from_slice(self.wait);
        }
    }
}

/// Tokens of a name with its qualifiers.
fn name_length(tokens: &[TokenWithSpan]) -> usize {
    let is_name = |at: usize| {
        tokens
            .get(at)
            .is_some_and(|token| matches!(token.token, Token::Word(_)))
    };
    let mut length = 0;
    while is_name(length) {
        length += 1;
        let is_qualifier = tokens
            .get(length)
            .is_some_and(|token| token.token == Token::Period)
            && is_name(length + 1);
        if !is_qualifier {
            break;
        }
        length += 1;
    }
    length
}

fn is_word(token: &TokenWithSpan, wanted: &str) -> bool {
    matches!(&token.token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::{LockStrength, LockWait, RowLockClause, row_lock};
    use crate::statement::Statement;

    fn locks_of(sql: &str) -> Vec<RowLockClause> {
        let parsed = crate::parse(sql).expect(sql).remove(0);
        let Statement::Query(query) = parsed.statement else {
            panic!("{sql} is a query")
        };
        // What is printed is read again to the same: views and rewritten statements rely on it.
        let again = crate::parse(&query.to_string()).expect(sql).remove(0);
        let Statement::Query(again) = again.statement else {
            panic!("{sql} is a query")
        };
        assert_eq!(query.locks, again.locks, "{sql}");
        query.locks.iter().map(row_lock).collect()
    }

    fn clause(strength: LockStrength, of: Option<&str>, wait: LockWait) -> RowLockClause {
        RowLockClause {
            strength,
            of: of.map(str::to_owned),
            wait,
        }
    }

    #[test]
    fn every_strength_name_and_wait_is_read() {
        use LockStrength::{KeyShare, NoKeyUpdate, Share, Update};
        use LockWait::{Block, NoWait, SkipLocked};
        let check = |sql: &str, expected: &[RowLockClause]| {
            assert_eq!(
                locks_of(&format!("SELECT 1 FROM a, b {sql}")),
                expected,
                "{sql}"
            );
        };
        check("", &[]);
        check("FOR UPDATE", &[clause(Update, None, Block)]);
        check("for share nowait", &[clause(Share, None, NoWait)]);
        check("FOR NO KEY UPDATE", &[clause(NoKeyUpdate, None, Block)]);
        check(
            "FOR KEY SHARE SKIP LOCKED",
            &[clause(KeyShare, None, SkipLocked)],
        );
        check("FOR UPDATE OF A", &[clause(Update, Some("a"), Block)]);
        check(
            "FOR NO KEY UPDATE OF a, \"B\" NOWAIT FOR KEY SHARE OF b",
            &[
                clause(NoKeyUpdate, Some("a"), NoWait),
                clause(NoKeyUpdate, Some("B"), NoWait),
                clause(KeyShare, Some("b"), Block),
            ],
        );
    }

    #[test]
    fn the_clause_may_stand_before_limit() {
        for sql in [
            "SELECT 1 FROM a LIMIT 1 FOR UPDATE SKIP LOCKED",
            "SELECT 1 FROM a FOR UPDATE SKIP LOCKED LIMIT 1",
            "SELECT 1 FROM a FOR UPDATE SKIP LOCKED OFFSET 1",
            "SELECT 1 FROM a FOR UPDATE SKIP LOCKED FETCH FIRST 1 ROWS ONLY",
        ] {
            let expected = [clause(LockStrength::Update, None, LockWait::SkipLocked)];
            assert_eq!(locks_of(sql), expected, "{sql}");
        }
    }

    #[test]
    fn clauses_of_subqueries_are_read_too() {
        let sql = "UPDATE t SET a = 1 WHERE id = (SELECT id FROM t ORDER BY id \
                   FOR NO KEY UPDATE SKIP LOCKED LIMIT 1) AND b = 2";
        crate::parse(sql).expect("the clause may stand before LIMIT");
        crate::parse("SELECT 1 FROM a FOR KEY UPDATE").expect_err("there is no KEY UPDATE");
        crate::parse("SELECT 1 FROM a FOR UPDATE OF").expect_err("a name is missing");
    }
}
