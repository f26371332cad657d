//! Advisory locks: `pg_advisory_lock` and its kin.
//!
//! A lock of the session is counted: it is given back when it was released as often as it was
//! taken, in either mode. A lock of the transaction (`…_xact_…`) ends with it.
//!
//! Source: PostgreSQL's pages on advisory locks (13.3.5) and their functions (9.27.10).

use std::collections::HashMap;
use std::sync::OnceLock;

use parking_lot::Mutex;
use tessera_locks::{Grant, LockManager, LockOptions, Mode, Owner, Resource, SessionGroup, Wait};
use tessera_planner::functions::{FunctionRegistry, Scalar};
use tessera_types::{Report, SqlType, TxnId, Value, codes};

use super::functions::{Call, RowFunction, Strictness, add, int8_of, row_function};
use super::rows::text;
use crate::dml::target;

/// The one-key functions' space; the two-key functions have another.
const SPACE_ONE_KEY: u64 = 1;
const SPACE_TWO_KEYS: u64 = 2;

/// Advisory locks of one session.
#[derive(Debug, Default)]
pub struct AdvisoryLocks {
    /// The session's owners: this one and its transactions'.
    pub group: SessionGroup,
    owner: OnceLock<Owner>,
    counts: Mutex<HashMap<Resource, Counts>>,
}

/// How often a lock was taken.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    exclusive: u32,
    shared: u32,
}

impl Counts {
    fn of(&mut self, mode: Mode) -> &mut u32 {
        match mode {
            Mode::X => &mut self.exclusive,
            _ => &mut self.shared,
        }
    }
}

impl AdvisoryLocks {
    /// Whom the lock manager sees as the holder, if the session ever took such a lock.
    pub fn owner(&self) -> Option<TxnId> {
        self.owner.get().map(Owner::txn)
    }

    /// Gives all of them back: the end of the session, and `pg_advisory_unlock_all`.
    pub fn release_all(&self, locks: &LockManager) {
        self.counts.lock().clear();
        if let Some(owner) = self.owner.get() {
            locks.release_all(owner);
        }
    }
}

/// Adds the functions.
pub(super) fn register(registry: &mut FunctionRegistry) {
    use SqlType::{BigInt, Boolean, Integer, Void};
    let shapes: [&[SqlType]; 2] = [&[BigInt], &[Integer, Integer]];
    for arguments in shapes {
        let mut function = |name: &str, returns: &SqlType, function: RowFunction| {
            let strict = Strictness::Strict;
            let scalar: Scalar = row_function(name, arguments, returns.clone(), strict, function);
            add(registry, scalar.volatile());
        };
        function("pg_advisory_lock", &Void, |call, keys| {
            take(call, keys, Mode::X, Wait::Block)
        });
        function("pg_advisory_lock_shared", &Void, |call, keys| {
            take(call, keys, Mode::S, Wait::Block)
        });
        function("pg_try_advisory_lock", &Boolean, |call, keys| {
            take(call, keys, Mode::X, Wait::SkipLocked)
        });
        function("pg_try_advisory_lock_shared", &Boolean, |call, keys| {
            take(call, keys, Mode::S, Wait::SkipLocked)
        });
        function("pg_advisory_xact_lock", &Void, |call, keys| {
            take_in_transaction(call, keys, Mode::X, Wait::Block)
        });
        function("pg_advisory_xact_lock_shared", &Void, |call, keys| {
            take_in_transaction(call, keys, Mode::S, Wait::Block)
        });
        function("pg_try_advisory_xact_lock", &Boolean, |call, keys| {
            take_in_transaction(call, keys, Mode::X, Wait::SkipLocked)
        });
        function(
            "pg_try_advisory_xact_lock_shared",
            &Boolean,
            |call, keys| take_in_transaction(call, keys, Mode::S, Wait::SkipLocked),
        );
        function("pg_advisory_unlock", &Boolean, |call, keys| {
            give_back(call, keys, Mode::X)
        });
        function("pg_advisory_unlock_shared", &Boolean, |call, keys| {
            give_back(call, keys, Mode::S)
        });
    }
    let all = row_function(
        "pg_advisory_unlock_all",
        &[],
        Void,
        Strictness::Strict,
        |call, _| {
            let locks = call.executor.transactions().locks();
            call.statement.session.state.advisory.release_all(locks);
            Ok(text(""))
        },
    );
    add(registry, all.volatile());
}

fn resource_of(keys: &[Value]) -> Resource {
    match keys {
        [high, low] => {
            let halves = [int8_of(high), int8_of(low)].map(|half| half as u32);
            let key = u64::from(halves[0]) << 32 | u64::from(halves[1]);
            Resource::Advisory(SPACE_TWO_KEYS, key)
        }
        keys => {
            let key = keys.first().map_or(0, int8_of);
            Resource::Advisory(SPACE_ONE_KEY, key as u64)
        }
    }
}

/// Nothing where the function waits, else whether the lock was free.
fn granted(wait: Wait, grant: Grant) -> Value {
    match wait {
        Wait::Block => text(""),
        _ => Value::Boolean(grant != Grant::Skipped),
    }
}

fn take(call: &Call<'_>, keys: &[Value], mode: Mode, wait: Wait) -> Result<Value, Report> {
    let resource = resource_of(keys);
    let transactions = call.executor.transactions();
    let advisory = &call.statement.session.state.advisory;
    let owner = advisory
        .owner
        .get_or_init(|| transactions.session_owner(&advisory.group));
    let options = options(call, wait);
    let grant = wait_for(target::cancellable(call.statement, async {
        let lock = transactions
            .locks()
            .acquire(owner, resource, mode, &options);
        lock.await.map_err(|error| error.report().with_cause(error))
    }))?;
    if grant != Grant::Skipped {
        *advisory.counts.lock().entry(resource).or_default().of(mode) += 1;
    }
    Ok(granted(wait, grant))
}

fn take_in_transaction(
    call: &Call<'_>,
    keys: &[Value],
    mode: Mode,
    wait: Wait,
) -> Result<Value, Report> {
    let options = options(call, wait);
    let grant = wait_for(target::cancellable(call.statement, async {
        let lock = call.statement.txn.lock(resource_of(keys), mode, &options);
        lock.await.map_err(|error| error.report())
    }))?;
    Ok(granted(wait, grant))
}

fn options(call: &Call<'_>, wait: Wait) -> LockOptions {
    LockOptions {
        wait,
        ..target::lock_options(call.statement)
    }
}

fn give_back(call: &Call<'_>, keys: &[Value], mode: Mode) -> Result<Value, Report> {
    let resource = resource_of(keys);
    let locks = call.executor.transactions().locks();
    let advisory = &call.statement.session.state.advisory;
    let mut counts = advisory.counts.lock();
    let mut left = counts.get(&resource).copied().unwrap_or_default();
    let (1.., Some(owner)) = (*left.of(mode), advisory.owner.get()) else {
        let name = if mode == Mode::X {
            "ExclusiveLock"
        } else {
            "ShareLock"
        };
        call.statement.notices.push(Report::warning(
            codes::WARNING,
            format!("you don't own a lock of type {name}"),
        ));
        return Ok(Value::Boolean(false));
    };
    *left.of(mode) -= 1;
    counts.insert(resource, left);
    if left.exclusive == 0 && left.shared == 0 {
        counts.remove(&resource);
        locks.release_one(owner, resource);
    } else if left.exclusive == 0 {
        locks.weaken(owner, resource, Mode::S);
    }
    Ok(Value::Boolean(true))
}

/// Waits inside a function, which cannot be asynchronous: the thread's other tasks move to
/// another thread meanwhile.
fn wait_for<T>(work: impl Future<Output = Result<T, Report>>) -> Result<T, Report> {
    use futures::FutureExt;
    use tokio::runtime::{Handle, RuntimeFlavor};
    let mut work = Box::pin(work);
    // A free lock is granted at once.
    if let Some(done) = work.as_mut().now_or_never() {
        return done;
    }
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(|| runtime.block_on(work))
        }
        _ => futures::executor::block_on(work),
    }
}
