//! `tessera config check` and `show`, and the reference page.

use std::fmt::Write as _;

use super::load::{Origin, Resolved};
use super::table::{Kind, SETTINGS};

/// Each value, where it comes from, and what it means.
pub(crate) fn explain(resolved: &Resolved) -> String {
    let mut text = String::new();
    let written = |entry: &super::load::Entry| format!("{} = {}", entry.setting.key, quoted(entry));
    let width = resolved
        .entries
        .iter()
        .map(|entry| written(entry).len())
        .max()
        .unwrap_or(0);
    for entry in &resolved.entries {
        let _ = writeln!(text, "{:width$}  {}", written(entry), entry.origin);
        let _ = writeln!(text, "    {}", entry.setting.help);
    }
    text
}

/// The effective configuration as a file that would give the same.
pub(crate) fn show(resolved: &Resolved) -> String {
    let mut text = String::new();
    for entry in &resolved.entries {
        let comment = match &entry.origin {
            Origin::Default => "# ",
            Origin::File { .. } | Origin::Variable(_) | Origin::Flag(_) => "",
        };
        let _ = writeln!(text, "{comment}{} = {}", entry.setting.key, quoted(entry));
    }
    text
}

fn quoted(entry: &super::load::Entry) -> String {
    match entry.setting.kind {
        Kind::Switch | Kind::Count { .. } if !entry.text.is_empty() => entry.text.clone(),
        _ => toml::Value::String(entry.text.clone()).to_string(),
    }
}

/// `docs/reference/configuration.md`.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         <!-- Written by `cargo xtask gen` from the code. Do not edit. -->\n\n\
         Values come from, in rising precedence: the built-in default, the file `tessera.toml` \
         (in the working directory, or named by `--config` or `TESSERA_CONFIG`), environment \
         variables, flags of `tessera serve`.\n\
         `tessera config check` shows each value and where it comes from.\n\n\
         | setting | variable | flag | value | default | meaning |\n|---|---|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let default = if setting.default.is_empty() {
            "–".to_owned()
        } else {
            format!("`{}`", setting.default)
        };
        let _ = writeln!(
            page,
            "| `{}` | `{}` | `--{}` | {} | {default} | {} |",
            setting.key,
            setting.variable(),
            setting.flag(),
            setting.kind.describe(),
            setting.help
        );
    }
    page.push_str(
        "\n## Secrets\n\n\
         | variable | meaning |\n|---|---|\n\
         | `TESSERA_ADMIN_PASSWORD` | Password of `admin`, used at the first start only. |\n\
         | `TESSERA_ADMIN_PASSWORD_FILE` | File whose first line is that password. |\n\n\
         Without them a password is generated at the first start and printed once on standard output.\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources, resolve};

    #[test]
    fn what_show_prints_reads_back_as_the_same_configuration() {
        let flags = vec![
            ("http", "127.0.0.1:9".to_owned()),
            ("allow_plaintext", "true".to_owned()),
        ];
        let resolved = resolve(&Sources {
            flags,
            ..Sources::default()
        })
        .unwrap();
        let text = show(&resolved);
        assert!(text.contains("\nhttp = \"127.0.0.1:9\"\n"), "{text}");
        let file = Some(("tessera.toml".into(), text.replace("# ", "")));
        let again = resolve(&Sources {
            file,
            ..Sources::default()
        })
        .unwrap();
        let config = |resolved| Config::from_resolved(resolved).unwrap();
        assert_eq!(config(&resolved), config(&again));
    }

    #[test]
    fn every_value_is_explained_with_its_origin() {
        let text = explain(&resolve(&Sources::default()).unwrap());
        for setting in SETTINGS {
            assert!(text.contains(setting.key) && text.contains(setting.help));
            assert!(reference_page().contains(&setting.variable()));
        }
        assert!(text.lines().next().unwrap().ends_with("  default"));
    }
}
