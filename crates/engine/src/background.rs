//! Work that goes on beside the sessions, as task groups.
//!
//! The embedded store runs its own checkpoint thread, because a store must bound its memory
//! whoever opened it. What is left here is bookkeeping that needs the whole engine.

use std::sync::Arc;

use tessera_storage::Store;
use tessera_types::Report;

use crate::activity::Sessions;
use crate::options::EngineOptions;

/// The background tasks of one engine.
pub(crate) struct Background {}

impl Background {
    pub(crate) fn start(
        _options: &EngineOptions,
        _store: Arc<dyn Store>,
        _sessions: Arc<Sessions>,
    ) -> Result<Background, Report> {
        Ok(Background {})
    }

    pub(crate) async fn stop(&self) {}
}
