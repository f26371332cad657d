//! LIKE: `%` any text, `_` one character, an escape character in front of either.

use tessera_types::{Report, codes};

/// Whether `text` matches `pattern`. Time is bounded by the product of both lengths: on a mismatch
/// only the last `%` is tried again, as earlier ones cannot help.
pub(crate) fn matches(text: &str, pattern: &str, escape: Option<char>) -> Result<bool, Report> {
    let mut rest_text = text.chars();
    let mut rest_pattern = pattern.chars();
    // Behind the last `%`: the pattern that follows, and the text from which it is tried.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let mut next_pattern = rest_pattern.clone();
        let step = next_pattern.next();
        let matched = match step {
            Some(c) if Some(c) == escape => {
                let Some(wanted) = next_pattern.next() else {
                    return Err(Report::error(
                        codes::INVALID_ESCAPE_SEQUENCE,
                        "LIKE pattern must not end with escape character",
                    ));
                };
                rest_text.clone().next() == Some(wanted)
            }
            Some('%') => {
                rest_pattern = next_pattern;
                retry = Some((rest_pattern.clone(), rest_text.clone()));
                continue;
            }
            Some('_') => rest_text.clone().next().is_some(),
            Some(wanted) => rest_text.clone().next() == Some(wanted),
            None if rest_text.as_str().is_empty() => return Ok(true),
            None => false,
        };
        if matched {
            rest_text.next();
            rest_pattern = next_pattern;
            continue;
        }
        let Some((pattern, text)) = &mut retry else {
            return Ok(false);
        };
        if text.next().is_none() {
            return Ok(false);
        }
        rest_pattern = pattern.clone();
        rest_text = text.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    fn check(text: &str, pattern: &str, expected: bool) {
        let matched = matches(text, pattern, Some('\\')).expect("a valid pattern");
        assert_eq!(matched, expected, "{text:?} LIKE {pattern:?}");
    }

    #[test]
    fn patterns_match_as_in_postgresql() {
        check("abc", "abc", true);
        check("abc", "a%", true);
        check("abc", "%c", true);
        check("abc", "_b_", true);
        check("abc", "_b", false);
        check("", "%", true);
        check("", "_", false);
        check("aXbXc", "a%X%c", true);
        check("mississippi", "%iss%ip%i", true);
        check("mississippi", "%iss%ix%", false);
        check("100%", "100\\%", true);
        check("100x", "100\\%", false);
        check("äö", "__", true);
        check("abab", "%ab", true);
        check("ab", "ab%%", true);
    }

    #[test]
    fn a_pattern_may_not_end_in_its_escape() {
        assert!(matches("a", "a\\", Some('\\')).is_err());
        assert!(matches("a\\", "a\\", None).expect("no escape"));
    }

    #[test]
    fn many_wildcards_do_not_explode() {
        let text = "a".repeat(2_000);
        let pattern = format!("{}b", "a%".repeat(200));
        assert!(!matches(&text, &pattern, Some('\\')).expect("a valid pattern"));
    }
}
