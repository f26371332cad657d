//! Errors as text: psql's form, with the place in the statement marked.

use crate::client::ClientError;
use crate::client::message::ServerError;

/// Longest part of a line that is shown around the marked place, in characters.
const EXCERPT_MAX: usize = 70;

/// An error of a statement; `sql` is what was sent.
pub(super) fn statement(error: &ServerError, sql: &str, place: Option<&(String, usize)>) -> String {
    let mut text = match place {
        Some((file, line)) => format!("{file}:{line}: "),
        None => String::new(),
    };
    let all = error.to_string();
    let (first, rest) = all
        .split_once('\n')
        .map_or((all.as_str(), None), |(a, b)| (a, Some(b)));
    text.push_str(first);
    if let Some(mark) = error.position.and_then(|position| marked(sql, position)) {
        text.push('\n');
        text.push_str(&mark);
    }
    if let Some(rest) = rest {
        text.push('\n');
        text.push_str(rest);
    }
    text
}

/// Everything that is known about an error, for `\errverbose`.
pub(super) fn verbose(error: &ServerError, sql: &str) -> String {
    let mut text = statement(error, sql, None).replacen(":  ", &format!(":  {}: ", error.code), 1);
    for (name, value) in &error.objects {
        text.push_str(&format!("\n{name}:  {value}"));
    }
    text
}

/// A connection's error with its causes.
pub(super) fn connection(error: &ClientError) -> String {
    let mut text = format!("tessera sql: {error}");
    if let Some(cause) = std::error::Error::source(error) {
        text.push_str(&format!(": {cause}"));
    }
    text
}

/// The line of the statement with the character at `position` (from 1), and a caret below it.
fn marked(sql: &str, position: usize) -> Option<String> {
    let at = position.checked_sub(1)?;
    let mut before = 0;
    for (number, line) in sql.split('\n').enumerate() {
        let length = line.chars().count();
        if at > before + length {
            before += length + 1;
            continue;
        }
        let column = at - before;
        let from = column.saturating_sub(EXCERPT_MAX / 2);
        let dots = if from > 0 { "..." } else { "" };
        let excerpt: String = line.chars().skip(from).take(EXCERPT_MAX).collect();
        let more = if length > from + EXCERPT_MAX {
            "..."
        } else {
            ""
        };
        let head = format!("LINE {}: {dots}", number + 1);
        let indent = head.chars().count() + column - from;
        let excerpt = excerpt.replace('\t', " ");
        return Some(format!("{head}{excerpt}{more}\n{:indent$}^", ""));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{marked, statement};
    use crate::client::message::ServerError;

    fn check(sql: &str, position: usize, expected: Option<&str>) {
        assert_eq!(marked(sql, position).as_deref(), expected);
    }

    #[test]
    fn the_caret_stands_below_the_character() {
        check("selec 1", 1, Some("LINE 1: selec 1\n        ^"));
        check(
            "select\n  ünï, x",
            15,
            Some("LINE 2:   ünï, x\n               ^"),
        );
        check("select", 7, Some("LINE 1: select\n              ^"));
        check("select", 99, None);
        check("select", 0, None);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let sql = format!("select {} oops", "a, ".repeat(100));
        let text = marked(&sql, sql.len() - 3).unwrap();
        let (line, caret) = text.split_once('\n').unwrap();
        assert!(line.len() < 100, "{line}");
        assert!(line[caret.len() - 1..].starts_with("oops"), "{text}");
    }

    #[test]
    fn detail_and_hint_follow_the_mark() {
        let error = ServerError {
            severity: "ERROR".into(),
            message: "no".into(),
            hint: Some("try".into()),
            position: Some(1),
            ..ServerError::default()
        };
        let place = ("a.sql".to_owned(), 3);
        assert_eq!(
            statement(&error, "x", Some(&place)),
            "a.sql:3: ERROR:  no\nLINE 1: x\n        ^\nHINT:  try"
        );
    }
}
