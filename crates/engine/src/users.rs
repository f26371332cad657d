//! Users: list, add, drop, password.

use tessera_catalog::UserSpec;
use tessera_types::{Report, codes};

use crate::engine::Engine;

/// A user, as `tessera user list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// Name.
    pub name: String,
    /// May do everything.
    pub admin: bool,
    /// May log in.
    pub login: bool,
    /// Has a password.
    pub password: bool,
}

/// User administration without SQL; acts as an administrator.
#[derive(Debug)]
pub struct Users {
    engine: Engine,
}

impl Users {
    pub(crate) fn new(engine: Engine) -> Users {
        Users { engine }
    }

    /// All users by name.
    pub fn list(&self) -> Vec<UserInfo> {
        let state = self.engine.shared.catalog.state();
        let info = |user: &std::sync::Arc<tessera_catalog::UserDef>| UserInfo {
            name: user.name.clone(),
            admin: user.admin,
            login: user.login,
            password: user.verifier.is_some(),
        };
        let mut users: Vec<UserInfo> = state.users().map(info).collect();
        users.sort_by(|a, b| a.name.cmp(&b.name));
        users
    }

    /// Adds a user who may log in.
    pub async fn add(&self, name: &str, password: &str, admin: bool) -> Result<(), Report> {
        check_name(name)?;
        let verifier = self.engine.new_verifier(password.to_owned()).await?;
        let spec = UserSpec {
            name: name.to_owned(),
            verifier: Some(Some(verifier)),
            admin: Some(admin),
            login: Some(true),
            rename: None,
        };
        let catalog = self.engine.shared.catalog.clone();
        self.engine
            .in_transaction(async move |txn| {
                catalog
                    .create_user(txn, spec)
                    .await
                    .map(drop)
                    .map_err(|error| error.report())
            })
            .await
    }

    /// Sets a password.
    pub async fn set_password(&self, name: &str, password: &str) -> Result<(), Report> {
        let verifier = self.engine.new_verifier(password.to_owned()).await?;
        let spec = UserSpec {
            name: name.to_owned(),
            verifier: Some(Some(verifier)),
            ..UserSpec::default()
        };
        let catalog = self.engine.shared.catalog.clone();
        self.engine
            .in_transaction(async move |txn| {
                catalog
                    .alter_user(txn, spec)
                    .await
                    .map(drop)
                    .map_err(|error| error.report())
            })
            .await
    }

    /// Drops a user. The last administrator who may log in stays.
    pub async fn drop(&self, name: &str) -> Result<(), Report> {
        let state = self.engine.shared.catalog.state();
        keep_an_admin(&state, name)?;
        let catalog = self.engine.shared.catalog.clone();
        self.engine
            .in_transaction(async move |txn| {
                catalog
                    .drop_user(txn, name)
                    .await
                    .map_err(|error| error.report())
            })
            .await
    }
}

/// Names that nobody may take.
pub(crate) fn check_name(name: &str) -> Result<(), Report> {
    if name.starts_with("pg_")
        || matches!(name, "public" | "none" | "current_user" | "session_user")
    {
        return Err(Report::error(
            codes::RESERVED_NAME,
            format!("role name \"{name}\" is reserved"),
        ));
    }
    if name.is_empty() || name.len() > 63 || name.contains('\0') {
        return Err(Report::error(
            codes::INVALID_NAME,
            "a role name has 1 to 63 bytes and no zero byte",
        ));
    }
    Ok(())
}

/// Refuses to take away the last administrator, which would lock everybody out.
pub(crate) fn keep_an_admin(
    state: &tessera_catalog::CatalogState,
    leaving: &str,
) -> Result<(), Report> {
    let is_admin = state
        .user(leaving)
        .is_some_and(|user| user.admin && user.login);
    let others = state
        .users()
        .any(|user| user.admin && user.login && user.name != leaving);
    if is_admin && !others {
        return Err(Report::error(
            codes::OBJECT_IN_USE,
            format!("\"{leaving}\" is the last administrator who may log in"),
        )
        .with_hint("Make another user an administrator first."));
    }
    Ok(())
}
