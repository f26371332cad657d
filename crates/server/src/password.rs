//! The administrator's first password, from the environment.

use tessera_telemetry::Secret;
use tessera_types::{Report, codes};

const VARIABLE: &str = "TESSERA_ADMIN_PASSWORD";
const FILE_VARIABLE: &str = "TESSERA_ADMIN_PASSWORD_FILE";

/// The password, if the environment gives one.
pub(crate) fn from_environment() -> Result<Option<Secret<String>>, Report> {
    let invalid = |message: String| Report::error(codes::CONFIG_FILE_ERROR, message);
    let direct = std::env::var(VARIABLE).ok();
    let Some(path) = std::env::var_os(FILE_VARIABLE) else {
        return match direct {
            Some(password) if password.is_empty() => Err(invalid(format!("{VARIABLE} is empty"))),
            direct => Ok(direct.map(Secret::new)),
        };
    };
    if direct.is_some() {
        return Err(invalid(format!(
            "{VARIABLE} and {FILE_VARIABLE} are both set"
        )));
    }
    let path = std::path::PathBuf::from(path);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        invalid(format!("cannot read the password file {}", path.display()))
            .with_detail(error.to_string())
    })?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        let message = format!(
            "the first line of the password file {} is empty",
            path.display()
        );
        return Err(invalid(message));
    }
    Ok(Some(Secret::new(password.to_owned())))
}
