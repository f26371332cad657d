//! One session's values, with undo for transactions and savepoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tessera_executor::{SettingRow, Settings};
use tessera_types::{Report, codes};

use super::definitions::{Access, DEFINITIONS, find};
use super::effective::Effective;
use super::value::{canonical, kind_word, shown, unit};

/// Custom settings (`prefix.name`) of one session.
const CUSTOM_MAX: usize = 1_000;

/// What `SHOW transaction_isolation` and its like tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransactionCharacteristics {
    /// Words of the isolation level.
    pub(crate) isolation: &'static str,
    /// READ ONLY.
    pub(crate) read_only: bool,
    /// DEFERRABLE.
    pub(crate) deferrable: bool,
}

/// The settings of one session; shared with the functions of its running statement.
pub(crate) struct SessionSettings {
    generation: AtomicU64,
    user: Arc<str>,
    inner: Mutex<Inner>,
}

struct Inner {
    /// By position in [`DEFINITIONS`]: what RESET goes back to.
    defaults: Vec<Arc<str>>,
    values: Vec<Slot>,
    custom: BTreeMap<String, Slot>,
    /// What to put back when the transaction is rolled back, oldest first.
    undo: Vec<(Key, Slot)>,
    /// Length of `undo` at each savepoint.
    savepoints: Vec<(String, usize)>,
    /// Settings that the client must be told about.
    to_report: BTreeSet<usize>,
    transaction: Option<TransactionCharacteristics>,
    effective: Arc<Effective>,
}

/// A value set for the session, and one that ends with the transaction and hides it.
#[derive(Clone, Debug, Default)]
struct Slot {
    session: Option<Arc<str>>,
    local: Option<Arc<str>>,
}

impl Slot {
    fn current(&self) -> Option<&Arc<str>> {
        self.local.as_ref().or(self.session.as_ref())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Known(usize),
    Custom(String),
}

/// How long a new value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Session,
    Local,
}

impl SessionSettings {
    /// Settings of a new session: built-in defaults, changed by the server's and by `facts`
    /// (fixed settings such as `is_superuser`).
    pub(crate) fn new(
        user: Arc<str>,
        changed_defaults: &[(String, String)],
        facts: &[(&'static str, String)],
    ) -> Result<SessionSettings, Report> {
        let mut defaults: Vec<Arc<str>> = DEFINITIONS
            .iter()
            .map(|definition| Arc::from(definition.default))
            .collect();
        for (name, value) in changed_defaults {
            let at = find(name).ok_or_else(|| unknown(name))?;
            defaults[at] = canonical(&DEFINITIONS[at], value)?.into();
        }
        for (name, value) in facts {
            if let Some(at) = find(name) {
                defaults[at] = value.as_str().into();
            }
        }
        let values = vec![Slot::default(); DEFINITIONS.len()];
        let effective = Arc::new(derive(&defaults, &values, &user));
        Ok(SessionSettings {
            generation: AtomicU64::new(0),
            user,
            inner: Mutex::new(Inner {
                defaults,
                values,
                custom: BTreeMap::new(),
                undo: Vec::new(),
                savepoints: Vec::new(),
                to_report: BTreeSet::new(),
                transaction: None,
                effective,
            }),
        })
    }

    /// Grows with every change.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The typed values as they are now.
    pub(crate) fn effective(&self) -> Arc<Effective> {
        self.inner.lock().effective.clone()
    }

    /// Sets the value that RESET goes back to, too: for the start-up message.
    pub(crate) fn set_at_start(&self, name: &str, value: &str) -> Result<(), Report> {
        let Some(at) = find(name) else {
            return self.change(name, Some(value), Scope::Session);
        };
        let value = self.checked(at, value)?;
        let mut inner = self.inner.lock();
        inner.defaults[at] = value.into();
        self.changed(&mut inner);
        Ok(())
    }

    /// SET and SET LOCAL; `None` is DEFAULT.
    pub(crate) fn assign(
        &self,
        name: &str,
        value: Option<&str>,
        local: bool,
    ) -> Result<(), Report> {
        self.change(
            name,
            value,
            if local { Scope::Local } else { Scope::Session },
        )
    }

    /// RESET ALL.
    pub(crate) fn reset_all(&self) {
        let mut inner = self.inner.lock();
        for at in 0..DEFINITIONS.len() {
            if inner.values[at].current().is_some() {
                let before = std::mem::take(&mut inner.values[at]);
                inner.undo.push((Key::Known(at), before));
                note(&mut inner, at);
            }
        }
        let custom: Vec<String> = inner.custom.keys().cloned().collect();
        for name in custom {
            if let Some(slot) = inner.custom.remove(&name) {
                inner.undo.push((Key::Custom(name), slot));
            }
        }
        self.changed(&mut inner);
    }

    /// What SHOW prints, with the setting's own spelling of its name.
    pub(crate) fn show(&self, name: &str) -> Result<(String, String), Report> {
        let inner = self.inner.lock();
        match find(name) {
            Some(at) => {
                let definition = &DEFINITIONS[at];
                let value = value_of(&inner, at);
                Ok((
                    definition.name.to_owned(),
                    shown(definition, &value).into_owned(),
                ))
            }
            None => {
                let slot = inner.custom.get(&name.to_ascii_lowercase());
                let value = slot.and_then(Slot::current).ok_or_else(|| unknown(name))?;
                Ok((name.to_owned(), value.to_string()))
            }
        }
    }

    /// Name, value and description of all settings.
    pub(crate) fn show_all(&self) -> Vec<(&'static str, String, &'static str)> {
        let inner = self.inner.lock();
        let row = |(at, definition): (usize, &'static super::definitions::Definition)| {
            let value = value_of(&inner, at);
            (
                definition.name,
                shown(definition, &value).into_owned(),
                definition.description,
            )
        };
        DEFINITIONS.iter().enumerate().map(row).collect()
    }

    /// Values that the client is told at the start of the session.
    pub(crate) fn reported(&self) -> Vec<(&'static str, String)> {
        let mut inner = self.inner.lock();
        inner.to_report.clear();
        DEFINITIONS
            .iter()
            .enumerate()
            .filter(|(_, definition)| definition.report)
            .map(|(at, definition)| (definition.name, value_of(&inner, at).to_string()))
            .collect()
    }

    /// Values that changed since the last call and that the client is told about.
    pub(crate) fn take_reports(&self) -> Vec<(&'static str, String)> {
        let mut inner = self.inner.lock();
        let changed = std::mem::take(&mut inner.to_report);
        changed
            .into_iter()
            .map(|at| (DEFINITIONS[at].name, value_of(&inner, at).to_string()))
            .collect()
    }

    /// Tells what the current transaction is; `None` between transactions.
    pub(crate) fn set_transaction(&self, characteristics: Option<TransactionCharacteristics>) {
        self.inner.lock().transaction = characteristics;
    }

    /// Keeps what the transaction set; SET LOCAL ends.
    pub(crate) fn commit(&self) {
        let mut inner = self.inner.lock();
        if inner.undo.is_empty() {
            inner.savepoints.clear();
            return;
        }
        let undo = std::mem::take(&mut inner.undo);
        inner.savepoints.clear();
        for (key, _) in undo {
            match key {
                Key::Known(at) => {
                    if inner.values[at].local.take().is_some() {
                        note(&mut inner, at);
                    }
                }
                Key::Custom(name) => {
                    if let Some(slot) = inner.custom.get_mut(&name) {
                        slot.local = None;
                        if slot.session.is_none() {
                            inner.custom.remove(&name);
                        }
                    }
                }
            }
        }
        self.changed(&mut inner);
    }

    /// Puts back what the transaction set.
    pub(crate) fn rollback(&self) {
        let mut inner = self.inner.lock();
        inner.savepoints.clear();
        self.undo_to(&mut inner, 0);
    }

    /// Marks the present state.
    pub(crate) fn savepoint(&self, name: &str) {
        let mut inner = self.inner.lock();
        let mark = inner.undo.len();
        inner.savepoints.push((name.to_owned(), mark));
    }

    /// Goes back to a mark, which stays.
    pub(crate) fn rollback_to(&self, name: &str) {
        let mut inner = self.inner.lock();
        if let Some(at) = inner
            .savepoints
            .iter()
            .rposition(|(known, _)| known == name)
        {
            let mark = inner.savepoints[at].1;
            inner.savepoints.truncate(at + 1);
            self.undo_to(&mut inner, mark);
        }
    }

    /// Forgets a mark and those after it.
    pub(crate) fn release(&self, name: &str) {
        let mut inner = self.inner.lock();
        if let Some(at) = inner
            .savepoints
            .iter()
            .rposition(|(known, _)| known == name)
        {
            inner.savepoints.truncate(at);
        }
    }

    fn undo_to(&self, inner: &mut Inner, mark: usize) {
        if inner.undo.len() <= mark {
            return;
        }
        while inner.undo.len() > mark {
            match inner.undo.pop() {
                Some((Key::Known(at), before)) => {
                    inner.values[at] = before;
                    note(inner, at);
                }
                Some((Key::Custom(name), before)) => {
                    if before.current().is_some() {
                        inner.custom.insert(name, before);
                    } else {
                        inner.custom.remove(&name);
                    }
                }
                None => break,
            }
        }
        self.changed(inner);
    }

    fn checked(&self, at: usize, value: &str) -> Result<String, Report> {
        let definition = &DEFINITIONS[at];
        match definition.access {
            Access::User => {}
            Access::Fixed => {
                return Err(Report::error(
                    codes::CANT_CHANGE_RUNTIME_PARAM,
                    format!("parameter \"{}\" cannot be changed", definition.name),
                ));
            }
        }
        canonical(definition, value)
    }

    fn change(&self, name: &str, value: Option<&str>, scope: Scope) -> Result<(), Report> {
        let Some(at) = find(name) else {
            return self.change_custom(name, value, scope);
        };
        let value: Option<Arc<str>> = match value {
            Some(value) => Some(self.checked(at, value)?.into()),
            None => {
                let default = self.inner.lock().defaults[at].clone();
                self.checked(at, &default)?;
                None
            }
        };
        let mut inner = self.inner.lock();
        let before = inner.values[at].clone();
        let slot = match scope {
            Scope::Session => Slot {
                session: value,
                local: None,
            },
            Scope::Local => {
                let value = value.unwrap_or_else(|| inner.defaults[at].clone());
                Slot {
                    session: before.session.clone(),
                    local: Some(value),
                }
            }
        };
        inner.values[at] = slot;
        inner.undo.push((Key::Known(at), before));
        note(&mut inner, at);
        self.changed(&mut inner);
        Ok(())
    }

    /// `SET my.name = value`: names with a dot are the user's own, except under `tessera.`.
    fn change_custom(&self, name: &str, value: Option<&str>, scope: Scope) -> Result<(), Report> {
        let name = name.to_ascii_lowercase();
        let well_formed = name.split('.').count() > 1
            && name.split('.').all(|part| {
                part.starts_with(|c: char| c.is_alphabetic() || c == '_')
                    && part
                        .chars()
                        .all(|c| c.is_alphanumeric() || c == '_' || c == '$')
            });
        if !well_formed || name.starts_with("tessera.") {
            return Err(unknown(&name));
        }
        let mut inner = self.inner.lock();
        if !inner.custom.contains_key(&name) && inner.custom.len() >= CUSTOM_MAX {
            return Err(Report::error(
                codes::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session may have at most {CUSTOM_MAX} custom settings"),
            ));
        }
        let before = inner.custom.get(&name).cloned().unwrap_or_default();
        let value = value.map(Arc::from);
        let slot = match scope {
            Scope::Session => Slot {
                session: value,
                local: None,
            },
            Scope::Local => Slot {
                session: before.session.clone(),
                local: value,
            },
        };
        inner.custom.insert(name.clone(), slot);
        inner.undo.push((Key::Custom(name), before));
        self.changed(&mut inner);
        Ok(())
    }

    fn changed(&self, inner: &mut Inner) {
        inner.effective = Arc::new(derive(&inner.defaults, &inner.values, &self.user));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl Settings for SessionSettings {
    fn get(&self, name: &str) -> Option<String> {
        self.show(name).ok().map(|(_, value)| value)
    }

    fn set(&self, name: &str, value: &str, local: bool) -> Result<(), Report> {
        let by_statement = [
            "transaction_isolation",
            "transaction_read_only",
            "transaction_deferrable",
            "tessera.join",
        ];
        if by_statement
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
        {
            return Err(Report::unsupported(format!(
                "parameter \"{name}\" cannot be changed by a function"
            ))
            .with_hint("Use SET."));
        }
        self.assign(name, Some(value), local)
    }

    fn list(&self) -> Vec<SettingRow> {
        let inner = self.inner.lock();
        DEFINITIONS
            .iter()
            .enumerate()
            .map(|(at, definition)| SettingRow {
                name: definition.name.to_owned(),
                value: value_of(&inner, at).to_string(),
                default: inner.defaults[at].to_string(),
                kind: kind_word(definition.kind),
                unit: unit(definition.kind),
                description: definition.description,
            })
            .collect()
    }
}

fn value_of(inner: &Inner, at: usize) -> Arc<str> {
    let plain = || {
        inner.values[at]
            .current()
            .unwrap_or(&inner.defaults[at])
            .clone()
    };
    let Some(transaction) = &inner.transaction else {
        // Between transactions: what the next one would be.
        let default = match DEFINITIONS[at].name {
            "transaction_isolation" => "default_transaction_isolation",
            "transaction_read_only" => "default_transaction_read_only",
            "transaction_deferrable" => "default_transaction_deferrable",
            _ => return plain(),
        };
        return find(default).map_or_else(plain, |at| value_of(inner, at));
    };
    let on_off = |value: bool| Arc::from(if value { "on" } else { "off" });
    match DEFINITIONS[at].name {
        "transaction_isolation" => Arc::from(transaction.isolation),
        "transaction_read_only" => on_off(transaction.read_only),
        "transaction_deferrable" => on_off(transaction.deferrable),
        _ => plain(),
    }
}

fn note(inner: &mut Inner, at: usize) {
    if DEFINITIONS[at].report {
        inner.to_report.insert(at);
    }
}

fn derive(defaults: &[Arc<str>], values: &[Slot], user: &str) -> Effective {
    let get = |name: &str| {
        find(name).map_or_else(
            || Arc::from(""),
            |at| values[at].current().unwrap_or(&defaults[at]).clone(),
        )
    };
    Effective::derive(&get, user)
}

pub(crate) fn unknown(name: &str) -> Report {
    Report::error(
        codes::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SessionSettings {
        SessionSettings::new("bob".into(), &[], &[("is_superuser", "off".to_owned())])
            .expect("built-in defaults")
    }

    fn value(settings: &SessionSettings, name: &str) -> String {
        settings
            .show(name)
            .map_or_else(|report| report.code.to_string(), |(_, value)| value)
    }

    #[test]
    fn a_rolled_back_transaction_leaves_no_setting_behind() {
        let s = settings();
        s.assign("lock_timeout", Some("1s"), false).expect("set");
        s.commit();
        s.assign("lock_timeout", Some("2s"), false).expect("set");
        s.assign("lock_timeout", Some("3s"), true).expect("set");
        s.assign("my.flag", Some("x"), false).expect("set");
        s.rollback();
        assert_eq!(value(&s, "lock_timeout"), "1s");
        assert_eq!(value(&s, "my.flag"), "42704");
    }

    #[test]
    fn set_local_ends_with_the_transaction() {
        let s = settings();
        s.assign("timezone", Some("Europe/Berlin"), true)
            .expect("set");
        assert_eq!(s.effective().format.time_zone.to_string(), "Europe/Berlin");
        s.commit();
        assert_eq!(value(&s, "TimeZone"), "UTC");
        s.assign("my.flag", Some("x"), true).expect("set");
        s.commit();
        assert_eq!(value(&s, "my.flag"), "42704");
    }

    #[test]
    fn a_savepoint_brings_back_its_values() {
        let s = settings();
        s.assign("search_path", Some("a"), false).expect("set");
        s.savepoint("one");
        s.assign("search_path", Some("b"), false).expect("set");
        s.savepoint("two");
        s.assign("search_path", Some("c"), true).expect("set");
        s.rollback_to("one");
        assert_eq!(s.effective().search_path.as_ref(), ["a"]);
        s.commit();
        assert_eq!(value(&s, "search_path"), "a");
    }

    #[test]
    fn wrong_names_and_fixed_settings_are_refused() {
        let s = settings();
        let code = |name: &str| {
            s.assign(name, Some("1"), false)
                .expect_err("refused")
                .code
                .to_string()
        };
        assert_eq!(code("no_such"), "42704");
        assert_eq!(code("tessera.no_such"), "42704");
        assert_eq!(code("server_version"), "55P02");
        assert_eq!(s.effective().search_path.as_ref(), ["bob", "public"]);
    }

    #[test]
    fn the_client_hears_of_changes_once() {
        let s = settings();
        assert!(
            s.reported()
                .iter()
                .any(|(name, value)| *name == "client_encoding" && value == "UTF8")
        );
        s.assign("application_name", Some("psql"), false)
            .expect("set");
        s.assign("lock_timeout", Some("1s"), false).expect("set");
        assert_eq!(s.take_reports(), [("application_name", "psql".to_owned())]);
        assert!(s.take_reports().is_empty());
    }
}
