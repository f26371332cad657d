//! Pipelines: order, fates, and that a client sees what it wrote.

use tessera_storage::{CommitOutcome, StoreError};
use tessera_types::Version;

use crate::support::{Client, TestServer};
use crate::wire::{encode, words};

async fn pipeline(client: &mut Client, commands: &[&str]) -> Vec<String> {
    let bytes: Vec<u8> = commands
        .iter()
        .flat_map(|command| encode(&words(command)))
        .collect();
    client.raw(&bytes).await;
    let mut answers = Vec::new();
    for _ in commands {
        answers.push(client.answer().await);
    }
    answers
}

/// Over the engine whose commits take a sync, so that they are under way when the next command
/// comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_sees_its_own_writes() {
    let server = TestServer::embedded().await;
    let mut client = server.client().await;
    for round in 0..20 {
        let answers = pipeline(
            &mut client,
            &[
                &format!("set a {round}"),
                "set b x",
                "get a",
                "incr n",
                "incr n",
                "get n",
                "del b",
                "exists a b",
                "dbsize",
                "select 1",
                "set a other",
                "get a",
                "select 0",
                "get a",
            ],
        )
        .await;
        let n = round * 2;
        let expected = [
            "OK".to_owned(),
            "OK".to_owned(),
            format!("\"{round}\""),
            format!("(integer) {}", n + 1),
            format!("(integer) {}", n + 2),
            format!("\"{}\"", n + 2),
            "(integer) 1".to_owned(),
            "(integer) 1".to_owned(),
            "(integer) 2".to_owned(),
            "OK".to_owned(),
            "OK".to_owned(),
            "\"other\"".to_owned(),
            "OK".to_owned(),
            format!("\"{round}\""),
        ];
        assert_eq!(answers, expected);
    }
    server.stop().await;
}

/// Method: the store refuses the commit of the pipeline's group, and then that of its first
/// command by itself.
#[tokio::test]
async fn commands_of_a_pipeline_have_their_own_fates() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.check("ping", "PONG").await;
    let memory = server.memory.as_ref().unwrap();
    let busy = StoreError::Busy { reason: "test" };
    memory.next_commit(CommitOutcome::Aborted(busy.clone()));
    memory.next_commit(CommitOutcome::Aborted(busy));
    let answers = pipeline(&mut client, &["set a 1", "set b 2", "get a", "get b"]).await;
    assert!(answers[0].starts_with("(error) ERR "), "{answers:?}");
    assert_eq!(answers[1..], ["OK", "(nil)", "\"2\""]);
    server.stop().await;
}

#[tokio::test]
async fn an_error_does_not_stop_a_pipeline() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let answers = pipeline(
        &mut client,
        &["set a text", "incr a", "nonsense", "get a", "get", "ping"],
    )
    .await;
    assert_eq!(answers[0], "OK");
    assert!(answers[1].starts_with("(error) ERR value is not an integer"));
    assert!(answers[2].starts_with("(error) ERR unknown command"));
    assert_eq!(answers[3], "\"text\"");
    assert!(answers[4].starts_with("(error) ERR wrong number"));
    assert_eq!(answers[5], "PONG");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deep_pipeline_of_large_answers_is_served() {
    let server = TestServer::embedded().await;
    let mut client = server.client().await;
    let value = "v".repeat(50_000);
    client.check(&format!("set k {value}"), "OK").await;
    let commands: Vec<String> = (0..3_000)
        .map(|number| match number % 100 {
            0 => "get k".to_owned(),
            _ => format!("set key:{number} {number}"),
        })
        .collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let answers = pipeline(&mut client, &commands).await;
    for (command, answer) in commands.iter().zip(answers) {
        match *command {
            "get k" => assert_eq!(answer.len(), value.len() + 2),
            _ => assert_eq!(answer, "OK"),
        }
    }
    client.check("dbsize", "(integer) 2971").await;
    server.stop().await;
}

/// Two connections whose pipelines take the same locks in opposite order: each holds a lock by a
/// commit that is under way while it waits for the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_do_not_block_each_other() {
    let server = TestServer::embedded().await;
    let mut one = server.client().await;
    let mut two = server.client().await;
    let forth: Vec<String> = (0..200).map(|n| format!("incr {}", n % 7)).collect();
    let back: Vec<String> = (0..200).map(|n| format!("incr {}", 6 - n % 7)).collect();
    let forth: Vec<&str> = forth.iter().map(String::as_str).collect();
    let back: Vec<&str> = back.iter().map(String::as_str).collect();
    let both = async { tokio::join!(pipeline(&mut one, &forth), pipeline(&mut two, &back)) };
    let both = tokio::time::timeout(crate::support::SOON, both);
    let (first, second) = both.await.expect("nobody waits for ever");
    let failed = first
        .iter()
        .chain(&second)
        .find(|answer| !answer.starts_with("(integer)"));
    assert_eq!(failed, None);
    let sum = pipeline(&mut one, &["mget 0 1 2 3 4 5 6"]).await.remove(0);
    let sum: u64 = sum
        .lines()
        .map(|line| line[4..line.len() - 1].parse::<u64>().unwrap())
        .sum();
    assert_eq!(sum, 400);
    server.stop().await;
}

/// INCR fails only by the text that SET has written before it: without the SET, it counts.
#[tokio::test]
async fn a_failure_by_what_was_refused_is_no_failure() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.check("ping", "PONG").await;
    let memory = server.memory.as_ref().unwrap();
    let busy = StoreError::Busy { reason: "test" };
    memory.next_commit(CommitOutcome::Aborted(busy.clone()));
    memory.next_commit(CommitOutcome::Aborted(busy));
    let answers = pipeline(&mut client, &["set a text", "incr a", "get a"]).await;
    assert!(answers[0].contains("busy"), "{answers:?}");
    assert_eq!(answers[1..], ["(integer) 1", "\"1\""]);
    server.stop().await;
}

/// Nobody knows what became of the group's commit: nothing of it may be done twice.
#[tokio::test]
async fn a_group_of_unknown_outcome_is_not_run_again() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.check("incr n", "(integer) 1").await;
    let memory = server.memory.as_ref().unwrap();
    // Done, and its answer is lost.
    let lost = CommitOutcome::Committed(Version(0));
    memory.next_commit(lost);
    let answers = pipeline(&mut client, &["incr n", "incr n", "incr n"]).await;
    for answer in answers {
        assert!(answer.contains("it is not known"), "{answer}");
    }
    client.check("get n", "\"4\"").await;
    server.stop().await;
}

/// Method: while a transaction holds the key's lock, forty clients come; then it commits. On one
/// thread, so whoever is listed with its command has gone as far as it could.
#[tokio::test]
async fn commands_on_a_busy_key_share_a_commit() {
    const CLIENTS: usize = 40;
    let server = TestServer::embedded().await;
    let mut holder = server.client().await;
    holder.check("tx.begin", "OK").await;
    holder.check("incr n", "(integer) 1").await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = server.client().await;
        let command = if number == 7 { "lpush n x" } else { "incr n" };
        client.send(command).await;
        clients.push(client);
    }
    let mut observer = server.client().await;
    let all_wait = async {
        loop {
            let list = observer.run("client list").await;
            let waiting = list.matches("cmd=incr").count() + list.matches("cmd=lpush").count();
            if waiting == CLIENTS + 1 {
                break;
            }
        }
    };
    let is_over = tokio::time::timeout(crate::support::SOON, all_wait).await;
    is_over.expect("all clients are listed with their commands");
    let commits_before = server.commits();
    holder.check("tx.commit", "OK").await;
    let mut values = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.answer().await;
        if number == 7 {
            assert!(answer.starts_with("(error) WRONGTYPE"), "{answer}");
        } else {
            values.push(answer);
        }
    }
    values.sort();
    values.dedup();
    assert_eq!(values.len(), CLIENTS - 1, "each has a number of its own");
    observer.check("get n", "\"40\"").await;
    // The holder's, and one for all the others.
    assert_eq!(server.commits() - commits_before, 2);
    server.stop().await;
}

/// The leader of those who wait for a key goes away: the others are served all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_leaves_hands_everything_back() {
    let server = TestServer::embedded().await;
    let mut holder = server.client().await;
    holder.check("tx.begin", "OK").await;
    holder.check("incr n", "(integer) 1").await;
    let mut leader = server.client().await;
    let id = leader.run("client id").await;
    let id = id.trim_start_matches("(integer) ");
    leader.send("incr n").await;
    let mut follower = server.client().await;
    follower.send("incr n").await;
    let mut observer = server.client().await;
    observer
        .check(&format!("client kill id {id}"), "(integer) 1")
        .await;
    holder.check("tx.commit", "OK").await;
    let answer = follower.answer().await;
    assert!(
        matches!(answer.as_str(), "(integer) 2" | "(integer) 3"),
        "{answer}"
    );
    server.stop().await;
}
