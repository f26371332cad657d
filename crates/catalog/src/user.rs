//! Users and roles. Passwords come in as SCRAM verifiers; the text of a password is never here.

use std::sync::Arc;

use tessera_transactions::Transaction;
use tessera_types::{Report, codes};

use crate::catalog::{BOOTSTRAP_USER_OID, Catalog, Edit};
use crate::definition::UserDef;
use crate::error::CatalogError;
use crate::names::truncate_name;
use crate::refusal;
use crate::spec::UserSpec;

impl Catalog {
    /// CREATE USER or CREATE ROLE. The first administrator gets PostgreSQL's bootstrap oid.
    pub async fn create_user(
        &self,
        txn: &Transaction,
        spec: UserSpec,
    ) -> Result<Arc<UserDef>, CatalogError> {
        let name = truncate_name(&spec.name).into_owned();
        check_name(&name)?;
        self.lock_user_name(txn, &name).await?;
        let state = self.state_for(txn);
        if state.user(&name).is_some() {
            return Err(refusal::role_exists(&name).into());
        }
        let admin = spec.admin.unwrap_or(false);
        let oid = if admin && state.users().next().is_none() {
            BOOTSTRAP_USER_OID
        } else {
            self.next_oid().await?
        };
        let mut edit = Edit::default();
        let user = edit.put_user(UserDef {
            oid,
            name,
            verifier: spec.verifier.flatten(),
            admin,
            login: spec.login.unwrap_or(false),
            comment: None,
        });
        self.apply(txn, edit)?;
        Ok(user)
    }

    /// ALTER USER or ALTER ROLE, also RENAME TO.
    pub async fn alter_user(
        &self,
        txn: &Transaction,
        spec: UserSpec,
    ) -> Result<Arc<UserDef>, CatalogError> {
        self.lock_user_name(txn, &spec.name).await?;
        let state = self.state_for(txn);
        let old = state
            .user(&spec.name)
            .ok_or_else(|| refusal::no_such_role(&spec.name))?;
        let mut user = UserDef::clone(old);
        if let Some(verifier) = spec.verifier {
            user.verifier = verifier;
        }
        if let Some(admin) = spec.admin {
            if !admin && is_last_admin(state.users(), old) {
                let message = "cannot take SUPERUSER from the last administrator";
                return Err(Report::error(codes::OBJECT_IN_USE, message).into());
            }
            user.admin = admin;
        }
        if let Some(login) = spec.login {
            user.login = login;
        }
        let mut edit = Edit::default();
        if let Some(to) = spec.rename {
            let to = truncate_name(&to).into_owned();
            check_name(&to)?;
            self.lock_user_name(txn, &to).await?;
            if self.state_for(txn).user(&to).is_some() {
                return Err(refusal::role_exists(&to).into());
            }
            user.name = to;
        }
        let user = edit.put_user(user);
        self.apply(txn, edit)?;
        Ok(user)
    }

    /// DROP USER or DROP ROLE. Refused while the user owns anything.
    pub async fn drop_user(&self, txn: &Transaction, name: &str) -> Result<(), CatalogError> {
        self.lock_user_name(txn, name).await?;
        let state = self.state_for(txn);
        let user = state
            .user(name)
            .ok_or_else(|| refusal::no_such_role(name))?;
        if is_last_admin(state.users(), user) {
            let message = format!("cannot drop role \"{name}\": it is the last administrator");
            return Err(Report::error(codes::OBJECT_IN_USE, message).into());
        }
        let mut owned: Vec<String> = state
            .schemas()
            .filter(|schema| schema.owner == user.oid)
            .map(|schema| format!("owner of schema {}", schema.name))
            .collect();
        for relation in state.relations() {
            let is_own = !matches!(relation, crate::state::Relation::Index(..));
            if is_own && relation.owner() == user.oid {
                owned.push(format!("owner of {} {}", relation.kind(), relation.name()));
            }
        }
        if !owned.is_empty() {
            let message =
                format!("role \"{name}\" cannot be dropped because some objects depend on it");
            let code = codes::DEPENDENT_OBJECTS_STILL_EXIST;
            return Err(Report::error(code, message)
                .with_detail(owned.join("\n"))
                .into());
        }
        let mut edit = Edit::default();
        edit.drop_user(user);
        self.apply(txn, edit)
    }
}

fn check_name(name: &str) -> Result<(), Report> {
    if name.is_empty() {
        let message = "zero-length delimited identifier at or near \"\"\"\"";
        return Err(Report::error(codes::SYNTAX_ERROR, message));
    }
    if name.starts_with("pg_") || name == "public" || name == "none" {
        let message = format!("role name \"{name}\" is reserved");
        let report = Report::error(codes::RESERVED_NAME, message);
        return Err(match name.starts_with("pg_") {
            true => report.with_detail("Role names starting with \"pg_\" are reserved."),
            false => report,
        });
    }
    Ok(())
}

fn is_last_admin<'a>(mut users: impl Iterator<Item = &'a Arc<UserDef>>, user: &UserDef) -> bool {
    user.admin && !users.any(|other| other.admin && other.oid != user.oid)
}
