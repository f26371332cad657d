//! Contention with known answers: who waits for which row because of which statement is known
//! beforehand, and the profile must say so and account for all of the time.

use std::time::{Duration, Instant};

use tessera_engine::{Engine, EngineOptions, Session};
use tessera_planner::mask_literals;

const WITHIN: Duration = Duration::from_secs(30);
const SEEDS: [u64; 3] = [1, 2_026, 77_777];
/// Cases of one seed, each on a table of its own.
const CASES: u64 = 6;
const ROWS: u64 = 8;

const HOLDERS: [&str; 3] = [
    "UPDATE {table} SET n = n + 1 WHERE id = {id}",
    "DELETE FROM {table} WHERE id = {id}",
    "SELECT n FROM {table} WHERE id = {id} FOR UPDATE",
];
const WAITERS: [&str; 4] = [
    "UPDATE {table} SET n = 5 WHERE id = {id}",
    "DELETE FROM {table} WHERE id = {id}",
    "SELECT id FROM {table} WHERE id = {id} FOR SHARE",
    "SELECT id FROM {table} WHERE id = {id} FOR NO KEY UPDATE",
];

/// Marsaglia's xorshift, so that a seed means the same cases for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_of(&mut self, texts: &[&str]) -> String {
        texts[self.below(texts.len() as u64) as usize].to_owned()
    }
}

async fn number(session: &mut Session, sql: &str) -> u64 {
    let rows = session.query(sql, &[]).await.unwrap();
    rows.text(0, 0).unwrap().parse().unwrap()
}

async fn until_so_many_wait(session: &mut Session, wanted: u64) {
    let deadline = Instant::now() + WITHIN;
    while number(session, "SELECT count(*) FROM tessera.lock_waits").await != wanted {
        assert!(Instant::now() < deadline, "{wanted} should wait");
        tokio::task::yield_now().await;
    }
}

/// One holder and some waiters, all on one row; then what the profile says about that table.
async fn case(engine: &Engine, number_of_case: u64, random: &mut Random) {
    let table = format!("case_{number_of_case}");
    let id = 1 + random.below(ROWS);
    let fill = |text: String| {
        text.replace("{table}", &table)
            .replace("{id}", &id.to_string())
    };
    let holding = fill(random.one_of(&HOLDERS));
    let waiting = fill(random.one_of(&WAITERS));
    let waiters = 1 + random.below(4);
    let mut observer = engine.session("admin").await.unwrap();
    observer
        .run(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, n int);
             INSERT INTO {table} SELECT g, 0 FROM generate_series(1, {ROWS}) AS s(g)"
        ))
        .await
        .unwrap();
    let mut holder = engine.session("admin").await.unwrap();
    holder.run("BEGIN").await.unwrap();
    holder.run(&holding).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..waiters {
        let mut session = engine.session("admin").await.unwrap();
        let waiting = waiting.clone();
        tasks.push(tokio::spawn(async move {
            session.run(&waiting).await.map(drop)
        }));
    }
    until_so_many_wait(&mut observer, waiters).await;
    holder.run("ROLLBACK").await.unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let of_table = format!("relation = '{table}'::regclass");
    let leaves = observer
        .query(
            &format!(
                "SELECT statement, key, blocking_statement FROM tessera.lock_profile WHERE {of_table}"
            ),
            &[],
        )
        .await
        .unwrap();
    let (waiting, holding) = (mask_literals(&waiting), mask_literals(&holding));
    let mut blames_holder = false;
    for row in 0..leaves.rows.len() {
        assert_eq!(leaves.text(row, 0).as_deref(), Some(waiting.as_ref()));
        let key = format!("(id)=({id})");
        assert_eq!(leaves.text(row, 1).as_deref(), Some(key.as_str()));
        let blocking = leaves.text(row, 2).unwrap();
        assert!(blocking == holding || blocking == waiting, "{blocking}");
        blames_holder |= blocking == holding;
    }
    assert!(blames_holder, "nobody blames {holding}");
    let sum = |view: &str| {
        format!("SELECT coalesce(sum(waited_us), 0)::bigint FROM tessera.{view} WHERE {of_table}")
    };
    let waited = number(&mut observer, &sum("recent_lock_waits")).await;
    let profiled = number(&mut observer, &sum("lock_profile")).await;
    let count = format!("SELECT count(*) FROM tessera.recent_lock_waits WHERE {of_table}");
    assert!(number(&mut observer, &count).await >= waiters);
    // Each wait and each leaf is cut to whole microseconds.
    let allowed = waited / 100 + waiters + leaves.rows.len() as u64;
    assert!(
        waited.abs_diff(profiled) <= allowed,
        "waited {waited} us, profiled {profiled} us"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_profile_names_row_and_statements_and_accounts_for_all_of_the_time() {
    for seed in SEEDS {
        println!("seed {seed}");
        let engine = Engine::open(EngineOptions::memory()).await.unwrap();
        let mut session = engine.session("admin").await.unwrap();
        session
            .run("SELECT tessera_profile_locks(true)")
            .await
            .unwrap();
        drop(session);
        let mut random = Random(seed);
        for number_of_case in 0..CASES {
            case(&engine, number_of_case, &mut random).await;
        }
        engine.close().await.unwrap();
    }
}

const CLIENTS: usize = 64;
const INCREMENTS: usize = 20;

/// A hot counter: nobody is left behind, and no increment is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_on_one_counter_lose_no_increment() {
    let engine = Engine::open(EngineOptions::memory()).await.unwrap();
    let mut session = engine.session("admin").await.unwrap();
    session
        .run("CREATE TABLE counter (id int PRIMARY KEY, n int); INSERT INTO counter VALUES (1, 0)")
        .await
        .unwrap();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut session = engine.session("admin").await.unwrap();
        clients.push(tokio::spawn(async move {
            for _ in 0..INCREMENTS {
                session
                    .run("UPDATE counter SET n = n + 1 WHERE id = 1")
                    .await
                    .unwrap();
            }
        }));
    }
    let all = async {
        for client in clients {
            client.await.unwrap();
        }
    };
    tokio::time::timeout(2 * WITHIN, all).await.unwrap();
    let expected = (CLIENTS * INCREMENTS) as u64;
    assert_eq!(
        number(&mut session, "SELECT n FROM counter").await,
        expected
    );
    drop(session);
    engine.close().await.unwrap();
}
