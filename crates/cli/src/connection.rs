//! Where to connect, as whom: flags first, then the URL, then libpq's environment variables.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// PostgreSQL port of a server with default configuration.
const PORT: u16 = 5433;
const DATABASE: &str = "tessera";
const ADMIN: &str = "admin";

/// Flags that every command takes which talks to a server.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectionArguments {
    /// Server address.
    #[arg(long, short = 'H', env = "PGHOST")]
    pub host: Option<String>,
    /// Server port.
    #[arg(long, short = 'p', env = "PGPORT")]
    pub port: Option<u16>,
    /// User name.
    #[arg(long, short = 'U', env = "PGUSER")]
    pub user: Option<String>,
    /// Database name.
    #[arg(long, short = 'd', env = "PGDATABASE")]
    pub dbname: Option<String>,
    /// All of these at once: postgresql://user:password@host:port/database?sslmode=prefer
    #[arg(long)]
    pub url: Option<String>,
    /// Whether the connection is encrypted, and whether the certificate is checked.
    #[arg(long, value_enum, env = "PGSSLMODE")]
    pub sslmode: Option<SslMode>,
    /// Certificate authority that signed the server's certificate (PEM).
    #[arg(long, env = "PGSSLROOTCERT")]
    pub tls_ca: Option<PathBuf>,
    /// File with the password; else PGPASSWORD, else it is asked for.
    #[arg(long)]
    pub password_file: Option<PathBuf>,
}

/// libpq's words for encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it.
    #[default]
    Prefer,
    /// Always; the certificate is not checked, unless an authority is given.
    Require,
    /// Always; the certificate must be valid for the host.
    VerifyFull,
}

/// A complete target.
#[derive(Clone)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Database.
    pub database: String,
    /// Password, if one is known already.
    pub password: Option<String>,
    /// Encryption.
    pub sslmode: SslMode,
    /// Certificate authority.
    pub tls_ca: Option<PathBuf>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The password stays out.
        write!(
            f,
            "{}@{}:{}/{}",
            self.user, self.host, self.port, self.database
        )
    }
}

/// Why the arguments name no target; the text is for the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// Not a URL that we understand.
    #[error("the URL must look like postgresql://user:password@host:port/database: {0}")]
    Url(String),
    /// A password file that cannot be read.
    #[error("cannot read the password from {}", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ConnectionArguments {
    /// Puts flags, URL, environment and defaults together.
    ///
    /// # Errors
    /// A malformed URL, an unreadable password file.
    pub fn target(&self) -> Result<Target, ArgumentError> {
        let url = self
            .url
            .as_deref()
            .map(Url::parse)
            .transpose()?
            .unwrap_or_default();
        let mut password = match &self.password_file {
            Some(path) => Some(read_password(path)?),
            None => None,
        };
        password = password
            .or(url.password)
            .or_else(|| std::env::var("PGPASSWORD").ok());
        // A URL is more specific than what the environment put into the flags.
        Ok(Target {
            host: url
                .host
                .or(self.host.clone())
                .unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: url.port.or(self.port).unwrap_or(PORT),
            user: url
                .user
                .or(self.user.clone())
                .unwrap_or_else(|| ADMIN.to_owned()),
            database: url
                .database
                .or(self.dbname.clone())
                .unwrap_or_else(|| DATABASE.to_owned()),
            password,
            sslmode: url.sslmode.or(self.sslmode).unwrap_or_default(),
            tls_ca: self.tls_ca.clone(),
        })
    }
}

/// The first line of a file.
pub(crate) fn read_password(path: &PathBuf) -> Result<String, ArgumentError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().next().unwrap_or_default().to_owned()),
        Err(source) => Err(ArgumentError::PasswordFile {
            path: path.clone(),
            source,
        }),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Url {
    user: Option<String>,
    password: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    sslmode: Option<SslMode>,
}

impl Url {
    fn parse(text: &str) -> Result<Url, ArgumentError> {
        let fault = |what: &str| ArgumentError::Url(what.to_owned());
        let rest = text
            .strip_prefix("postgresql://")
            .or_else(|| text.strip_prefix("postgres://"))
            .ok_or_else(|| fault("it starts with another scheme"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (
                user,
                Some(decode(password).ok_or_else(|| fault("password"))?),
            ),
            None => (login, None),
        };
        let (host, port) = match address
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match address.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let port = port
            .map(str::parse)
            .transpose()
            .map_err(|_| fault("the port is no number"))?;
        let mut sslmode = None;
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "sslmode" => {
                    let mode = SslMode::from_str(value, true).map_err(|_| fault("sslmode"))?;
                    sslmode = Some(mode);
                }
                other => return Err(fault(&format!("unknown parameter {other}"))),
            }
        }
        let part = |text: &str| -> Result<Option<String>, ArgumentError> {
            if text.is_empty() {
                return Ok(None);
            }
            decode(text)
                .map(Some)
                .ok_or_else(|| fault("a % without two hexadecimal digits"))
        };
        Ok(Url {
            user: part(user)?,
            password,
            host: part(host)?,
            port,
            database: part(database)?,
            sslmode,
        })
    }
}

/// Percent decoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{SslMode, Url};

    fn check(text: &str, expected: Option<Url>) {
        assert_eq!(Url::parse(text).ok(), expected, "{text}");
    }

    #[test]
    fn a_url_names_every_part_and_each_may_be_missing() {
        let some = |text: &str| Some(text.to_owned());
        check(
            "postgresql://ann:p%40ss@db.example:6000/shop?sslmode=require",
            Some(Url {
                user: some("ann"),
                password: some("p@ss"),
                host: some("db.example"),
                port: Some(6000),
                database: some("shop"),
                sslmode: Some(SslMode::Require),
            }),
        );
        check("postgres://", Some(Url::default()));
        check(
            "postgresql://[::1]:7/x",
            Some(Url {
                host: some("::1"),
                port: Some(7),
                database: some("x"),
                ..Url::default()
            }),
        );
        check("http://localhost", None);
        check("postgresql://localhost:many", None);
        check("postgresql://a:%zz@h/", None);
    }
}
