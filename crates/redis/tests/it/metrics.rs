//! What the server's metrics say of the port. They belong to the process, which other tests share, so
//! only how they grow is compared.

use tessera_telemetry::labels::{CommandClass, ConnectionResult, Direction, Outcome, Protocol};
use tessera_telemetry::metrics;

use crate::support::TestServer;

#[tokio::test]
async fn connections_commands_errors_bytes_and_times_are_counted() {
    let metrics = metrics();
    let ok = |class| metrics.redis_commands.with((class, Outcome::Ok)).value();
    let failed = |class| metrics.redis_commands.with((class, Outcome::Error)).value();
    let attempts = &metrics.connections_total;
    let accepted = attempts.with((Protocol::Redis, ConnectionResult::Accepted));
    let bytes = |direction| metrics.network_bytes.with((Protocol::Redis, direction));
    let hashes = metrics.redis_command_duration.with(CommandClass::Hash);
    let before = (
        ok(CommandClass::Hash),
        failed(CommandClass::Hash),
        ok(CommandClass::Transaction),
        accepted.value(),
        bytes(Direction::In).value(),
        bytes(Direction::Out).value(),
        metrics.redis_error_replies.value(),
        metrics.redis_commands_received.value(),
        hashes.totals().0,
    );
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.check("set text v", "OK").await;
    client.check("hset h f v", "(integer) 1").await;
    client.check("hget h f", "\"v\"").await;
    let wrong = "(error) WRONGTYPE Operation against a key holding the wrong kind of value";
    client.check("hget text f", wrong).await;
    client.run("nonsense").await;
    client.check("multi", "OK").await;
    client.check("hlen h", "QUEUED").await;
    client.check("exec", "1) (integer) 1").await;
    let open = metrics.connections.with((
        Protocol::Redis,
        tessera_telemetry::labels::ConnectionState::Active,
    ));
    assert!(open.value() >= 1);
    server.stop().await;
    assert!(ok(CommandClass::Hash) >= before.0 + 3);
    assert!(failed(CommandClass::Hash) > before.1);
    assert!(ok(CommandClass::Transaction) >= before.2 + 2);
    assert!(accepted.value() > before.3);
    assert!(bytes(Direction::In).value() >= before.4 + 150);
    assert!(bytes(Direction::Out).value() >= before.5 + 100);
    assert!(metrics.redis_error_replies.value() >= before.6 + 2);
    assert!(metrics.redis_commands_received.value() >= before.7 + 8);
    assert!(hashes.totals().0 >= before.8 + 4);
    let exposed = tessera_telemetry::render(tessera_telemetry::Exposition::Prometheus);
    for series in [
        "tessera_redis_commands_total{class=\"hash\",result=\"ok\"}",
        "tessera_redis_command_duration_seconds_bucket{class=\"hash\",le=",
        "tessera_connections_total{protocol=\"redis\",result=\"accepted\"}",
        "tessera_network_bytes_total{protocol=\"redis\",direction=\"in\"}",
        "tessera_redis_error_replies_total ",
        "tessera_redis_blocked_clients ",
    ] {
        assert!(exposed.contains(series), "{series}");
    }
}

#[tokio::test]
async fn blocked_clients_are_a_gauge() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send("blpop l 0").await;
    server.until_blocked(1).await;
    assert!(tessera_telemetry::metrics().redis_blocked_clients.value() >= 1);
    let mut other = server.client().await;
    other.check("rpush l x", "(integer) 1").await;
    client.answer().await;
    server.stop().await;
}
