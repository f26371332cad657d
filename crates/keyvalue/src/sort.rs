//! SORT: the elements of a list, set or sorted set, in another order. <https://redis.io/commands/sort/>

use bytes::Bytes;

use crate::error::{KeyValueError, Result};
use crate::list::End;
use crate::number::parse_float;
use crate::reader::Reader;
use crate::record::ValueType;
use crate::writer::Writer;
use crate::zset::{RangeBy, RangeSpec};

/// Options of SORT.
#[derive(Debug, Clone, Default)]
pub struct SortSpec<'a> {
    /// Where the weights are: a key with a `*` for the element, `->field` behind it for a hash's
    /// field. Without a star nothing is sorted (BY nosort).
    pub by: Option<&'a [u8]>,
    /// Leave out so many, give at most so many; a negative number means all (LIMIT).
    pub limit: Option<(u64, i64)>,
    /// What to give instead of the elements: keys as in `by`, or `#` for the element itself (GET).
    pub get: Vec<&'a [u8]>,
    /// Highest first (DESC).
    pub descending: bool,
    /// By bytes rather than by numbers (ALPHA).
    pub alpha: bool,
}

/// What an element is sorted by.
enum Weight {
    Number(f64),
    Text(Option<Bytes>),
}

impl Reader<'_> {
    /// SORT_RO: per element one answer, or as many as `get` has; none for what does not exist.
    pub async fn sort(&self, key: &[u8], spec: &SortSpec<'_>) -> Result<Vec<Option<Bytes>>> {
        let mut elements = self.sortable(key, spec).await?;
        let is_sorted = spec.by.is_none_or(|by| by.contains(&b'*'));
        if is_sorted {
            elements = self.sorted(elements, spec).await?;
        }
        let (skip, count) = spec.limit.unwrap_or((0, -1));
        let elements = elements
            .into_iter()
            .skip(usize::try_from(skip).unwrap_or(usize::MAX))
            .take(usize::try_from(count).unwrap_or(usize::MAX));
        if spec.get.is_empty() {
            return Ok(elements.map(Some).collect());
        }
        let mut answers = Vec::new();
        for element in elements {
            for pattern in &spec.get {
                answers.push(match pattern {
                    [b'#'] => Some(element.clone()),
                    pattern => self.looked_up(pattern, &element).await?,
                });
            }
        }
        Ok(answers)
    }

    /// The elements in the order that they have.
    async fn sortable(&self, key: &[u8], spec: &SortSpec<'_>) -> Result<Vec<Bytes>> {
        match self.value_type(key).await? {
            None => Ok(Vec::new()),
            Some(ValueType::List) => {
                let mut items = self.lrange(key, 0, -1).await?;
                // As for sorted sets.
                if spec.descending {
                    items.reverse();
                }
                Ok(items)
            }
            Some(ValueType::Set) => self.smembers(key).await,
            Some(ValueType::SortedSet) => {
                let range = RangeSpec {
                    // Only without sorting does the order that it has count.
                    reverse: spec.descending,
                    ..RangeSpec::new(RangeBy::Rank(0, -1))
                };
                let members = self.zrange(key, &range).await?;
                Ok(members.into_iter().map(|(member, _)| member).collect())
            }
            Some(ValueType::String | ValueType::Hash | ValueType::Stream) => {
                Err(KeyValueError::WrongType)
            }
        }
    }

    async fn sorted(&self, elements: Vec<Bytes>, spec: &SortSpec<'_>) -> Result<Vec<Bytes>> {
        let mut weighted = Vec::with_capacity(elements.len());
        for element in elements {
            let value = match spec.by {
                None => Some(element.clone()),
                Some(pattern) => self.looked_up(pattern, &element).await?,
            };
            let weight = match value {
                value if spec.alpha => Weight::Text(value),
                None => Weight::Number(0.0),
                Some(text) => Weight::Number(parse_float(&text).ok_or(KeyValueError::NotAFloat)?),
            };
            weighted.push((weight, element));
        }
        weighted.sort_by(|(a, first), (b, second)| {
            let order = match (a, b) {
                (Weight::Number(a), Weight::Number(b)) => a.total_cmp(b),
                (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
                // Weights are all of one kind.
                _ => std::cmp::Ordering::Equal,
            };
            let order = order.then_with(|| first.cmp(second));
            if spec.descending {
                order.reverse()
            } else {
                order
            }
        });
        Ok(weighted.into_iter().map(|(_, element)| element).collect())
    }

    /// The string, or the hash's field, that a pattern names for an element. Other types count as
    /// absent.
    async fn looked_up(&self, pattern: &[u8], element: &[u8]) -> Result<Option<Bytes>> {
        let Some(star) = pattern.iter().position(|byte| *byte == b'*') else {
            return Ok(None);
        };
        let (head, tail) = (&pattern[..star], &pattern[star + 1..]);
        let arrow = tail.windows(2).position(|pair| pair == b"->");
        // An arrow at the very end belongs to the key.
        let (tail, field) = match arrow {
            Some(at) if at + 2 < tail.len() => (&tail[..at], Some(&tail[at + 2..])),
            _ => (tail, None),
        };
        let key = [head, element, tail].concat();
        let found = match field {
            Some(field) => self.hget(&key, field).await,
            None => self.get(&key).await,
        };
        match found {
            Err(KeyValueError::WrongType) => Ok(None),
            other => other,
        }
    }
}

impl Writer<'_> {
    /// SORT with STORE: puts a list in the place of whatever is at `to`; how many items it has.
    pub async fn sort_store(&self, to: &[u8], key: &[u8], spec: &SortSpec<'_>) -> Result<u64> {
        let mut locked = self.lock(to).await?;
        let answers = self.source_reader().sort(key, spec).await?;
        let items: Vec<Bytes> = answers.into_iter().map(Option::unwrap_or_default).collect();
        self.remove(&mut locked).await?;
        if items.is_empty() {
            return Ok(0);
        }
        self.push(to, End::Right, &items, false).await
    }
}
