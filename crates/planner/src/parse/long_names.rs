//! Names longer than PostgreSQL keeps: cut to 63 bytes, with a notice.

use sqlparser::tokenizer::{Token, TokenWithSpan};
use tessera_types::{Report, codes};

use crate::bind::names::cut_length;

/// The tokens with every name cut, or `None` when all are short enough; and a notice (42622) for
/// each name that was cut.
pub(super) fn cut(tokens: &[TokenWithSpan]) -> (Option<Vec<TokenWithSpan>>, Vec<Report>) {
    let mut cut: Option<Vec<TokenWithSpan>> = None;
    let mut notices = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = &token.token else {
            continue;
        };
        let Some(length) = cut_length(&word.value) else {
            continue;
        };
        let mut short = word.clone();
        short.value.truncate(length);
        let mut notice = Report::notice(format!(
            "identifier \"{}\" will be truncated to \"{}\"",
            word.value, short.value
        ));
        notice.code = codes::NAME_TOO_LONG;
        notices.push(notice);
        let tokens = cut.get_or_insert_with(|| tokens.to_vec());
        tokens[at].token = Token::Word(short);
    }
    (cut, notices)
}

#[cfg(test)]
mod tests {
    use tessera_types::codes;

    #[test]
    fn names_of_any_kind_are_cut_at_a_character_with_a_notice() {
        let long = "é".repeat(5_000);
        let parsed = crate::parse(&format!(
            "SELECT 1 AS short; SELECT {long}.x AS \"{long}\", '{long}' FROM t"
        ))
        .unwrap();
        assert!(parsed[0].notices.is_empty());
        let notices = &parsed[1].notices;
        assert_eq!(notices.len(), 2);
        assert_eq!(notices[0].code, codes::NAME_TOO_LONG);
        let kept = "é".repeat(31);
        let end = format!("will be truncated to \"{kept}\"");
        assert!(notices[1].message.ends_with(&end), "{}", notices[1].message);
        let crate::Statement::Query(query) = &parsed[1].statement else {
            panic!("a query");
        };
        let text = query.to_string();
        assert!(text.contains(&format!("SELECT {kept}.x AS \"{kept}\", '{long}'")));
    }
}
