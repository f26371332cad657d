//! Patterns of KEYS and SCAN: `*`, `?`, `[abc]`, `[a-c]`, `[^a]`, and `\` before a byte that stands
//! for itself. As `stringmatchlen` in Redis.

/// Whether all of `text` matches the pattern. Takes at most the product of both lengths.
pub fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last star, with one byte more given to it.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        let step = match (p < pattern.len(), text.get(t)) {
            (false, None) => return true,
            (true, Some(byte)) => match_one(&pattern[p..], *byte),
            _ => None,
        };
        match (step, retry) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            (None, Some((star, from))) if from < text.len() => {
                retry = Some((star, from + 1));
                p = star;
                t = from + 1;
            }
            (None, _) => return false,
        }
    }
}

/// Length of the pattern's first element if it matches the byte.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', class @ ..] => match_class(class, byte).map(|length| length + 1),
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

/// Length of the class, its closing bracket included, if it matches. A class without an end goes to
/// the end of the pattern.
fn match_class(class: &[u8], byte: u8) -> Option<usize> {
    let is_negated = class.first() == Some(&b'^');
    let mut at = usize::from(is_negated);
    let mut is_in = false;
    loop {
        match &class[at.min(class.len())..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                is_in |= *literal == byte;
                at += 2;
            }
            [first, b'-', last, ..] => {
                let (low, high) = (first.min(last), first.max(last));
                is_in |= (low..=high).contains(&&byte);
                at += 3;
            }
            [literal, ..] => {
                is_in |= *literal == byte;
                at += 1;
            }
        }
    }
    (is_in != is_negated).then_some(at)
}

/// The bytes that everything that matches begins with.
pub(crate) fn literal_prefix(pattern: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::new();
    let mut rest = pattern;
    loop {
        rest = match rest {
            [] | [b'*' | b'?' | b'[', ..] => return prefix,
            [b'\\', literal, tail @ ..] => {
                prefix.push(*literal);
                tail
            }
            [literal, tail @ ..] => {
                prefix.push(*literal);
                tail
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        let found = glob_matches(pattern.as_bytes(), text.as_bytes());
        assert_eq!(found, expected, "{pattern} {text}");
    }

    #[test]
    fn patterns_match_as_in_redis() {
        check("h?llo", "hello", true);
        check("h?llo", "hllo", false);
        check("h*llo", "heeeello", true);
        check("h*llo", "hllo", true);
        check("h[ae]llo", "hallo", true);
        check("h[ae]llo", "hillo", false);
        check("h[^e]llo", "hello", false);
        check("h[a-b]llo", "hbllo", true);
        check("h[b-a]llo", "hallo", true);
        check("a\\*", "a*", true);
        check("a\\*", "ab", false);
        check("*", "", true);
        check("**a**", "xxaxx", true);
        check("a*b*c", "a1b2b3c", true);
        check("a*b*c", "a1b2b3", false);
        check("", "", true);
        check("", "a", false);
        check("[a", "a", true);
        check("a[]", "a", false);
        check("[\\]]", "]", true);
    }

    #[test]
    fn the_literal_prefix_ends_before_the_first_choice() {
        assert_eq!(literal_prefix(b"user:\\*:[1]"), b"user:*:");
        assert_eq!(literal_prefix(b"*x"), b"");
        assert_eq!(literal_prefix(b"whole"), b"whole");
    }
}
