//! What must not get into a log.

use std::fmt;

/// A value that never shows itself: `Debug` and `Display` print a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret.
    pub fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value itself, for the one place that needs it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Log fields with these words in their names are masked, whoever writes them.
const MASKED_WORDS: [&str; 7] = [
    "password",
    "secret",
    "token",
    "verifier",
    "authorization",
    "cookie",
    "private_key",
];

/// Whether the value of a log field of this name is masked.
pub(crate) fn is_masked(field: &str) -> bool {
    MASKED_WORDS.iter().any(|word| field.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret} {secret:?}"), "[secret] [secret]");
        assert_eq!(secret.reveal(), "hunter2");
        assert!(is_masked("admin_password") && is_masked("token") && !is_masked("path"));
    }
}
