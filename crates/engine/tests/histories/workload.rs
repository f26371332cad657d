//! Sixteen sessions with random transactions over all models.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tessera_engine::models::{BeginOptions, Client};
use tessera_engine::{Engine, Isolation, Report, Session, TransactionStatus};
use tessera_histories::{Element, Key, Outcome, Step, Txn};

use crate::lists::{Home, Members, create, home};

const TASKS: u64 = 16;
const TXNS_PER_TASK: usize = 24;
/// Lists in use at the same time: two of each model.
const LISTS: u64 = 6;
/// Transactions after which one list is replaced by a new one.
const TXNS_PER_LIST: u64 = 20;
const STEPS_MAX: u64 = 5;

/// What is wrong with the clients on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Keys and documents are read without the transaction's token.
    ReadsOutside,
    /// A document is written whole, from what was read before.
    WritesWhatItRead,
}

/// How the members of a transaction come together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// A SQL session began it; the models join, and SQL goes on in the same session.
    BySession,
    /// The same, and SQL goes on in a second session that joins, too.
    BySessionForAnother,
    /// It is held for its token; the models and a SQL session join.
    ByToken,
}

/// Small and good enough (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

struct Workload {
    engine: Engine,
    client: Client,
    level: Isolation,
    flaw: Flaw,
    element: AtomicU64,
    begun: AtomicU64,
    history: Mutex<Vec<Txn>>,
}

/// The sessions of one task.
struct Sessions {
    own: Session,
    second: Session,
    outside: Session,
}

/// Runs the workload; the history ends with one that reads everything when all are done.
pub(crate) async fn run(engine: &Engine, level: Isolation, flaw: Flaw, seed: u64) -> Vec<Txn> {
    let client = engine.client("admin").unwrap();
    let mut session = engine.session("admin").await.unwrap();
    create(&client, &mut session).await;
    let workload = Arc::new(Workload {
        engine: engine.clone(),
        client: client.clone(),
        level,
        flaw,
        element: AtomicU64::new(1),
        begun: AtomicU64::new(0),
        history: Mutex::default(),
    });
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (workload, random) = (Arc::clone(&workload), Random(seed ^ (task << 32)));
            tokio::spawn(async move { workload.task(random).await })
        })
        .collect();
    for task in tasks {
        engine.checkpoint().await.unwrap();
        task.await.unwrap();
    }
    let mut history = std::mem::take(&mut *workload.history.lock());
    let mut reader = Members {
        client: &client,
        joined: None,
        sql: &mut session,
    };
    history.push(Txn {
        steps: vec![Step::ReadAll(reader.read_all().await.unwrap())],
        outcome: Outcome::Committed,
    });
    history
}

fn begin(level: Isolation) -> &'static str {
    match level {
        Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
        Isolation::RepeatableRead => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
    }
}

/// Another one won; nothing else may go wrong.
fn check_lost(report: &Report) {
    let code = report.code.as_str();
    assert!(matches!(code, "40001" | "40P01"), "{report:?}");
}

impl Workload {
    async fn task(&self, mut random: Random) {
        let mut sessions = Sessions {
            own: self.engine.session("admin").await.unwrap(),
            second: self.engine.session("admin").await.unwrap(),
            outside: self.engine.session("admin").await.unwrap(),
        };
        for _ in 0..TXNS_PER_TASK {
            self.begun.fetch_add(1, Ordering::Relaxed);
            let mut steps = Vec::new();
            let begun = match random.below(3) {
                0 => Begun::BySession,
                1 => Begun::BySessionForAnother,
                _ => Begun::ByToken,
            };
            let outcome = self
                .transaction(&mut sessions, begun, &mut random, &mut steps)
                .await;
            self.history.lock().push(Txn { steps, outcome });
            for session in [&sessions.own, &sessions.second] {
                assert_eq!(session.status(), TransactionStatus::Idle);
            }
        }
    }

    async fn transaction(
        &self,
        sessions: &mut Sessions,
        begun: Begun,
        random: &mut Random,
        steps: &mut Vec<Step>,
    ) -> Outcome {
        let token = match begun {
            Begun::ByToken => self
                .client
                .begin(BeginOptions {
                    isolation: Some(self.level),
                    ..BeginOptions::default()
                })
                .unwrap(),
            Begun::BySession | Begun::BySessionForAnother => {
                sessions.own.run(begin(self.level)).await.unwrap();
                let token = sessions.own.query("SHOW tessera.transaction_token", &[]);
                token.await.unwrap().text(0, 0).unwrap()
            }
        };
        if begun != Begun::BySession {
            sessions.second.join_transaction(&token).unwrap();
        }
        let joined = self.client.join(&token).unwrap();
        let mut members = Members {
            client: &self.client,
            joined: Some(joined),
            sql: match begun {
                Begun::BySession => &mut sessions.own,
                _ => &mut sessions.second,
            },
        };
        let outside = &mut sessions.outside;
        let done = self.steps(&mut members, outside, random, steps).await;
        if let Err(report) = &done {
            check_lost(report);
        }
        drop(members);
        let commits = done.is_ok() && random.below(12) > 0;
        self.end(sessions, begun, &token, commits).await
    }

    async fn end(
        &self,
        sessions: &mut Sessions,
        begun: Begun,
        token: &str,
        commits: bool,
    ) -> Outcome {
        let ended = match (begun, commits) {
            (Begun::ByToken, true) => {
                sessions.second.run("RESET tessera.join").await.unwrap();
                self.client.commit_held(token).await
            }
            (_, true) => {
                if begun == Begun::BySessionForAnother {
                    sessions.second.run("RESET tessera.join").await.unwrap();
                }
                let committed = sessions.own.run("COMMIT").await;
                committed.map(|results| assert_eq!(results[0].tag, "COMMIT"))
            }
            (Begun::ByToken, false) => {
                sessions.second.run("ROLLBACK").await.unwrap();
                // A lost conflict has ended it, and the token leads to nothing any more.
                let _ = self.client.roll_back_held(token);
                return Outcome::Aborted;
            }
            (_, false) => {
                if begun == Begun::BySessionForAnother {
                    sessions.second.run("ROLLBACK").await.unwrap();
                }
                sessions.own.run("ROLLBACK").await.unwrap();
                return Outcome::Aborted;
            }
        };
        match ended {
            Ok(()) => Outcome::Committed,
            Err(report) => {
                check_lost(&report);
                // A failed COMMIT has ended the block.
                Outcome::Aborted
            }
        }
    }

    async fn steps(
        &self,
        members: &mut Members<'_>,
        outside: &mut Session,
        random: &mut Random,
        steps: &mut Vec<Step>,
    ) -> Result<(), Report> {
        for _ in 0..=random.below(STEPS_MAX) {
            let key = self.key(random);
            match random.below(10) {
                0..5 => {
                    let element = self.append(members, outside, key).await?;
                    steps.push(Step::Append(key, element));
                }
                5..8 => {
                    let read = if self.flaw == Flaw::ReadsOutside && home(key) != Home::Row {
                        self.outside(outside).read(key).await?
                    } else {
                        members.read(key).await?
                    };
                    steps.push(Step::Read(key, read));
                }
                8 => steps.push(Step::ReadAll(members.read_all().await?)),
                _ => {
                    // Undone again, by whichever member, so it must leave nothing behind.
                    let by_sql = random.below(2) == 0;
                    savepoint(members, by_sql, "SAVEPOINT s").await?;
                    let element = self.element.fetch_add(1, Ordering::Relaxed);
                    members.append(key, element).await?;
                    savepoint(members, by_sql, "ROLLBACK TO SAVEPOINT s").await?;
                    savepoint(members, by_sql, "RELEASE SAVEPOINT s").await?;
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn key(&self, random: &mut Random) -> Key {
        let oldest = self.begun.load(Ordering::Relaxed) / TXNS_PER_LIST;
        u32::try_from(oldest + random.below(LISTS)).unwrap()
    }

    fn outside<'a>(&'a self, sql: &'a mut Session) -> Members<'a> {
        Members {
            client: &self.client,
            joined: None,
            sql,
        }
    }

    async fn append(
        &self,
        members: &mut Members<'_>,
        outside: &mut Session,
        key: Key,
    ) -> Result<Element, Report> {
        let element = self.element.fetch_add(1, Ordering::Relaxed);
        if self.flaw == Flaw::WritesWhatItRead && home(key) == Home::Document {
            let mut list = self.outside(outside).read(key).await?;
            tokio::task::yield_now().await;
            list.push(element);
            members.overwrite(key, &list).await?;
        } else {
            members.append(key, element).await?;
        }
        Ok(element)
    }
}

/// A statement about a savepoint, by the SQL member or by the transaction's own handle.
async fn savepoint(members: &mut Members<'_>, by_sql: bool, sql: &str) -> Result<(), Report> {
    if by_sql {
        return members.sql.run(sql).await.map(drop);
    }
    let joined = members.joined.as_ref().unwrap();
    let txn = joined.transaction();
    let done = match sql.split(' ').next() {
        Some("SAVEPOINT") => txn.savepoint("s"),
        Some("ROLLBACK") => txn.rollback_to("s"),
        _ => txn.release("s"),
    };
    done.map_err(|error| error.report())
}
