//! Logging in: passwords, unknown users, too many failures, TLS.

use std::sync::Arc;

use tessera_engine::EngineOptions;
use tessera_postgres::{Authentication, ServeError, Server, ServerOptions};
use tokio_postgres::NoTls;

use crate::raw::{Raw, message, startup};
use crate::support::{PASSWORD, TestServer, code};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_opens_and_a_wrong_one_does_not() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client
        .batch_execute("CREATE USER bob PASSWORD 'builder'; CREATE ROLE team PASSWORD 'x'")
        .await
        .unwrap();
    drop(server.connect("bob", "builder").await.unwrap());
    let mut messages = Vec::new();
    for (user, password) in [("bob", "Builder"), ("nobody", "builder"), ("team", "x")] {
        let error = server.connect(user, password).await.err().unwrap();
        assert_eq!(code(&error), "28P01", "{user}");
        messages.push(error.as_db_error().unwrap().message().replace(user, "X"));
    }
    messages.dedup();
    assert_eq!(messages, ["password authentication failed for user \"X\""]);
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_user_is_offered_the_same_exchange() {
    let server = TestServer::start().await;
    for user in ["admin", "nobody"] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(&startup(&[("user", user)])).await;
        assert_eq!(
            raw.answers("AuthenticationSASL").await,
            ["AuthenticationSASL SCRAM-SHA-256"]
        );
        // A statement in place of the password.
        raw.send(b"Q\0\0\0\x0dselect 1\0").await;
        assert_eq!(
            raw.answers("closed").await,
            ["Error FATAL 08P01 expected SASL response", "closed"]
        );
    }
    server.stop().await;
}

/// Row 32: salt and iteration count of an unknown user look as anybody's, and stay the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_user_has_a_salt_that_does_not_change() {
    let server = TestServer::start().await;
    let mut seen = Vec::new();
    for user in ["admin", "admin", "nobody", "nobody", "somebody"] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(&startup(&[("user", user)])).await;
        raw.answers("AuthenticationSASL").await;
        let first = b"SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc";
        raw.send(&message(b'p', first)).await;
        let answer = raw.answers("AuthenticationSASLContinue").await.remove(0);
        let (nonce, salt) = answer.split_once(",s=").unwrap();
        assert!(nonce.starts_with("AuthenticationSASLContinue r=abc"));
        seen.push(salt.to_owned());
    }
    assert_eq!(seen[0], seen[1], "a real salt");
    assert_eq!(seen[2], seen[3], "a mock salt");
    assert!(seen[2] != seen[0] && seen[2] != seen[4]);
    let shape = |text: &String| {
        let (salt, iterations) = text.split_once(',').unwrap();
        (salt.len(), iterations.to_owned())
    };
    assert!(
        seen.iter().all(|text| shape(text) == shape(&seen[0])),
        "{seen:?}"
    );
    server.stop().await;
}

/// Row 8: who has not proved who he is learns nothing about databases and settings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_and_settings_are_looked_up_after_the_password() {
    let server = TestServer::start().await;
    for (password, database, options, expected) in [
        ("wrong", "nowhere", "", "28P01"),
        ("wrong", "tessera", "-c no_such_setting=1", "28P01"),
        (PASSWORD, "nowhere", "", "3D000"),
        (PASSWORD, "tessera", "-c no_such_setting=1", "42704"),
    ] {
        let mut config = server.config("admin", password);
        config.dbname(database).options(options);
        let refused = config.connect(NoTls).await.err().unwrap();
        assert_eq!(code(&refused), expected, "{database} {options}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_failures_are_not_heard_any_more() {
    let server = TestServer::with(EngineOptions::memory(), |options| {
        options.failed_logins_max = 3
    })
    .await;
    for attempt in 0..5 {
        let error = server.connect("admin", "wrong").await.err().unwrap();
        assert_eq!(
            code(&error),
            if attempt < 3 { "28P01" } else { "53300" },
            "{attempt}"
        );
    }
    assert_eq!(
        code(&server.connect("admin", PASSWORD).await.err().unwrap()),
        "53300"
    );
    server.stop().await;
}

#[tokio::test]
async fn trust_is_for_this_machine_only() {
    let engine = tessera_engine::Engine::open(EngineOptions::memory())
        .await
        .unwrap();
    let mut options = ServerOptions::on(([0, 0, 0, 0], 0).into());
    options.authentication = Authentication::Trust;
    let refused = Server::start(engine.clone(), options).await.err().unwrap();
    assert!(matches!(refused, ServeError::TrustNotLocal { .. }));
    let mut options = ServerOptions::on(([127, 0, 0, 1], 0).into());
    options.tls_required = true;
    let refused = Server::start(engine.clone(), options).await.err().unwrap();
    assert!(matches!(refused, ServeError::NoCertificate));
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_encrypts_and_may_be_required() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let server = TestServer::with(EngineOptions::memory(), |options| {
        options.tls = Some(Arc::new(config));
        options.tls_required = true;
        options.authentication = Authentication::Trust;
    })
    .await;
    // Without TLS: a clear refusal.
    let plain = server
        .config("admin", PASSWORD)
        .ssl_mode(tokio_postgres::config::SslMode::Disable)
        .connect(NoTls)
        .await;
    assert_eq!(code(&plain.err().unwrap()), "28000");
    // With it.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut socket = tokio::net::TcpStream::connect(server.address())
        .await
        .unwrap();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    socket
        .write_all(&[0, 0, 0, 8, 4, 210, 22, 47])
        .await
        .unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'S');
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut encrypted = connector.connect(name, socket).await.unwrap();
    encrypted
        .write_all(&startup(&[("user", "admin")]))
        .await
        .unwrap();
    assert_eq!(encrypted.read_u8().await.unwrap(), b'R');
    encrypted.shutdown().await.unwrap();
    drop(encrypted);
    server.stop().await;
}
