//! Users: list, add, drop, password.

use tessera_types::Report;

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
pub struct Users {
    engine: Engine,
}

impl Users {
    pub(crate) fn new(engine: Engine) -> Users {
        Users { engine }
    }

    /// All users by name.
    pub fn list(&self) -> Vec<UserInfo> {
        let _ = &self.engine;
        todo!()
    }

    /// Adds a user who may log in.
    pub async fn add(&self, _name: &str, _password: &str, _admin: bool) -> Result<(), Report> {
        todo!()
    }

    /// Sets a password.
    pub async fn set_password(&self, _name: &str, _password: &str) -> Result<(), Report> {
        todo!()
    }

    /// Drops a user.
    pub async fn drop(&self, _name: &str) -> Result<(), Report> {
        todo!()
    }
}
