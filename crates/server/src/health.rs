//! What the HTTP port tells about the server.

use parking_lot::RwLock;
use tessera_engine::Engine;
use tessera_http::{HealthSource, Status};

/// Where the server is in its life.
pub(crate) enum Phase {
    /// Opening the data directory, replaying the log.
    Starting,
    /// Both ports are open.
    Running(Engine),
    /// Asked to stop.
    Stopping,
}

/// Answers the health routes; lives from before the engine is open until after it is closed.
pub(crate) struct ServerHealth {
    phase: RwLock<Phase>,
}

impl ServerHealth {
    pub(crate) fn new() -> ServerHealth {
        ServerHealth {
            phase: RwLock::new(Phase::Starting),
        }
    }

    pub(crate) fn set(&self, phase: Phase) {
        *self.phase.write() = phase;
    }
}

impl HealthSource for ServerHealth {
    fn ready(&self) -> Status {
        match &*self.phase.read() {
            Phase::Starting => Status::Fail("the server is starting".to_owned()),
            Phase::Stopping => Status::Fail("the server is stopping".to_owned()),
            Phase::Running(engine) => {
                let health = engine.health();
                match health.read_only_reason {
                    Some(reason) => Status::Fail(reason),
                    None if health.ready => Status::Pass,
                    None => Status::Fail("the engine is closed".to_owned()),
                }
            }
        }
    }

    fn started(&self) -> Status {
        match &*self.phase.read() {
            Phase::Starting => Status::Fail("the server is starting".to_owned()),
            Phase::Running(_) | Phase::Stopping => Status::Pass,
        }
    }
}
