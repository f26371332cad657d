//! Named task groups: every task has an owner, a bound, a way to stop, and shows in a list.
//!
//! # Map
//! - `group`: starts tasks, counts them, cancels and drains them.
//! - `registry`: all tasks of the process, for the gauges and the leak check.
//! - `background`: loops that start again after a failure.
//!
//! # Invariants
//! 1. A group never has more tasks than its bound.
//! 2. A task leaves its group when it ends, however it ends: done, panicked, aborted.
//! 3. After `drain` a group accepts no task.
//!
//! # Not here
//! What the tasks do; runtimes (a group uses the one it is used in, or is given one).

mod background;
mod group;
mod registry;

pub use background::Restart;
pub use group::{Drained, GroupError, TaskGroup};
pub use registry::{TaskInfo, TaskState, alive_on, snapshot};
