//! Work that goes on beside the sessions, as a task group.
//!
//! The embedded store makes its own checkpoints, because a store must bound its memory whoever
//! opened it. Here is what needs the whole engine: giving back the storage of dropped and
//! truncated relations, removing expired keys and documents, ending idle transactions.

use std::sync::Arc;
use std::time::Duration;

use tessera_catalog::Catalog;
use tessera_storage::{Mode, Store};
use tessera_tasks::{Restart, TaskGroup};
use tessera_types::Report;

use crate::models::{self, Models, RECLAIM_INTERVAL};

/// Time between two looks for storage that nobody needs any more.
const GARBAGE_INTERVAL: Duration = Duration::from_secs(1);
/// Time for the tasks to end by themselves when the engine closes.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Background tasks of one engine.
const TASKS_MAX: usize = 4;

/// The background tasks of one engine.
pub(crate) struct Background {
    tasks: TaskGroup,
}

impl Background {
    pub(crate) fn start(
        catalog: Arc<Catalog>,
        store: Arc<dyn Store>,
        models: Arc<Models>,
    ) -> Result<Background, Report> {
        let tasks = TaskGroup::new("engine", "tessera-engine", TASKS_MAX);
        let (all, writable) = (models, store.clone());
        tasks
            .spawn_loop("reclaim expired", Restart::default(), move |stop| {
                let (models, store) = (all.clone(), writable.clone());
                async move {
                    loop {
                        tokio::select! {
                            () = tokio::time::sleep(RECLAIM_INTERVAL) => {}
                            () = stop.cancelled() => return Ok::<(), Report>(()),
                        }
                        models::expire_idle(&models);
                        if let Mode::ReadWrite = store.mode() {
                            models::reclaim(&models).await?;
                        }
                    }
                }
            })
            .map_err(|error: tessera_tasks::GroupError| error.report())?;
        tasks
            .spawn_loop("collect garbage", Restart::default(), move |stop| {
                let (catalog, store) = (catalog.clone(), store.clone());
                async move {
                    loop {
                        tokio::select! {
                            () = tokio::time::sleep(GARBAGE_INTERVAL) => {}
                            () = stop.cancelled() => return Ok::<(), Report>(()),
                        }
                        // In safe mode nothing is removed.
                        if let Mode::ReadWrite = store.mode() {
                            catalog
                                .collect_garbage()
                                .await
                                .map_err(|error| error.report())?;
                        }
                    }
                }
            })
            .map_err(|error: tessera_tasks::GroupError| error.report())?;
        Ok(Background { tasks })
    }

    pub(crate) async fn stop(&self) {
        self.tasks.drain(STOP_PATIENCE).await;
    }
}
