//! Something else happens at a chosen point of a commit, on the same thread.

use std::cell::RefCell;
use std::sync::Once;

/// The batch has its version and is not published.
pub(crate) const SEQUENCED: &str = "storage::commit::after_enqueue";
/// Reads were compared with what was sequenced before the validation began.
pub(crate) const FIRST_LOOK: &str = "storage::validate::before_catch_up";
/// Reads were compared with everything; the sequencer's lock comes next.
pub(crate) const LAST_LOOK: &str = "storage::validate::before_finish";

type Step = (&'static str, Box<dyn FnOnce()>);

thread_local! {
    static NEXT: RefCell<Option<Step>> = const { RefCell::new(None) };
}

/// Runs `step` when this thread comes by `point` the next time. Other threads never notice.
pub(crate) fn at(point: &'static str, step: impl FnOnce() + 'static) {
    static POINTS: Once = Once::new();
    POINTS.call_once(|| {
        for point in [SEQUENCED, FIRST_LOOK, LAST_LOOK] {
            fail::cfg_callback(point, move || run(point)).unwrap();
        }
    });
    NEXT.with_borrow_mut(|next| *next = Some((point, Box::new(step))));
}

fn run(point: &'static str) {
    let step = NEXT.with_borrow_mut(|next| match next {
        Some((at, _)) if *at == point => next.take(),
        _ => None,
    });
    if let Some((_, step)) = step {
        step();
    }
}

/// Whether what `at` was told has happened.
pub(crate) fn is_past() -> bool {
    NEXT.with_borrow(Option::is_none)
}
