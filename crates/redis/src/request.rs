//! One command of a client: its arguments as slices of what was read.

use bytes::Bytes;
use smallvec::SmallVec;

/// Arguments that need no allocation of their own.
const ARGUMENTS_INLINE: usize = 8;

/// Where an argument lies in its frame.
pub(crate) type Span = (u32, u32);
/// Where all arguments lie.
pub(crate) type Spans = SmallVec<[Span; ARGUMENTS_INLINE]>;

/// A command with its arguments; the first one is its name. Never empty.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    frame: Bytes,
    spans: Spans,
}

impl Request {
    pub(crate) fn new(frame: Bytes, spans: Spans) -> Request {
        Request { frame, spans }
    }

    /// Number of arguments, the name included.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes of the whole command as it was sent.
    pub(crate) fn bytes_len(&self) -> usize {
        self.frame.len()
    }

    /// The argument at a place; empty beyond the last one.
    pub(crate) fn arg(&self, at: usize) -> &[u8] {
        let (start, end) = self.spans.get(at).copied().unwrap_or_default();
        self.frame
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }

    /// The argument at a place, sharing the frame.
    pub(crate) fn bytes(&self, at: usize) -> Bytes {
        let (start, end) = self.spans.get(at).copied().unwrap_or_default();
        if self.frame.len() < end as usize {
            return Bytes::new();
        }
        self.frame.slice(start as usize..end as usize)
    }

    /// The arguments from a place on.
    pub(crate) fn from(&self, at: usize) -> SmallVec<[&[u8]; ARGUMENTS_INLINE]> {
        (at..self.len()).map(|at| self.arg(at)).collect()
    }

    /// The arguments of a range of places.
    pub(crate) fn part(&self, start: usize, end: usize) -> SmallVec<[&[u8]; ARGUMENTS_INLINE]> {
        (start..end.min(self.len()))
            .map(|at| self.arg(at))
            .collect()
    }

    /// Arguments in pairs from a place on; an odd last one is left out.
    pub(crate) fn pairs(&self, at: usize) -> SmallVec<[(&[u8], &[u8]); ARGUMENTS_INLINE]> {
        (at..self.len().saturating_sub(1))
            .step_by(2)
            .map(|at| (self.arg(at), self.arg(at + 1)))
            .collect()
    }

    /// Whether the argument is this word, in any case.
    pub(crate) fn is(&self, at: usize, word: &str) -> bool {
        at < self.len() && self.arg(at).eq_ignore_ascii_case(word.as_bytes())
    }

    /// A command of these arguments, which are shorter than 4 GB together.
    pub(crate) fn joined<T: AsRef<[u8]>>(arguments: &[T]) -> Request {
        let mut frame = Vec::new();
        let spans = arguments
            .iter()
            .map(|argument| {
                let start = frame.len() as u32;
                frame.extend_from_slice(argument.as_ref());
                (start, frame.len() as u32)
            })
            .collect();
        Request::new(frame.into(), spans)
    }

    /// The same command in memory of its own, for keeping it without the buffer it came in.
    pub(crate) fn detached(&self) -> Request {
        Request {
            frame: Bytes::copy_from_slice(&self.frame),
            spans: self.spans.clone(),
        }
    }
}
