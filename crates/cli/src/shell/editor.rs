//! The line editor: history, highlighting, completion, statements over several lines.

use std::borrow::Cow;
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Helper, Hinter};

use crate::scan::{Open, Piece, Token, next_piece, tokens};

const HISTORY_LINES_MAX: usize = 10_000;

const KEYWORD: &str = "\x1b[1;34m";
const TEXT: &str = "\x1b[32m";
const NUMBER: &str = "\x1b[36m";
const COMMENT: &str = "\x1b[90m";
const PLAIN: &str = "\x1b[0m";

/// Words that are highlighted and offered, in alphabetical order.
const KEYWORDS: &[&str] = &[
    "add",
    "all",
    "alter",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "begin",
    "between",
    "bigint",
    "boolean",
    "by",
    "bytea",
    "cascade",
    "case",
    "cast",
    "char",
    "check",
    "coalesce",
    "column",
    "commit",
    "conflict",
    "constraint",
    "copy",
    "create",
    "cross",
    "csv",
    "current_date",
    "current_timestamp",
    "date",
    "deallocate",
    "default",
    "delete",
    "desc",
    "distinct",
    "do",
    "double",
    "drop",
    "else",
    "end",
    "except",
    "execute",
    "exists",
    "explain",
    "extract",
    "false",
    "fetch",
    "filter",
    "first",
    "for",
    "foreign",
    "from",
    "full",
    "generated",
    "group",
    "grouping",
    "having",
    "header",
    "identity",
    "if",
    "ilike",
    "in",
    "index",
    "inner",
    "insert",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isolation",
    "join",
    "json",
    "jsonb",
    "key",
    "last",
    "lateral",
    "left",
    "level",
    "like",
    "limit",
    "lock",
    "not",
    "nothing",
    "null",
    "nulls",
    "numeric",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "password",
    "precision",
    "prepare",
    "primary",
    "read",
    "recursive",
    "references",
    "release",
    "repeatable",
    "reset",
    "restrict",
    "returning",
    "right",
    "rollback",
    "row",
    "rows",
    "savepoint",
    "schema",
    "select",
    "sequence",
    "set",
    "share",
    "show",
    "smallint",
    "start",
    "table",
    "text",
    "then",
    "time",
    "timestamp",
    "timestamptz",
    "to",
    "transaction",
    "true",
    "truncate",
    "union",
    "unique",
    "update",
    "user",
    "using",
    "uuid",
    "values",
    "varchar",
    "view",
    "when",
    "where",
    "with",
];

/// What the user did.
pub(super) enum Input {
    /// Typed this.
    Text(String),
    /// Pressed Ctrl-C.
    Interrupted,
    /// Pressed Ctrl-D.
    End,
}

/// The editor with its history file.
pub(super) struct Editor {
    editor: rustyline::Editor<SqlHelper, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    pub(super) fn new() -> Result<Editor, String> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(|error| error.to_string())?
            .auto_add_history(false)
            .build();
        let mut editor =
            rustyline::Editor::with_config(config).map_err(|error| error.to_string())?;
        editor.set_helper(Some(SqlHelper { names: Vec::new() }));
        let history = std::env::var_os("TESSERA_HISTORY")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".tessera_history")));
        if let Some(file) = &history {
            // At the first start there is none.
            let _ = editor.load_history(file);
        }
        Ok(Editor { editor, history })
    }

    /// Names that completion offers beside the keywords.
    pub(super) fn learn(&mut self, names: &[String]) {
        if let Some(helper) = self.editor.helper_mut() {
            helper.names = names.to_vec();
        }
    }

    pub(super) fn read(&mut self, prompt: &str) -> Result<Input, String> {
        match self.editor.readline(prompt) {
            Ok(text) => {
                self.remember(&text);
                Ok(Input::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Input::Interrupted),
            Err(ReadlineError::Eof) => Ok(Input::End),
            Err(error) => Err(error.to_string()),
        }
    }

    fn remember(&mut self, text: &str) {
        // Passwords stay out of the file.
        if text.trim().is_empty() || text.to_ascii_lowercase().contains("password") {
            return;
        }
        // A history that cannot be written is no reason to disturb the user.
        let _ = self.editor.add_history_entry(text.trim_end());
        if let Some(file) = &self.history {
            let _ = self.editor.save_history(file);
        }
    }
}

#[derive(Helper, Hinter)]
struct SqlHelper {
    names: Vec<String>,
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let mut rest = context.input();
        loop {
            match next_piece(rest) {
                Piece::Statement { next, .. } => rest = &rest[next..],
                Piece::Command { .. } | Piece::Incomplete(Open::Nothing) => {
                    return Ok(ValidationResult::Valid(None));
                }
                Piece::Incomplete(_) => return Ok(ValidationResult::Incomplete),
            }
        }
    }
}

impl Highlighter for SqlHelper {
    fn highlight<'l>(&self, line: &'l str, _position: usize) -> Cow<'l, str> {
        if line.starts_with('\\') {
            return Cow::Borrowed(line);
        }
        let mut text = String::with_capacity(line.len() * 2);
        for (token, word) in tokens(line) {
            let colour = match token {
                Token::Word if is_keyword(word) => KEYWORD,
                Token::Text => TEXT,
                Token::Number => NUMBER,
                Token::Comment => COMMENT,
                _ => {
                    text.push_str(word);
                    continue;
                }
            };
            text.push_str(colour);
            text.push_str(word);
            text.push_str(PLAIN);
        }
        Cow::Owned(text)
    }

    fn highlight_char(&self, _line: &str, _position: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&self.names, &line[..position]))
    }
}

/// Start of the word before the cursor, and what it may become: names first, then keywords in the
/// case that was begun.
fn complete(names: &[String], line: &str) -> (usize, Vec<String>) {
    let start = line
        .rfind(|character: char| !(character.is_alphanumeric() || character == '_'))
        .map_or(0, |at| {
            at + line[at..].chars().next().map_or(1, char::len_utf8)
        });
    let word = &line[start..];
    if word.is_empty() {
        return (start, Vec::new());
    }
    let small = word.to_lowercase();
    let upper = word.chars().all(|character| !character.is_lowercase());
    let keywords = KEYWORDS
        .iter()
        .filter(|keyword| keyword.starts_with(&small));
    let mut found: Vec<String> = names
        .iter()
        .filter(|name| name.starts_with(&small))
        .map(|name| quoted(name))
        .collect();
    found.extend(keywords.map(|keyword| {
        if upper {
            keyword.to_uppercase()
        } else {
            (*keyword).to_owned()
        }
    }));
    (start, found)
}

/// A name as SQL needs it written.
fn quoted(name: &str) -> String {
    let plain = name.chars().all(|character| {
        character.is_lowercase() || character.is_ascii_digit() || character == '_'
    });
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS
        .binary_search(&word.to_ascii_lowercase().as_str())
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::{KEYWORDS, complete};

    #[test]
    fn keywords_are_sorted_so_that_they_are_found() {
        assert!(KEYWORDS.is_sorted());
    }

    #[test]
    fn completion_offers_names_before_keywords_in_the_case_that_was_begun() {
        let names = [
            "flights".to_owned(),
            "for_sale".to_owned(),
            "Odd".to_owned(),
        ];
        assert_eq!(
            complete(&names, "SELECT * FR"),
            (9, vec!["FROM".to_owned()])
        );
        assert_eq!(
            complete(&names, "select * from fl"),
            (14, vec!["flights".to_owned()])
        );
        let (start, found) = complete(&names, "fo");
        assert_eq!((start, found[0].as_str()), (0, "for_sale"));
        assert_eq!(complete(&names, "select "), (7, vec![]));
    }
}
