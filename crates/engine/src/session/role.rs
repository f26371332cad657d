//! Statements about users: CREATE, ALTER and DROP of users and roles.

use tessera_catalog::UserSpec;
use tessera_types::{Report, codes};

use super::Session;
use super::execute::Outcome;
use crate::role_statement::{RoleChange, RoleStatement};
use crate::users::{check_name, keep_an_admin};

impl Session {
    pub(super) async fn execute_role(&mut self, role: &RoleStatement) -> Result<Outcome, Report> {
        let now = self.now();
        let txn = self.ensure_transaction(now)?;
        let engine = self.engine.clone();
        let catalog = &engine.shared.catalog;
        let state = catalog.state_for(&txn);
        let guard = txn.start_statement().await?;
        match role {
            RoleStatement::Create(change) => {
                self.require_admin("create role")?;
                check_name(&change.name)?;
                let spec = self.spec(change).await?;
                catalog
                    .create_user(&txn, spec)
                    .await
                    .map_err(|error| error.report())?;
            }
            RoleStatement::Alter(change) => {
                let own_password = change.name == self.user.name
                    && change.admin.is_none()
                    && change.login.is_none();
                if !own_password {
                    self.require_admin("alter role")?;
                }
                if change.admin == Some(false) || change.login == Some(false) {
                    keep_an_admin(&state, &change.name)?;
                }
                let spec = self.spec(change).await?;
                catalog
                    .alter_user(&txn, spec)
                    .await
                    .map_err(|error| error.report())?;
            }
            RoleStatement::Rename { from, to } => {
                self.require_admin("rename role")?;
                check_name(to)?;
                if *from == self.user.name {
                    return Err(Report::unsupported("session user cannot be renamed"));
                }
                let spec = UserSpec {
                    name: from.clone(),
                    rename: Some(to.clone()),
                    ..UserSpec::default()
                };
                catalog
                    .alter_user(&txn, spec)
                    .await
                    .map_err(|error| error.report())?;
            }
            RoleStatement::Drop { names, if_exists } => {
                self.require_admin("drop role")?;
                for name in names {
                    if state.user(name).is_none() && *if_exists {
                        self.notice(Report::notice(format!(
                            "role \"{name}\" does not exist, skipping"
                        )));
                        continue;
                    }
                    if *name == self.user.name {
                        return Err(Report::error(
                            codes::OBJECT_IN_USE,
                            "current user cannot be dropped",
                        ));
                    }
                    keep_an_admin(&state, name)?;
                    catalog
                        .drop_user(&txn, name)
                        .await
                        .map_err(|error| error.report())?;
                }
            }
        }
        guard.finish();
        Ok(Outcome::command(role.verb()))
    }

    async fn spec(&mut self, change: &RoleChange) -> Result<UserSpec, Report> {
        let verifier = match &change.password {
            None => None,
            Some(None) => Some(None),
            // As in PostgreSQL: an empty password would lock the user out, so it is none.
            Some(Some(password)) if password.is_empty() => {
                self.notice(Report::notice(
                    "empty string is not a valid password, clearing password",
                ));
                Some(None)
            }
            Some(Some(password)) => Some(Some(self.engine.new_verifier(password.clone()).await?)),
        };
        Ok(UserSpec {
            name: change.name.clone(),
            verifier,
            admin: change.admin,
            login: change.login,
            rename: None,
        })
    }
}
