//! The queue, who waits for what, and what became of each version. Pure decisions, no files.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tessera_types::Version;

use crate::error::LogError;
use crate::options::LogOptions;

/// Byte counts by version are kept in steps of at least this size.
const MARK_STEP_BYTES: u64 = 256 << 10;
/// A writer with this many bytes waiting is woken though nobody waits for them.
const EAGER_BYTES: usize = 256 << 10;
/// While the disk is full, records that may not be refused are tried again this often.
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(250);

pub(crate) struct Entry {
    pub(crate) version: Version,
    pub(crate) payload: Vec<u8>,
    /// Somebody was told "committed" without waiting for the disk: it may not be refused.
    pub(crate) acknowledged: bool,
}

/// What a waiter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Accepted, or written if it is too late to just accept it.
    Buffered,
    Durable,
}

struct Waiter {
    version: Version,
    level: Level,
    waker: Waker,
}

#[derive(Clone)]
pub(crate) struct Poison {
    pub(crate) reason: Arc<str>,
    /// Versions from here on were never given to the disk.
    pub(crate) untouched_from: Version,
}

/// One segment file, oldest first in `State::segments`; the last one is being written.
pub(crate) struct SegmentInfo {
    pub(crate) path: PathBuf,
    /// The last version before it.
    pub(crate) previous: Version,
    pub(crate) last: Version,
    /// Length of the file.
    pub(crate) capacity: u64,
    pub(crate) created_unix_micros: i64,
    /// Where records end, with their versions, in steps: so that a reader need not begin at the
    /// start. None of segments that were there at the opening.
    pub(crate) places: Vec<(Version, u64)>,
}

pub(crate) struct State {
    pub(crate) next: Version,
    pub(crate) queue: VecDeque<Entry>,
    pub(crate) queued_bytes: usize,
    /// When the oldest queued entry came.
    pub(crate) queued_since: Duration,
    pub(crate) written: Version,
    pub(crate) durable: Version,
    /// The newest version somebody wants to be durable.
    pub(crate) sync_wanted: Version,
    /// When the oldest written but un-synced record was written.
    pub(crate) unsynced_since: Duration,
    /// End of the newest mark on disk.
    pub(crate) marked: Version,
    pub(crate) last_activity: Duration,
    /// The last attempt met a full disk.
    pub(crate) full: bool,
    pub(crate) retry_at: Duration,
    pub(crate) poison: Option<Poison>,
    pub(crate) closing: bool,
    /// The writer waits without a deadline.
    pub(crate) writer_sleeps: bool,
    pub(crate) ended: bool,
    pub(crate) segments: Vec<SegmentInfo>,
    pub(crate) written_bytes: u64,
    pub(crate) syncs: u64,
    pub(crate) sync_time: Duration,
    /// Inclusive ranges of refused versions, ascending. One per episode of a full disk.
    refused: Vec<(Version, Version)>,
    waiters: Vec<Waiter>,
    byte_marks: VecDeque<(Version, u64)>,
}

/// What the writer shall do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Write the queue; then sync if anybody wants it.
    Write,
    /// Sync what was written.
    Sync,
    /// Note on disk that everything is durable.
    Mark,
    /// Nothing is left and nothing will come.
    End,
    /// Nothing before this time, if any.
    Wait(Option<Duration>),
}

impl State {
    pub(crate) fn new(last: Version, segments: Vec<SegmentInfo>) -> State {
        State {
            next: last.next(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            queued_since: Duration::ZERO,
            written: last,
            durable: last,
            sync_wanted: last,
            unsynced_since: Duration::ZERO,
            marked: last,
            last_activity: Duration::ZERO,
            full: false,
            retry_at: Duration::ZERO,
            poison: None,
            closing: false,
            writer_sleeps: false,
            ended: false,
            segments,
            written_bytes: 0,
            syncs: 0,
            sync_time: Duration::ZERO,
            refused: Vec::new(),
            waiters: Vec::new(),
            byte_marks: VecDeque::new(),
        }
    }

    /// Takes a payload in and gives it its version.
    pub(crate) fn enqueue(
        &mut self,
        payload: Vec<u8>,
        now: Duration,
        options: &LogOptions,
    ) -> Result<Version, LogError> {
        if let Some(poison) = &self.poison {
            return Err(LogError::Poisoned {
                reason: poison.reason.clone(),
            });
        }
        if self.closing {
            return Err(LogError::Closed);
        }
        if payload.len() > options.record_bytes_max {
            return Err(LogError::TooLarge {
                bytes: payload.len(),
                record_bytes_max: options.record_bytes_max,
            });
        }
        let queue_bytes_max = options.queue_bytes_max;
        if self.queued_bytes + payload.len() > queue_bytes_max {
            return Err(LogError::Busy { queue_bytes_max });
        }
        if self.queue.is_empty() {
            self.queued_since = now;
        }
        let version = self.next;
        self.next = version.next();
        self.queued_bytes += payload.len();
        self.queue.push_back(Entry {
            version,
            payload,
            acknowledged: false,
        });
        Ok(version)
    }

    /// Notes what is wanted for `version`; whether the writer must be woken for it.
    pub(crate) fn want(&mut self, version: Version, level: Level) -> bool {
        match level {
            Level::Durable => {
                let more = version > self.sync_wanted;
                self.sync_wanted = self.sync_wanted.max(version);
                more && self.outcome(version, level).is_none()
            }
            // A sleeping writer must start its timer; a full buffer ends the timer early.
            Level::Buffered => {
                std::mem::take(&mut self.writer_sleeps) || self.queued_bytes >= EAGER_BYTES
            }
        }
    }

    /// What is known about `version`, if it is enough for `level`.
    pub(crate) fn outcome(&self, version: Version, level: Level) -> Option<Result<(), LogError>> {
        if self.is_refused(version) {
            return Some(Err(LogError::DiskFull));
        }
        let reached = match level {
            Level::Buffered => self.written,
            Level::Durable => self.durable,
        };
        if version <= reached {
            return Some(Ok(()));
        }
        if let Some(poison) = &self.poison {
            let reason = poison.reason.clone();
            return Some(Err(if version >= poison.untouched_from {
                LogError::Poisoned { reason }
            } else {
                LogError::Unresolved { reason }
            }));
        }
        (self.ended || version >= self.next).then_some(Err(LogError::Closed))
    }

    /// Accepts a queued record without waiting for the disk, where that is still possible.
    pub(crate) fn acknowledge(&mut self, version: Version, options: &LogOptions) -> bool {
        if self.full || self.poison.is_some() || self.queued_bytes > options.queue_bytes_max / 2 {
            return false;
        }
        let index = self
            .queue
            .binary_search_by_key(&version, |entry| entry.version);
        let Ok(index) = index else { return false };
        self.queue[index].acknowledged = true;
        true
    }

    pub(crate) fn register(&mut self, version: Version, level: Level, waker: &Waker) {
        self.waiters.push(Waiter {
            version,
            level,
            waker: waker.clone(),
        });
    }

    /// Takes the wakers of all whose outcome is known by now.
    pub(crate) fn take_ready(&mut self) -> Vec<Waker> {
        let mut waiters = std::mem::take(&mut self.waiters);
        let ready = waiters
            .extract_if(.., |waiter| {
                self.outcome(waiter.version, waiter.level).is_some()
            })
            .map(|waiter| waiter.waker)
            .collect();
        self.waiters = waiters;
        ready
    }

    fn is_refused(&self, version: Version) -> bool {
        let index = self.refused.partition_point(|(_, to)| *to < version);
        self.refused
            .get(index)
            .is_some_and(|(from, _)| *from <= version)
    }

    /// The disk is full: gives up `failed` (in flight) and the queue, but for those that somebody
    /// was told about; they stay at the head of the queue.
    pub(crate) fn refuse(&mut self, failed: Vec<Entry>, now: Duration) {
        let mut kept = VecDeque::new();
        let mut kept_bytes = 0;
        let queue = std::mem::take(&mut self.queue);
        for entry in failed.into_iter().chain(queue) {
            if entry.acknowledged {
                kept_bytes += entry.payload.len();
                kept.push_back(entry);
            } else {
                self.note_refused(entry.version);
            }
        }
        // Nobody waits for what was refused.
        let newest_kept = kept
            .back()
            .map_or(Version::ZERO, |entry: &Entry| entry.version);
        self.sync_wanted = self.sync_wanted.min(self.written.max(newest_kept));
        self.queue = kept;
        self.queued_bytes = kept_bytes;
        self.full = true;
        self.retry_at = now + RETRY_DELAY;
    }

    /// The log ends while the disk is full: gives up what could not be written.
    pub(crate) fn refuse_rest(&mut self) {
        for entry in std::mem::take(&mut self.queue) {
            self.note_refused(entry.version);
        }
        self.queued_bytes = 0;
    }

    fn note_refused(&mut self, version: Version) {
        match self.refused.last_mut() {
            Some((_, to)) if to.next() == version => *to = version,
            _ => self.refused.push((version, version)),
        }
    }

    /// Nothing may be acknowledged any more.
    pub(crate) fn set_poison(&mut self, reason: &str, untouched_from: Version) {
        self.poison = Some(Poison {
            reason: reason.into(),
            untouched_from,
        });
        self.queue.clear();
        self.queued_bytes = 0;
    }

    /// Notes where the record of `last` ends in the segment being written.
    pub(crate) fn note_place(&mut self, last: Version, end: u64) {
        if let Some(segment) = self.segments.last_mut() {
            let before = segment.places.last().map_or(0, |(_, end)| *end);
            if end - before >= MARK_STEP_BYTES {
                segment.places.push((last, end));
            }
        }
    }

    /// Notes how many bytes the log held when `last` was its end.
    pub(crate) fn note_bytes(&mut self, last: Version, bytes: u64) {
        self.written_bytes += bytes;
        let step = self.byte_marks.back().map_or(0, |(_, at)| *at);
        if self.written_bytes - step >= MARK_STEP_BYTES {
            self.byte_marks.push_back((last, self.written_bytes));
        }
    }

    /// Bytes written after `version`, to within `MARK_STEP_BYTES`.
    pub(crate) fn bytes_after(&self, version: Version) -> u64 {
        if version >= self.written {
            return 0;
        }
        let index = self.byte_marks.partition_point(|(at, _)| *at <= version);
        let before = index
            .checked_sub(1)
            .map_or(0, |index| self.byte_marks[index].1);
        self.written_bytes - before
    }

    /// Forgets byte counts that only a reader of cut versions could ask for.
    pub(crate) fn forget_bytes_before(&mut self, version: Version) {
        while self.byte_marks.get(1).is_some_and(|(at, _)| *at < version) {
            self.byte_marks.pop_front();
        }
    }

    /// What the writer shall do now.
    pub(crate) fn work(&self, now: Duration, options: &LogOptions) -> Work {
        if self.poison.is_some() {
            return Work::End;
        }
        let mut wake_at = None;
        if let Some(newest) = self.queue.back() {
            let asked = self.sync_wanted > self.written;
            // While the disk is full, only new requests and the clock bring another attempt.
            let (urgent, due) = if self.full {
                (asked && !newest.acknowledged, self.retry_at)
            } else {
                let urgent = asked || self.queued_bytes >= EAGER_BYTES;
                (urgent, self.queued_since + options.write_delay)
            };
            if urgent || self.closing || now >= due {
                return Work::Write;
            }
            wake_at = Some(due);
        }
        if self.durable < self.written {
            let due = self.unsynced_since + options.sync_delay;
            if self.sync_wanted > self.durable || self.closing || now >= due {
                return Work::Sync;
            }
            wake_at = Some(wake_at.map_or(due, |at| due.min(at)));
        } else if self.queue.is_empty() && self.marked < self.durable {
            if self.closing {
                return Work::Mark;
            }
            if let Some(delay) = options.mark_delay {
                let due = self.last_activity + delay;
                if now >= due {
                    return Work::Mark;
                }
                wake_at = Some(due);
            }
        }
        if self.closing && self.queue.is_empty() {
            Work::End
        } else {
            Work::Wait(wake_at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn state_with(payloads: usize) -> (State, LogOptions) {
        let options = LogOptions::default();
        let mut state = State::new(Version(10), Vec::new());
        for _ in 0..payloads {
            state
                .enqueue(vec![0; 100], Duration::ZERO, &options)
                .unwrap();
        }
        (state, options)
    }

    fn take_all(state: &mut State) -> Vec<Entry> {
        state.queued_bytes = 0;
        state.queue.drain(..).collect()
    }

    #[test]
    fn a_waiter_starts_a_write_at_once_and_nobody_waiting_delays_it() {
        let (mut state, options) = state_with(1);
        assert_eq!(
            state.work(Duration::ZERO, &options),
            Work::Wait(Some(options.write_delay))
        );
        assert_eq!(state.work(options.write_delay, &options), Work::Write);
        assert!(
            state.want(Version(11), Level::Durable),
            "the writer must be woken"
        );
        assert!(!state.want(Version(11), Level::Durable), "once is enough");
        assert_eq!(state.work(Duration::ZERO, &options), Work::Write);
    }

    #[test]
    fn written_records_are_synced_when_wanted_or_after_the_delay() {
        let (mut state, options) = state_with(1);
        take_all(&mut state);
        state.written = Version(11);
        assert_eq!(
            state.work(Duration::ZERO, &options),
            Work::Wait(Some(options.sync_delay))
        );
        assert_eq!(state.work(options.sync_delay, &options), Work::Sync);
        state.want(Version(11), Level::Durable);
        assert_eq!(state.work(Duration::ZERO, &options), Work::Sync);
        state.durable = Version(11);
        let mark_delay = options.mark_delay.unwrap();
        assert_eq!(
            state.work(Duration::ZERO, &options),
            Work::Wait(Some(mark_delay))
        );
        assert_eq!(state.work(mark_delay, &options), Work::Mark);
        state.marked = Version(11);
        assert_eq!(state.work(SECOND, &options), Work::Wait(None));
    }

    #[test]
    fn a_full_disk_refuses_all_but_what_was_acknowledged() {
        let (mut state, options) = state_with(4);
        assert!(state.acknowledge(Version(12), &options));
        let failed = take_all(&mut state);
        state.refuse(failed, Duration::ZERO);
        for (version, refused) in [(11, true), (12, false), (13, true), (14, true)] {
            let outcome = state.outcome(Version(version), Level::Durable);
            assert_eq!(
                matches!(outcome, Some(Err(LogError::DiskFull))),
                refused,
                "{version}"
            );
        }
        assert_eq!(
            state.work(Duration::ZERO, &options),
            Work::Wait(Some(RETRY_DELAY))
        );
        assert_eq!(state.work(RETRY_DELAY, &options), Work::Write);
        let newer = state.enqueue(vec![0; 100], SECOND, &options).unwrap();
        assert!(
            !state.acknowledge(newer, &options),
            "no promise while the disk is full"
        );
        state.want(newer, Level::Durable);
        assert_eq!(state.work(Duration::ZERO, &options), Work::Write);
        // What was refused stays refused when the log has moved on.
        let failed = take_all(&mut state);
        state.refuse(failed, Duration::ZERO);
        state.written = Version(100);
        state.durable = Version(100);
        assert!(matches!(
            state.outcome(newer, Level::Durable),
            Some(Err(LogError::DiskFull))
        ));
        assert!(matches!(
            state.outcome(Version(12), Level::Durable),
            Some(Ok(()))
        ));
    }

    #[test]
    fn after_poison_the_untouched_failed_and_the_written_are_in_doubt() {
        let (mut state, _) = state_with(4);
        state.written = Version(11);
        state.durable = Version(11);
        state.set_poison("broken", Version(13));
        let outcome = |version| state.outcome(Version(version), Level::Durable);
        assert!(matches!(outcome(11), Some(Ok(()))));
        assert!(matches!(
            outcome(12),
            Some(Err(LogError::Unresolved { .. }))
        ));
        assert!(matches!(outcome(13), Some(Err(LogError::Poisoned { .. }))));
    }

    #[test]
    fn the_queue_is_bounded() {
        let options = LogOptions {
            queue_bytes_max: 250,
            record_bytes_max: 200,
            ..LogOptions::default()
        };
        let mut state = State::new(Version(0), Vec::new());
        let mut enqueue = |bytes| state.enqueue(vec![0; bytes], Duration::ZERO, &options);
        assert!(matches!(enqueue(201), Err(LogError::TooLarge { .. })));
        enqueue(200).unwrap();
        assert!(matches!(enqueue(51), Err(LogError::Busy { .. })));
        enqueue(50).unwrap();
    }

    #[test]
    fn bytes_after_a_version_are_known_to_within_a_step() {
        let mut state = State::new(Version(0), Vec::new());
        for version in 1..=1000 {
            state.note_bytes(Version(version), 10_000);
            state.written = Version(version);
        }
        for version in [0, 1, 500, 999, 1000] {
            let exact = (1000 - version) * 10_000;
            let answer = state.bytes_after(Version(version));
            assert!(
                answer.abs_diff(exact) <= 2 * MARK_STEP_BYTES,
                "{version}: {answer} {exact}"
            );
        }
        state.forget_bytes_before(Version(600));
        assert!(state.bytes_after(Version(600)).abs_diff(4_000_000) <= 2 * MARK_STEP_BYTES);
    }
}
