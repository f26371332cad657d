//! Messages and exit codes.

use std::process::ExitCode;

use tessera_types::{Report, codes};

/// How the program ends. The numbers are part of the interface; scripts act on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Success = 0,
    /// None of the others.
    Failure = 1,
    /// Wrong command line or configuration.
    Usage = 2,
    /// Another server uses the data directory.
    InUse = 10,
    /// The data directory was written by a newer release.
    Format = 11,
    /// The operating system refuses access.
    Permission = 12,
    /// Stored bytes are not what was written.
    Damaged = 13,
    /// No space left on the device.
    DiskFull = 14,
    /// A port is taken.
    Address = 15,
    /// The directory belongs to something else.
    Foreign = 16,
}

impl Exit {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }

    /// What an error of opening a data directory means.
    pub(crate) fn of_opening(report: &Report) -> Exit {
        let told = |words: &str| {
            let detail = report.detail.as_deref().unwrap_or_default();
            report.message.contains(words) || detail.contains(words)
        };
        if report.code == codes::OBJECT_IN_USE || report.code == codes::LOCK_FILE_EXISTS {
            Exit::InUse
        } else if report.code == codes::FEATURE_NOT_SUPPORTED {
            Exit::Format
        } else if report.code == codes::DATA_CORRUPTED || report.code == codes::INDEX_CORRUPTED {
            Exit::Damaged
        } else if report.code == codes::READ_ONLY_SQL_TRANSACTION {
            // Safe mode, with so much missing that not even the catalog can be read.
            Exit::Damaged
        } else if report.code == codes::DISK_FULL {
            Exit::DiskFull
        } else if report.code == codes::OBJECT_NOT_IN_PREREQUISITE_STATE {
            Exit::Foreign
        } else if told("ermission denied") || told("not permitted") || told("Read-only file system")
        {
            Exit::Permission
        } else if told("No space left") {
            Exit::DiskFull
        } else {
            Exit::Failure
        }
    }

    /// What to do about it, where the report itself does not say.
    fn advice(self) -> Option<&'static str> {
        match self {
            Exit::InUse => Some("stop the other server, or use another --data-dir"),
            Exit::Format => Some("use the release that wrote it, or a newer one"),
            Exit::Permission => {
                Some("start the server as the owner of the data directory, or change its owner")
            }
            Exit::Damaged => Some(
                "nothing was changed; run `tessera check --data-dir DIR` for a list of what is damaged",
            ),
            Exit::DiskFull => {
                Some("free some space and start again; nothing that was acknowledged is lost")
            }
            Exit::Address => Some("stop what uses the port, or choose another one"),
            Exit::Foreign => Some("choose an empty or a new directory"),
            Exit::Success | Exit::Failure | Exit::Usage => None,
        }
    }
}

/// Tells a person why the program ends, on standard error.
pub(crate) fn complain(exit: Exit, report: &Report) -> Exit {
    eprintln!("tessera: {}", report.message);
    if let Some(detail) = &report.detail {
        eprintln!("  detail: {detail}");
    }
    if let Some(hint) = report.hint.as_deref().or_else(|| exit.advice()) {
        eprintln!("  hint: {hint}");
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_failure_has_its_own_code() {
        for (code, message, exit) in [
            (codes::OBJECT_IN_USE, "in use", Exit::InUse),
            (codes::FEATURE_NOT_SUPPORTED, "format 9", Exit::Format),
            (
                codes::IO_ERROR,
                "open /x failed: Permission denied (os error 13)",
                Exit::Permission,
            ),
            (codes::DATA_CORRUPTED, "damaged", Exit::Damaged),
            (codes::DISK_FULL, "no space", Exit::DiskFull),
            (
                codes::IO_ERROR,
                "open /x failed: Input/output error",
                Exit::Failure,
            ),
        ] {
            assert_eq!(
                Exit::of_opening(&Report::error(code, message)),
                exit,
                "{message}"
            );
        }
    }
}
