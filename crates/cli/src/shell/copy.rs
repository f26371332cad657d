//! `\copy`, decoded: the server's COPY with a file on this side.

/// A decoded `\copy`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// What the server runs.
    pub(super) sql: String,
    /// The file on this side; `None` for standard input or output.
    pub(super) file: Option<String>,
    /// Direction.
    pub(super) from: bool,
}

/// Decodes what follows `\copy`: `table|(query) from|to 'file'|stdin|stdout|pstdin [options]`.
pub(super) fn parse(text: &str) -> Result<Copy, String> {
    let (source, rest) = take_source(text.trim())?;
    let (direction, rest) = take_word(rest);
    let from = match direction.to_ascii_lowercase().as_str() {
        "from" => true,
        "to" => false,
        other => return Err(format!("\\copy: expected FROM or TO, found \"{other}\"")),
    };
    let rest = rest.trim_start();
    let (file, options) = match rest.strip_prefix('\'') {
        Some(quoted) => take_quoted(quoted)?,
        None => {
            let (word, options) = take_word(rest);
            (word.to_owned(), options)
        }
    };
    let standard = ["stdin", "stdout", "pstdin", "pstdout"];
    let is_file = rest.starts_with('\'') || !standard.contains(&file.to_ascii_lowercase().as_str());
    if file.is_empty() {
        return Err("\\copy: a file name is missing".to_owned());
    }
    let target = if from { "FROM STDIN" } else { "TO STDOUT" };
    let options = options.trim();
    let space = if options.is_empty() { "" } else { " " };
    Ok(Copy {
        sql: format!("COPY {source} {target}{space}{options}"),
        file: is_file.then_some(file),
        from,
    })
}

/// A table with an optional column list, or a query in parentheses.
fn take_source(text: &str) -> Result<(String, &str), String> {
    let mut depth = 0_usize;
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 && character.is_whitespace() => {
                let rest = text[at..].trim_start();
                // A column list may stand apart from its table.
                if !rest.starts_with('(') {
                    return Ok((text[..at].to_owned(), rest));
                }
            }
            _ => {}
        }
    }
    Err("\\copy: FROM or TO is missing".to_owned())
}

fn take_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// Up to the closing quote; a doubled quote is one.
fn take_quoted(text: &str) -> Result<(String, &str), String> {
    let mut name = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character != '\'' {
            name.push(character);
        } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
            name.push('\'');
        } else {
            return Ok((name, &text[at + 1..]));
        }
    }
    Err("\\copy: the file name has no closing quote".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Copy, parse};

    fn check(text: &str, sql: &str, file: Option<&str>, from: bool) {
        let expected = Copy {
            sql: sql.to_owned(),
            file: file.map(str::to_owned),
            from,
        };
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn the_file_stays_here_and_the_rest_goes_to_the_server() {
        check(
            "t from 'a b.csv' with (format csv)",
            "COPY t FROM STDIN with (format csv)",
            Some("a b.csv"),
            true,
        );
        check(
            "t (a, b) from x.txt",
            "COPY t (a, b) FROM STDIN",
            Some("x.txt"),
            true,
        );
        check(
            "t(a,b) FROM stdin csv",
            "COPY t(a,b) FROM STDIN csv",
            None,
            true,
        );
        check(
            "(select ')' from t where a = 1) to 'it''s.csv' csv header",
            "COPY (select ')' from t where a = 1) TO STDOUT csv header",
            Some("it's.csv"),
            false,
        );
        check(
            "\"My Table\" to 'stdout'",
            "COPY \"My Table\" TO STDOUT",
            Some("stdout"),
            false,
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        for text in ["", "t", "t from", "t into 'x'", "t from 'x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
