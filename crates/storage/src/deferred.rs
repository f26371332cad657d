//! An answer that is usually there at once, and otherwise a future.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

/// Either the answer or a future of it. Awaiting `Ready` costs no allocation and never yields,
/// so an engine that has the answer in memory pays nothing for engines that must ask a network.
pub enum Deferred<'a, T> {
    /// The answer.
    Ready(T),
    /// It has to be waited for.
    Pending(BoxFuture<'a, T>),
    /// The answer was already taken by a poll.
    Taken,
}

impl<T> Deferred<'_, T> {
    /// The answer, when it is there at once.
    pub fn now(self) -> Option<T> {
        match self {
            Deferred::Ready(value) => Some(value),
            Deferred::Pending(_) | Deferred::Taken => None,
        }
    }
}

// Nothing is pinned inside: `T` is only moved out, and `BoxFuture` is a pinned pointer.
impl<T> Unpin for Deferred<'_, T> {}

impl<T> Future for Deferred<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        match mem::replace(this, Deferred::Taken) {
            Deferred::Ready(value) => Poll::Ready(value),
            Deferred::Pending(mut future) => match future.as_mut().poll(cx) {
                Poll::Ready(value) => Poll::Ready(value),
                Poll::Pending => {
                    *this = Deferred::Pending(future);
                    Poll::Pending
                }
            },
            // Like every future: polling one that has finished is a fault of the caller.
            Deferred::Taken => Poll::Pending,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Deferred<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deferred::Ready(value) => f.debug_tuple("Ready").field(value).finish(),
            Deferred::Pending(_) => f.write_str("Pending"),
            Deferred::Taken => f.write_str("Taken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_answer_an_await() {
        futures::executor::block_on(async {
            assert_eq!(Deferred::Ready(1).await, 1);
            assert_eq!(Deferred::Pending(Box::pin(async { 2 })).await, 2);
            let (sender, receiver) = futures::channel::oneshot::channel();
            let waiting = Deferred::Pending(Box::pin(receiver));
            sender.send(3).expect("the receiver is alive");
            assert_eq!(waiting.await, Ok(3));
        });
    }
}
