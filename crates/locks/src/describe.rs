//! Lock errors in words: message, detail, and what to do about it.

use std::fmt::Write as _;
use std::time::Duration;

use tessera_types::Report;

use crate::mode::Mode;
use crate::report::{CycleMember, LockError, Refused};
use crate::resource::Resource;

/// Characters of a statement that are shown in an error of another transaction.
const STATEMENT_SHOWN_MAX: usize = 200;

/// Puts a name to a resource and, if known, its key.
type Name<'a> = &'a dyn Fn(Resource, Option<&[u8]>) -> String;

impl LockError {
    /// What a client sees; resources are named by their numbers.
    pub fn report(&self) -> Report {
        self.report_with(&|resource| resource.to_string())
    }

    /// What a client sees, with `name` putting names to resources ("row in relation \"t\"").
    pub fn report_with(&self, name: &dyn Fn(Resource) -> String) -> Report {
        self.report_with_keys(&|resource, _| name(resource))
    }

    /// As `report_with`; `name` also gets the bytes that the request was described with.
    pub fn report_with_keys(&self, name: &dyn Fn(Resource, Option<&[u8]>) -> String) -> Report {
        let (code, _) = self.code();
        let (message, detail) = match self {
            LockError::Deadlock { cycle, .. } => (self.to_string(), describe_cycle(cycle, name)),
            LockError::Timeout { refused, waited } => {
                let mut detail = format!(
                    "Waited {} ms for {} lock on {}.",
                    waited.as_millis(),
                    in_words(refused.mode, refused.resource),
                    name(refused.resource, refused.key.as_deref())
                );
                describe_blockers(refused, &mut detail);
                (self.to_string(), detail)
            }
            LockError::NotAvailable { refused } => {
                let name = name(refused.resource, refused.key.as_deref());
                let mode = in_words(refused.mode, refused.resource);
                let mut detail = format!("{mode} lock was asked for.");
                describe_blockers(refused, &mut detail);
                (format!("could not obtain lock on {name}"), detail)
            }
            LockError::QueueFull { .. } | LockError::ParentNotHeld { .. } => {
                return match self.hint() {
                    Some(hint) => Report::error(code, self.to_string()).with_hint(hint),
                    None => Report::error(code, self.to_string()),
                };
            }
        };
        let report = Report::error(code, message).with_detail(detail);
        match self.hint_with_keys(name) {
            Some(hint) => report.with_hint(hint),
            None => report,
        }
    }

    /// What to do about it; resources are named by their numbers.
    pub fn hint(&self) -> Option<String> {
        self.hint_with_keys(&|resource, _| resource.to_string())
    }

    /// As `hint`, with names from the layer above.
    pub fn hint_with_keys(
        &self,
        name: &dyn Fn(Resource, Option<&[u8]>) -> String,
    ) -> Option<String> {
        match self {
            LockError::Deadlock { cycle, .. } => Some(deadlock_hint(cycle, name)),
            LockError::Timeout { refused, .. } => Some(timeout_hint(refused)),
            LockError::NotAvailable { refused } => Some(not_available_hint(refused)),
            LockError::QueueFull { .. } => Some(
                "Fewer sessions should change one row at the same time: queue the work in front \
                 of the database, or spread it over several rows."
                    .to_owned(),
            ),
            LockError::ParentNotHeld { .. } => None,
        }
    }
}

fn deadlock_hint(cycle: &[CycleMember], name: Name<'_>) -> String {
    let again = "Run the transaction again.";
    let of = |member: &CycleMember| name(member.resource, member.key.as_deref());
    if let Some(member) = cycle.iter().find(|member| member.held.is_some())
        && cycle.iter().all(|other| other.resource == member.resource)
    {
        return format!(
            "{again} All of them hold {} in a weaker mode and want more: ask for the strongest \
             mode first (SELECT ... FOR UPDATE).",
            of(member)
        );
    }
    if let [ours, other] = cycle
        && ours.blocked_by_holder
        && other.blocked_by_holder
    {
        return format!(
            "{again} Lock in the same order everywhere: transaction {} took {1} and then wanted \
             {2}, transaction {3} took {2} and then wanted {1}.",
            ours.txn,
            of(other),
            of(ours),
            other.txn
        );
    }
    format!("{again} Transactions that lock in the same order do not deadlock.")
}

fn idle(refused: &Refused) -> Option<String> {
    let holder = refused.blockers.iter().find(|b| b.granted && b.is_idle)?;
    Some(format!(
        "Transaction {} is idle in transaction and began {} ago: commit or end it, or set \
         idle_in_transaction_session_timeout.",
        holder.txn,
        shown(holder.age)
    ))
}

fn timeout_hint(refused: &Refused) -> String {
    if let Some(hint) = idle(refused) {
        return hint;
    }
    if refused.ahead > 1 {
        return format!(
            "{} requests stood before this one: make transactions that use it shorter, or change \
             it last in the transaction.",
            refused.ahead
        );
    }
    "Run the transaction again, raise lock_timeout, or make the transaction in the way shorter."
        .to_owned()
}

fn not_available_hint(refused: &Refused) -> String {
    idle(refused).unwrap_or_else(|| {
        "Leave out NOWAIT and set lock_timeout to wait for a while, or use SKIP LOCKED.".to_owned()
    })
}

fn describe_cycle(cycle: &[CycleMember], name: Name<'_>) -> String {
    let mut detail = String::new();
    for (at, member) in cycle.iter().enumerate() {
        let next = cycle[(at + 1) % cycle.len()].txn;
        let _ = writeln!(
            detail,
            "Transaction {} waits for {} lock on {}; blocked by transaction {next}.",
            member.txn,
            in_words(member.mode, member.resource),
            name(member.resource, member.key.as_deref())
        );
    }
    for member in cycle {
        if let Some(statement) = &member.statement {
            let _ = writeln!(
                detail,
                "Transaction {}: {}",
                member.txn,
                shortened(statement)
            );
        }
    }
    detail.truncate(detail.trim_end().len());
    detail
}

fn describe_blockers(refused: &Refused, detail: &mut String) {
    for blocker in &refused.blockers {
        let (txn, mode) = (blocker.txn, in_words(blocker.mode, refused.resource));
        let _ = match blocker.granted {
            true => write!(detail, "\nTransaction {txn} holds {mode} lock"),
            false => write!(
                detail,
                "\nTransaction {txn} waits before us for {mode} lock"
            ),
        };
        if blocker.is_idle {
            detail.push_str(", idle in transaction");
        }
        match &blocker.statement {
            Some(statement) => {
                let _ = write!(detail, ": {}", shortened(statement));
            }
            None => detail.push('.'),
        }
    }
    let named = refused.blockers.iter().filter(|b| !b.granted).count();
    if refused.ahead > named {
        let _ = write!(
            detail,
            "\n{} requests stand before this one.",
            refused.ahead
        );
    }
}

fn shown(duration: Duration) -> String {
    match duration.as_millis() {
        ms @ 0..10_000 => format!("{ms} ms"),
        _ => format!("{} s", duration.as_secs()),
    }
}

/// One line of bounded length.
fn shortened(statement: &str) -> String {
    let mut line: String = statement
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(STATEMENT_SHOWN_MAX)
        .collect();
    if statement.chars().nth(STATEMENT_SHOWN_MAX).is_some() {
        line.push('…');
    }
    line
}

/// A mode in the words of SQL's row locks and of `LOCK TABLE`.
fn in_words(mode: Mode, resource: Resource) -> &'static str {
    match (mode, resource) {
        (Mode::IS, Resource::Row(..)) => "FOR KEY SHARE",
        (Mode::S, Resource::Row(..)) => "FOR SHARE",
        (Mode::SIX, Resource::Row(..)) => "FOR NO KEY UPDATE",
        (Mode::X, Resource::Row(..)) => "FOR UPDATE",
        (Mode::S, Resource::Advisory(..)) => "shared",
        (_, Resource::Advisory(..)) => "exclusive",
        (Mode::IS, _) => "ACCESS SHARE",
        (Mode::IX, _) => "ROW EXCLUSIVE",
        (Mode::S, _) => "SHARE",
        (Mode::SIX, _) => "SHARE ROW EXCLUSIVE",
        (Mode::U, _) => "EXCLUSIVE",
        (Mode::X, _) => "ACCESS EXCLUSIVE",
    }
}

/// Names of the row strengths of SQL, weakest first, and the modes that serve them.
pub const ROW_STRENGTHS: [(&str, Mode); 4] = [
    ("FOR KEY SHARE", Mode::IS),
    ("FOR SHARE", Mode::S),
    ("FOR NO KEY UPDATE", Mode::SIX),
    ("FOR UPDATE", Mode::X),
];
