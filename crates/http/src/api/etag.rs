//! Entity tags (RFC 9110, section 8.8.3) and the conditions that name them (section 13.1).

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tessera_engine::keyvalue::SetCondition;

use crate::problem::Problem;
use crate::router::single;

/// Tags in one condition.
const TAGS_MAX: usize = 64;
/// Bytes of a hash in the tag of a key's value.
const HASH_BYTES: usize = 18;

/// What a request asks of the state of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) if_match: Option<Tags>,
    pub(super) if_none_match: Option<Tags>,
}

/// The tags of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    /// `*`: whatever there is.
    Any,
    /// One of these; without quotes.
    These(Vec<String>),
}

impl Tags {
    fn parse(text: &str) -> Option<Tags> {
        if text.trim() == "*" {
            return Some(Tags::Any);
        }
        let tags: Option<Vec<String>> = text
            .split(',')
            .take(TAGS_MAX + 1)
            .map(|part| {
                // Tags here never have a comma, and weak ones name the same state.
                let part = part.trim();
                let part = part.strip_prefix("W/").unwrap_or(part);
                let tag = part.strip_prefix('"')?.strip_suffix('"')?;
                (!tag.contains('"')).then(|| tag.to_owned())
            })
            .collect();
        let tags = tags?;
        (tags.len() <= TAGS_MAX).then_some(Tags::These(tags))
    }

    /// Whether the condition names this state; `None` is nothing there.
    fn names(&self, tag: Option<&str>) -> bool {
        match (self, tag) {
            (_, None) => false,
            (Tags::Any, Some(_)) => true,
            (Tags::These(tags), Some(tag)) => tags.iter().any(|known| known == tag),
        }
    }
}

impl Conditions {
    pub(super) fn of(headers: &HeaderMap) -> Result<Conditions, Problem> {
        let tags = |name| match single(headers, &name)? {
            None => Ok(None),
            Some(text) => match Tags::parse(text) {
                Some(tags) => Ok(Some(tags)),
                None => Err(Problem::bad_request(format!(
                    "{name} is * or a list of quoted tags"
                ))),
            },
        };
        Ok(Conditions {
            if_match: tags(header::IF_MATCH)?,
            if_none_match: tags(header::IF_NONE_MATCH)?,
        })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// What the conditions ask for where there are no tags; none if they name some.
    pub(super) fn presence(&self) -> Option<SetCondition> {
        match (&self.if_match, &self.if_none_match) {
            (None, None) => Some(SetCondition::Always),
            (Some(Tags::Any), None) => Some(SetCondition::IfPresent),
            (None, Some(Tags::Any)) => Some(SetCondition::IfAbsent),
            _ => None,
        }
    }

    /// Whether a write may go on from this state.
    pub(super) fn allow_write(&self, tag: Option<&str>) -> bool {
        self.if_match.as_ref().is_none_or(|tags| tags.names(tag)) && !self.is_known(tag)
    }

    /// Whether the client has this state already.
    pub(super) fn is_known(&self, tag: Option<&str>) -> bool {
        self.if_none_match
            .as_ref()
            .is_some_and(|tags| tags.names(tag))
    }
}

/// The tag of a key's value: it changes with the bytes.
pub(super) fn tag_of(value: &[u8]) -> String {
    let hash = Sha256::digest(value);
    URL_SAFE_NO_PAD.encode(&hash[..HASH_BYTES])
}

/// The header's value.
pub(super) fn quoted(tag: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
mod tests {
    use super::*;

    fn conditions(name: header::HeaderName, text: &str) -> Result<Conditions, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(text).unwrap());
        Conditions::of(&headers)
    }

    #[test]
    fn if_match_wants_the_state_and_if_none_match_another_one() {
        for (text, state, expected) in [
            ("*", Some("a"), true),
            ("*", None, false),
            ("\"a\"", Some("a"), true),
            ("\"b\", W/\"a\"", Some("a"), true),
            ("\"b\"", Some("a"), false),
            ("\"a\"", None, false),
        ] {
            let wanted = conditions(header::IF_MATCH, text).unwrap();
            assert_eq!(wanted.allow_write(state), expected, "{text} {state:?}");
            let other = conditions(header::IF_NONE_MATCH, text).unwrap();
            assert_eq!(other.allow_write(state), !expected, "{text} {state:?}");
        }
        for wrong in ["a", "\"a", "\"a\" \"b\"", ""] {
            assert!(conditions(header::IF_MATCH, wrong).is_err(), "{wrong}");
        }
    }
}
