//! Pipelines: order, fates, and that a client sees what it wrote.

use tessera_storage::{CommitOutcome, StoreError};

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

/// Method: the store refuses one commit of a pipeline.
#[tokio::test]
async fn commands_of_a_pipeline_have_their_own_fates() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.check("ping", "PONG").await;
    let memory = server.memory.as_ref().unwrap();
    let busy = StoreError::Busy { reason: "test" };
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
