//! The address of the Redis protocol, which this version does not speak: every client is told so
//! in its own words and sent away.

use std::net::SocketAddr;
use std::time::Duration;

use tessera_tasks::{Drained, TaskGroup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a client reads, whatever it asked.
const ANSWER: &[u8] = b"-ERR the Redis protocol is not part of this version of Tessera; \
                        connect with a PostgreSQL client\r\n";
/// Clients that are being answered at one time; more are closed unheard.
const CLIENTS_MAX: usize = 64;
/// Time for a client to take its answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause after a failed accept, such as when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The open port.
pub(crate) struct RedisPort {
    address: SocketAddr,
    tasks: TaskGroup,
}

impl RedisPort {
    /// Opens the port and answers it in the background.
    pub(crate) async fn start(address: SocketAddr) -> std::io::Result<RedisPort> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let tasks = TaskGroup::new("redis", "server", CLIENTS_MAX + 1);
        // The group is new and has room for one.
        let started = tasks.spawn("accept", accept(listener, tasks.clone()));
        debug_assert!(started.is_ok());
        Ok(RedisPort { address, tasks })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and every connection to it.
    pub(crate) async fn stop(self) -> Drained {
        self.tasks.drain(PATIENCE).await
    }
}

async fn accept(listener: TcpListener, tasks: TaskGroup) {
    let stop = tasks.token();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // A full group drops the connection.
            Ok((stream, _)) => drop(tasks.spawn("answer", async {
                // Whether the client takes its answer is its own business.
                let _ = tokio::time::timeout(PATIENCE, answer(stream)).await;
            })),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(ANSWER).await?;
    stream.shutdown().await?;
    // Closing with unread input would make the system drop the answer on its way.
    while stream.read(&mut [0; 512]).await? > 0 {}
    Ok(())
}
