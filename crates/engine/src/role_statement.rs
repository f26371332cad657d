//! CREATE, ALTER and DROP of users and roles, read here so that a password is turned into its
//! verifier before anything else sees it.

use tessera_types::{Report, codes};

use crate::lexer::{Token, TokenKind, tokens};

/// A statement about roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoleStatement {
    /// CREATE USER, ROLE or GROUP.
    Create(RoleChange),
    /// ALTER USER or ROLE.
    Alter(RoleChange),
    /// ALTER … RENAME TO.
    Rename {
        /// Present name.
        from: String,
        /// New name.
        to: String,
    },
    /// DROP USER, ROLE or GROUP.
    Drop {
        /// Names.
        names: Vec<String>,
        /// Do nothing for those that do not exist.
        if_exists: bool,
    },
}

/// What CREATE and ALTER say; `None` = not said.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct RoleChange {
    /// Name.
    pub(crate) name: String,
    /// LOGIN or NOLOGIN.
    pub(crate) login: Option<bool>,
    /// SUPERUSER or NOSUPERUSER.
    pub(crate) admin: Option<bool>,
    /// PASSWORD; `Some(None)` for PASSWORD NULL.
    pub(crate) password: Option<Option<String>>,
}

impl std::fmt::Debug for RoleChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The password stays out of logs.
        f.debug_struct("RoleChange")
            .field("name", &self.name)
            .field("login", &self.login)
            .field("admin", &self.admin)
            .field("password", &self.password.as_ref().map(|p| p.is_some()))
            .finish()
    }
}

impl RoleStatement {
    /// The command tag.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            RoleStatement::Create(_) => "CREATE ROLE",
            RoleStatement::Alter(_) | RoleStatement::Rename { .. } => "ALTER ROLE",
            RoleStatement::Drop { .. } => "DROP ROLE",
        }
    }
}

/// Whether a text may contain a statement about roles; cheap, and may say yes too often.
pub(crate) fn may_contain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins = |at: usize, word: &[u8]| {
        bytes
            .get(at..at + word.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    (0..bytes.len()).any(|at| {
        matches!(bytes[at] | 0x20, b'c' | b'a' | b'd')
            && (begins(at, b"create") || begins(at, b"alter") || begins(at, b"drop"))
    })
}

/// Reads one statement; `None` when it is about something else.
pub(crate) fn parse(text: &str) -> Option<Result<RoleStatement, Report>> {
    let mut scanned = tokens(text);
    let verb = scanned.next()?;
    let noun = scanned.next()?;
    let is = |token: &Token<'_>, word: &str| {
        token.kind == TokenKind::Word && token.text.eq_ignore_ascii_case(word)
    };
    if !(is(&noun, "user") || is(&noun, "role") || is(&noun, "group")) {
        return None;
    }
    let login = is(&noun, "user");
    let mut rest = Reader {
        text,
        tokens: scanned.collect(),
        at: 0,
    };
    if is(&verb, "create") {
        Some(rest.create(login))
    } else if is(&verb, "alter") {
        Some(rest.alter())
    } else if is(&verb, "drop") {
        Some(rest.drop())
    } else {
        None
    }
}

/// Cuts a text at its semicolons; each part with the byte offset of its begin.
pub(crate) fn split(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let mut start = None;
    let mut end = 0;
    for token in tokens(text) {
        if token.kind == TokenKind::Semicolon {
            if let Some(start) = start.take() {
                parts.push((start, &text[start..end]));
            }
        } else {
            start.get_or_insert(token.start);
            end = token.start + token.text.len();
        }
    }
    if let Some(start) = start {
        parts.push((start, &text[start..end]));
    }
    parts
}

struct Reader<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn create(&mut self, login: bool) -> Result<RoleStatement, Report> {
        let mut change = RoleChange {
            name: self.name()?,
            login: Some(login),
            ..RoleChange::default()
        };
        self.options(&mut change)?;
        Ok(RoleStatement::Create(change))
    }

    fn alter(&mut self) -> Result<RoleStatement, Report> {
        let name = self.name()?;
        if self.word("rename") {
            if !self.word("to") {
                return Err(self.syntax_error());
            }
            let to = self.name()?;
            self.end()?;
            return Ok(RoleStatement::Rename { from: name, to });
        }
        if self.peek_word("set") || self.peek_word("reset") || self.peek_word("in") {
            return Err(Report::unsupported("settings of a role are not supported")
                .with_hint("Use SET in the session, or the server's configuration."));
        }
        let mut change = RoleChange {
            name,
            ..RoleChange::default()
        };
        self.options(&mut change)?;
        Ok(RoleStatement::Alter(change))
    }

    fn drop(&mut self) -> Result<RoleStatement, Report> {
        let if_exists = self.word("if");
        if if_exists && !self.word("exists") {
            return Err(self.syntax_error());
        }
        let mut names = vec![self.name()?];
        while self.symbol(",") {
            names.push(self.name()?);
        }
        self.end()?;
        Ok(RoleStatement::Drop { names, if_exists })
    }

    fn options(&mut self, change: &mut RoleChange) -> Result<(), Report> {
        self.word("with");
        while self.at < self.tokens.len() {
            if self.word("login") {
                change.login = Some(true);
            } else if self.word("nologin") {
                change.login = Some(false);
            } else if self.word("superuser") {
                change.admin = Some(true);
            } else if self.word("nosuperuser") {
                change.admin = Some(false);
            } else if self.word("encrypted") {
                if !self.peek_word("password") {
                    return Err(self.syntax_error());
                }
            } else if self.word("password") {
                change.password = Some(self.password()?);
            } else if [
                "nocreatedb",
                "nocreaterole",
                "noreplication",
                "nobypassrls",
                "inherit",
            ]
            .iter()
            .any(|word| self.word(word))
            {
                // What every role here is like.
            } else {
                return Err(
                    match self.tokens[self.at].text.to_ascii_uppercase().as_str() {
                        option @ ("CREATEDB" | "CREATEROLE" | "REPLICATION" | "BYPASSRLS"
                        | "NOINHERIT" | "CONNECTION" | "VALID" | "IN" | "ROLE"
                        | "ADMIN" | "USER" | "SYSID") => {
                            Report::unsupported(format!("role option {option} is not supported"))
                        }
                        _ => self.syntax_error(),
                    },
                );
            }
        }
        Ok(())
    }

    fn password(&mut self) -> Result<Option<String>, Report> {
        if self.word("null") {
            return Ok(None);
        }
        let Some(token) = self.tokens.get(self.at) else {
            return Err(self.syntax_error());
        };
        if token.kind != TokenKind::String {
            return Err(self.syntax_error());
        }
        self.at += 1;
        Ok(Some(token.text[1..token.text.len() - 1].replace("''", "'")))
    }

    fn name(&mut self) -> Result<String, Report> {
        let Some(token) = self.tokens.get(self.at) else {
            return Err(self.syntax_error());
        };
        let name = match token.kind {
            TokenKind::Word => token.text.to_lowercase(),
            TokenKind::QuotedName => token.text[1..token.text.len() - 1].replace("\"\"", "\""),
            _ => return Err(self.syntax_error()),
        };
        if name.is_empty() {
            return Err(Report::error(
                codes::SYNTAX_ERROR,
                "zero-length delimited identifier",
            ));
        }
        self.at += 1;
        Ok(name)
    }

    fn peek_word(&self, word: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|token| {
            token.kind == TokenKind::Word && token.text.eq_ignore_ascii_case(word)
        })
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        self.at += usize::from(found);
        found
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let found = self
            .tokens
            .get(self.at)
            .is_some_and(|token| token.text == symbol);
        self.at += usize::from(found);
        found
    }

    fn end(&self) -> Result<(), Report> {
        if self.at == self.tokens.len() {
            Ok(())
        } else {
            Err(self.syntax_error())
        }
    }

    fn syntax_error(&self) -> Report {
        match self.tokens.get(self.at) {
            // A password must not get into an error message, so strings are not shown.
            Some(token) if matches!(token.kind, TokenKind::Word | TokenKind::Symbol) => {
                let position = self.text[..token.start].chars().count() + 1;
                Report::error(
                    codes::SYNTAX_ERROR,
                    format!("syntax error at or near \"{}\"", token.text),
                )
                .at(u32::try_from(position).unwrap_or(u32::MAX))
            }
            Some(_) => Report::error(
                codes::SYNTAX_ERROR,
                "syntax error in a statement about roles",
            ),
            None => Report::error(codes::SYNTAX_ERROR, "syntax error at end of input"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match parse(text) {
            None => "other".to_owned(),
            Some(Ok(statement)) => format!("{statement:?}"),
            Some(Err(report)) => format!("{} {}", report.code, report.message),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn statements_about_roles_are_read() {
        check("CREATE TABLE user (a int)", "other");
        check(
            "create user Bob with password 'a''b' superuser",
            "Create(RoleChange { name: \"bob\", login: Some(true), admin: Some(true), password: Some(true) })",
        );
        check(
            "CREATE ROLE \"The Boss\" NOLOGIN",
            "Create(RoleChange { name: \"The Boss\", login: Some(false), admin: None, password: None })",
        );
        check(
            "ALTER ROLE bob PASSWORD NULL",
            "Alter(RoleChange { name: \"bob\", login: None, admin: None, password: Some(false) })",
        );
        check(
            "ALTER USER bob RENAME TO tom",
            "Rename { from: \"bob\", to: \"tom\" }",
        );
        check(
            "drop user if exists a, b",
            "Drop { names: [\"a\", \"b\"], if_exists: true }",
        );
        check(
            "CREATE USER bob VALID UNTIL 'x'",
            "0A000 role option VALID is not supported",
        );
        check("CREATE USER", "42601 syntax error at end of input");
        check(
            "CREATE USER a PASSWORD secret",
            "42601 syntax error at or near \"secret\"",
        );
        check(
            "CREATE USER a 'secret'",
            "42601 syntax error in a statement about roles",
        );
    }

    #[test]
    fn a_password_is_read_as_it_was_written() {
        let Some(Ok(RoleStatement::Create(change))) =
            parse("CREATE USER a PASSWORD 'it''s; \"x\"'")
        else {
            panic!("a CREATE statement");
        };
        assert_eq!(change.password, Some(Some("it's; \"x\"".to_owned())));
    }

    #[test]
    fn texts_are_cut_at_their_own_semicolons() {
        assert_eq!(
            split("a;;b ';' ; -- c;\n d"),
            [(0, "a"), (3, "b ';'"), (18, "d")]
        );
        assert!(may_contain("select 1; Alter user x") && !may_contain("select 1"));
    }
}
