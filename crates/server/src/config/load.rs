//! Reads the sources and remembers where each value comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::table::{SETTINGS, Setting};

/// Variables with our prefix that are not settings.
const OTHER_VARIABLES: [&str; 3] = [
    "TESSERA_CONFIG",
    "TESSERA_ADMIN_PASSWORD",
    "TESSERA_ADMIN_PASSWORD_FILE",
];
const PREFIX: &str = "TESSERA_";

/// Where a value comes from, in rising precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {message}{}", hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default())]
pub(crate) struct ConfigError {
    pub(crate) origin: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl ConfigError {
    pub(crate) fn new(origin: impl fmt::Display, message: impl Into<String>) -> ConfigError {
        ConfigError {
            origin: origin.to_string(),
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> ConfigError {
        self.hint = Some(hint.into());
        self
    }
}

/// What the caller gathered.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Path and content of the configuration file.
    pub(crate) file: Option<(PathBuf, String)>,
    pub(crate) variables: Vec<(String, String)>,
    /// Keys (not flag names) and values.
    pub(crate) flags: Vec<(&'static str, String)>,
}

/// A setting with its text.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) setting: &'static Setting,
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// All settings, each with the text of its strongest source.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) entries: Vec<Entry>,
    /// Not wrong, but probably not meant.
    pub(crate) warnings: Vec<String>,
}

impl Resolved {
    fn set(&mut self, key: &str, text: String, origin: Origin) {
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.setting.key == key);
        if let Some(entry) = entry {
            entry.text = text;
            entry.origin = origin;
        }
    }

    pub(crate) fn entry(&self, key: &str) -> &Entry {
        let entry = self.entries.iter().find(|entry| entry.setting.key == key);
        entry.expect("every key that the program asks for is in the table")
    }
}

/// Lays the sources over the defaults.
pub(crate) fn resolve(sources: &Sources) -> Result<Resolved, Vec<ConfigError>> {
    let entry = |setting: &'static Setting| Entry {
        setting,
        text: setting.default.to_owned(),
        origin: Origin::Default,
    };
    let mut resolved = Resolved {
        entries: SETTINGS.iter().map(entry).collect(),
        warnings: Vec::new(),
    };
    let mut errors = Vec::new();
    if let Some((path, text)) = &sources.file {
        read_file(path, text, &mut resolved, &mut errors);
    }
    for (name, text) in &sources.variables {
        let setting = SETTINGS.iter().find(|setting| setting.variable() == *name);
        match setting {
            Some(setting) => {
                resolved.set(setting.key, text.clone(), Origin::Variable(name.clone()));
            }
            // Other programs may have variables with this prefix: no reason not to start.
            None if name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(&name.as_str()) => {
                resolved
                    .warnings
                    .push(format!("environment variable {name} is not a setting"));
            }
            None => {}
        }
    }
    for (key, text) in &sources.flags {
        let flag = key.replace('_', "-");
        resolved.set(key, text.clone(), Origin::Flag(flag));
    }
    if errors.is_empty() {
        Ok(resolved)
    } else {
        Err(errors)
    }
}

fn read_file(path: &Path, text: &str, resolved: &mut Resolved, errors: &mut Vec<ConfigError>) {
    let at = |offset: usize| Origin::File {
        path: path.to_owned(),
        line: text[..offset.min(text.len())].matches('\n').count() + 1,
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            errors.push(ConfigError::new(at(offset), error.message()));
            return;
        }
    };
    for (key, value) in table.get_ref() {
        let origin = at(key.span().start);
        let key = key.get_ref().as_ref();
        let Some(setting) = Setting::find(key) else {
            let error = ConfigError::new(origin, format!("unknown setting {key:?}"));
            errors.push(match nearest(key) {
                Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                None => error.with_hint("`tessera config show` lists all settings"),
            });
            continue;
        };
        match text_of(value.get_ref()) {
            Some(text) => resolved.set(setting.key, text, origin),
            None => errors.push(
                ConfigError::new(origin, format!("{key} must be a single value"))
                    .with_hint(format!("{}: {}", setting.kind.describe(), setting.help)),
            ),
        }
    }
}

/// The text of a value, as it would stand in an environment variable.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Array(items) => {
            let items: Option<Vec<String>> =
                items.iter().map(|item| text_of(item.get_ref())).collect();
            items.map(|items| items.join(","))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// The setting that looks most like a mistyped key.
fn nearest(key: &str) -> Option<&'static str> {
    let key = key.replace('-', "_");
    let distances = SETTINGS
        .iter()
        .map(|setting| (distance(&key, setting.key), setting.key));
    let (distance, near) = distances.min()?;
    (distance <= 1 + key.len() / 4).then_some(near)
}

/// Levenshtein's edit distance, row by row (Wagner and Fischer 1974).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(text: &str) -> Result<Resolved, Vec<ConfigError>> {
        let file = Some((PathBuf::from("tessera.toml"), text.to_owned()));
        resolve(&Sources {
            file,
            ..Sources::default()
        })
    }

    fn errors(text: &str) -> String {
        let errors = from_file(text).unwrap_err();
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn flags_beat_the_environment_beats_the_file_beats_the_default() {
        let mut sources = Sources {
            file: Some((
                "a.toml".into(),
                "http = \"file\"\npostgres = \"file\"\nauth = \"file\"".into(),
            )),
            variables: vec![
                ("TESSERA_HTTP".into(), "variable".into()),
                ("PATH".into(), "x".into()),
            ],
            flags: Vec::new(),
        };
        sources
            .variables
            .push(("TESSERA_POSTGRES".into(), "variable".into()));
        sources.flags.push(("http", "flag".into()));
        let resolved = resolve(&sources).unwrap();
        let of = |key| {
            let entry = resolved.entry(key);
            format!("{} from {}", entry.text, entry.origin)
        };
        assert_eq!(of("http"), "flag from flag --http");
        assert_eq!(
            of("postgres"),
            "variable from environment variable TESSERA_POSTGRES"
        );
        assert_eq!(of("auth"), "file from a.toml:3");
        assert_eq!(of("log_level"), "info from default");
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line_and_a_hint() {
        assert_eq!(
            errors("# ours\n\npostgre = \"127.0.0.1:1\"\n"),
            "tessera.toml:3: unknown setting \"postgre\"\n  hint: did you mean \"postgres\"?"
        );
        assert_eq!(
            errors("colour = 1"),
            "tessera.toml:1: unknown setting \"colour\"\n  hint: `tessera config show` lists all settings"
        );
        assert!(errors("[log]\nlevel = 1").starts_with("tessera.toml:1: unknown setting \"log\""));
    }

    #[test]
    fn a_file_that_is_not_toml_is_an_error_with_its_line() {
        assert!(errors("auth = \"scram\"\nhttp = \n").starts_with("tessera.toml:2: "));
    }

    #[test]
    fn an_unknown_variable_is_a_warning() {
        let variables = vec![("TESSERA_HTPP".to_owned(), "x".to_owned())];
        let resolved = resolve(&Sources {
            variables,
            ..Sources::default()
        })
        .unwrap();
        assert_eq!(
            resolved.warnings,
            ["environment variable TESSERA_HTPP is not a setting"]
        );
    }

    #[test]
    fn values_of_other_types_become_text() {
        let resolved = from_file(
            "connections_max = 7\nallow_plaintext = true\nhttp_host_names = [\"a\", \"b\"]",
        )
        .unwrap();
        assert_eq!(resolved.entry("connections_max").text, "7");
        assert_eq!(resolved.entry("allow_plaintext").text, "true");
        assert_eq!(resolved.entry("http_host_names").text, "a,b");
        assert!(errors("auth = 1.5").contains("must be a single value"));
    }
}
