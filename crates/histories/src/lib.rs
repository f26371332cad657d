//! Finds isolation anomalies in the history of a list-append workload.
//!
//! Every key holds a list; a transaction appends numbers that nobody else appends, and reads whole
//! lists. So a read tells the order of all appends before it, and dependencies between
//! transactions can be told from what they saw, without any knowledge of the store (Kingsbury and
//! Alvaro, Elle, VLDB 2020; the anomalies are those of Adya, 1999).
//!
//! - ww: T2's append comes right after T1's in a list.
//! - wr: T2 read a list that ends with T1's append.
//! - rw: T1 read a list that lacks the append of T2, which comes next. Of a list never read to its
//!   end, all appends that nobody saw come next, in no known order. A read of every key at once
//!   sees the absent ones as empty lists, so an insert that it lacks is a dependency as well.
//!
//! # Map
//! - [`check`] over [`Txn`]s gives [`Finding`]s; [`Level::forbids`] says which of them count.
//!
//! # Not here
//! Workloads, and everything that is under test.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

/// Names a list.
pub type Key = u32;
/// What is appended; each once in a whole history.
pub type Element = u64;

/// What a transaction did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To a list that need not be there yet.
    Append(Key, Element),
    /// A list as it was read, own appends before included. Nothing was there: empty.
    Read(Key, Vec<Element>),
    /// Every list that exists, in one scan.
    ReadAll(BTreeMap<Key, Vec<Element>>),
}

/// How a transaction ended, as far as its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Committed,
    /// Rolled back, for sure.
    Aborted,
    /// Nobody knows: counts as committed if another one saw it.
    Unknown,
}

/// One transaction of a history.
#[derive(Debug, Clone)]
pub struct Txn {
    /// What it did, in order.
    pub steps: Vec<Step>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Anomalies, from weak to strong levels that forbid them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anomaly {
    /// Two reads of a list where neither is the beginning of the other, or an append twice: no
    /// order of appends explains it.
    Incompatible,
    /// A transaction does not see what it did itself.
    Internal,
    /// A cycle of ww.
    G0,
    /// Read of an aborted append.
    G1a,
    /// Read of a list as it was in the middle of another transaction.
    G1b,
    /// A cycle of ww and wr.
    G1c,
    /// Two transactions read the same state of a key and both appended to it.
    LostUpdate,
    /// A cycle with exactly one rw.
    GSingle,
    /// A cycle with several rw, all through keys that were read one by one.
    G2Item,
    /// A cycle with several rw, some through reads of every key.
    G2,
}

/// An isolation level, by what it forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// PL-2 of Adya.
    ReadCommitted,
    /// Snapshot isolation.
    Snapshot,
    /// PL-3.
    Serializable,
}

impl Level {
    /// All, weakest first.
    pub const ALL: [Level; 3] = [Level::ReadCommitted, Level::Snapshot, Level::Serializable];

    /// Whether no history of transactions of this level may show it.
    pub fn forbids(self, anomaly: Anomaly) -> bool {
        use Anomaly::{G0, G1a, G1b, G1c, G2, G2Item, GSingle, Incompatible, Internal, LostUpdate};
        match anomaly {
            Incompatible | Internal | G0 | G1a | G1b | G1c => true,
            LostUpdate | GSingle => self != Level::ReadCommitted,
            G2Item | G2 => self == Level::Serializable,
        }
    }
}

/// What was found, and the transactions it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub anomaly: Anomaly,
    /// Which transactions, and what they saw.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.anomaly, self.detail)
    }
}

/// Why one transaction must come before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Why {
    WriteWrite,
    WriteRead,
    ReadWrite,
    /// As `ReadWrite`, through a read of every key.
    PredicateReadWrite,
}

type Edges = Vec<BTreeSet<(usize, Why)>>;

/// Every kind of anomaly in the history, each with one example.
pub fn check(history: &[Txn]) -> Vec<Finding> {
    let mut checker = Checker::new(history);
    checker.check_reads();
    checker.find_orders();
    checker.check_lost_updates();
    let edges = checker.edges();
    checker.check_cycles(&edges);
    checker.findings
}

struct Checker<'a> {
    history: &'a [Txn],
    /// Who appended what, and to which key.
    appended: HashMap<Element, (usize, Key)>,
    /// Transactions that took place: committed, or seen by another that took place.
    counted: HashSet<usize>,
    /// The order of appends per key, as far as somebody saw it.
    orders: BTreeMap<Key, Vec<Element>>,
    findings: Vec<Finding>,
}

impl<'a> Checker<'a> {
    fn new(history: &'a [Txn]) -> Self {
        let mut appended = HashMap::new();
        for (at, txn) in history.iter().enumerate() {
            for step in &txn.steps {
                if let Step::Append(key, element) = step {
                    let before = appended.insert(*element, (at, *key));
                    assert!(before.is_none(), "the workload appends {element} twice");
                }
            }
        }
        let counted = took_place(history, &appended);
        Checker {
            history,
            appended,
            counted,
            orders: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    fn found(&mut self, anomaly: Anomaly, detail: impl FnOnce() -> String) {
        if self
            .findings
            .iter()
            .all(|finding| finding.anomaly != anomaly)
        {
            let detail = detail();
            self.findings.push(Finding { anomaly, detail });
        }
    }

    /// The lists that a transaction read of others: its own appends are cut off.
    fn external_reads(&self, at: usize) -> Vec<(Key, Vec<Element>, bool)> {
        let own = |element: &Element| {
            self.appended
                .get(element)
                .is_some_and(|(who, _)| *who == at)
        };
        let cut = |list: &[Element]| -> Vec<Element> {
            list.iter()
                .copied()
                .take_while(|element| !own(element))
                .collect()
        };
        let mut reads = Vec::new();
        for step in &self.history[at].steps {
            match step {
                Step::Append(..) => {}
                Step::Read(key, list) => reads.push((*key, cut(list), false)),
                Step::ReadAll(lists) => {
                    let keys: BTreeSet<Key> = self.appended.values().map(|(_, key)| *key).collect();
                    for key in keys {
                        let list = lists.get(&key).map_or(&[][..], Vec::as_slice);
                        reads.push((key, cut(list), true));
                    }
                }
            }
        }
        reads
    }

    /// Internal, G1a, G1b.
    fn check_reads(&mut self) {
        for at in 0..self.history.len() {
            self.check_own(at);
            if !self.counted.contains(&at) {
                continue;
            }
            for (key, list, _) in self.external_reads(at) {
                self.check_dirty(at, key, &list);
            }
        }
    }

    /// A read ends with the own appends so far.
    fn check_own(&mut self, at: usize) {
        let mut own: BTreeMap<Key, Vec<Element>> = BTreeMap::new();
        for step in &self.history[at].steps {
            let (key, list) = match step {
                Step::Append(key, element) => {
                    own.entry(*key).or_default().push(*element);
                    continue;
                }
                Step::Read(key, list) => (*key, list.clone()),
                Step::ReadAll(lists) => {
                    let is_whole = own
                        .iter()
                        .all(|(key, mine)| lists.get(key).is_some_and(|list| list.ends_with(mine)));
                    if !is_whole {
                        self.found(Anomaly::Internal, || {
                            format!("T{at}: {step:?} after {own:?}")
                        });
                    }
                    continue;
                }
            };
            let mine = own.get(&key).cloned().unwrap_or_default();
            if !list.ends_with(&mine) {
                self.found(Anomaly::Internal, || {
                    format!("T{at} read {list:?} of {key} after {mine:?}")
                });
            }
        }
    }

    fn check_dirty(&mut self, at: usize, key: Key, list: &[Element]) {
        for element in list {
            let writer = self.appended.get(element).copied();
            let Some((writer, _)) = writer.filter(|(_, of)| *of == key) else {
                self.found(Anomaly::Incompatible, || {
                    format!("T{at} read {element} in {key}, which nobody appended")
                });
                continue;
            };
            if self.history[writer].outcome == Outcome::Aborted {
                self.found(Anomaly::G1a, || {
                    format!("T{at} read {element} of {key} by T{writer}, which aborted")
                });
            }
        }
        let Some(last) = list.last() else { return };
        let Some((writer, _)) = self.appended.get(last).copied() else {
            return;
        };
        let last_of_writer = self.history[writer]
            .steps
            .iter()
            .rev()
            .find_map(|step| match step {
                Step::Append(of, element) if *of == key => Some(*element),
                _ => None,
            });
        if writer != at && last_of_writer != Some(*last) {
            self.found(Anomaly::G1b, || {
                format!("T{at} read {key} up to {last}, T{writer} went on to {last_of_writer:?}")
            });
        }
    }

    /// The longest read of each key is the order of its appends; all others must be beginnings.
    fn find_orders(&mut self) {
        for at in 0..self.history.len() {
            if !self.counted.contains(&at) {
                continue;
            }
            for (key, list) in lists_read(&self.history[at]) {
                let unique: HashSet<_> = list.iter().collect();
                if unique.len() < list.len() {
                    self.found(Anomaly::Incompatible, || {
                        format!("T{at} read twice the same in {list:?} of {key}")
                    });
                }
                let order = self.orders.entry(key).or_default();
                let (long, short) = match list.len() > order.len() {
                    true => (&list, &*order),
                    false => (&*order, &list),
                };
                let fits = long.starts_with(short);
                let detail = format!("T{at} read {list:?} of {key}, somebody {order:?}");
                if list.len() > order.len() && fits {
                    *order = list;
                }
                if !fits {
                    self.found(Anomaly::Incompatible, || detail);
                }
            }
        }
    }

    /// Two committed transactions appended to a key after reading the same of it.
    fn check_lost_updates(&mut self) {
        let mut seen: HashMap<(Key, Vec<Element>), usize> = HashMap::new();
        for at in 0..self.history.len() {
            if !self.counted.contains(&at) {
                continue;
            }
            let mut done: HashSet<Key> = HashSet::new();
            let mut lost = Vec::new();
            for (key, list, _) in self.external_reads(at) {
                let appends = |step: &Step| matches!(step, Step::Append(of, _) if *of == key);
                if !self.history[at].steps.iter().any(appends) || !done.insert(key) {
                    continue;
                }
                if !self.reads_before_writing(at, key) {
                    continue;
                }
                if let Some(other) = seen.insert((key, list.clone()), at) {
                    lost.push((key, list, other));
                }
            }
            for (key, list, other) in lost {
                self.found(Anomaly::LostUpdate, || {
                    format!("T{other} and T{at} both read {list:?} of {key} and appended to it")
                });
            }
        }
    }

    fn reads_before_writing(&self, at: usize, key: Key) -> bool {
        let first = self.history[at].steps.iter().find(|step| match step {
            Step::Append(of, _) | Step::Read(of, _) => *of == key,
            Step::ReadAll(_) => true,
        });
        !matches!(first, Some(Step::Append(..)) | None)
    }

    fn edges(&self) -> Edges {
        let counted = &self.counted;
        let mut edges: Edges = vec![BTreeSet::new(); self.history.len()];
        let mut add = |from: usize, to: usize, why: Why| {
            if from != to && counted.contains(&from) && counted.contains(&to) {
                edges[from].insert((to, why));
            }
        };
        let writer = |element: &Element| self.appended.get(element).map(|(at, _)| *at);
        // Appends that nobody saw come after those that somebody did.
        let mut unseen: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for (element, (at, key)) in &self.appended {
            if self
                .orders
                .get(key)
                .is_none_or(|order| !order.contains(element))
            {
                unseen.entry(*key).or_default().push(*at);
            }
        }
        for (key, order) in &self.orders {
            for pair in order.windows(2) {
                if let (Some(from), Some(to)) = (writer(&pair[0]), writer(&pair[1])) {
                    add(from, to, Why::WriteWrite);
                }
            }
            if let Some(last) = order.last().and_then(writer) {
                for to in unseen.get(key).into_iter().flatten() {
                    add(last, *to, Why::WriteWrite);
                }
            }
        }
        for at in 0..self.history.len() {
            for (key, list, is_predicate) in self.external_reads(at) {
                if let Some(from) = list.last().and_then(writer) {
                    add(from, at, Why::WriteRead);
                }
                let why = match is_predicate {
                    true => Why::PredicateReadWrite,
                    false => Why::ReadWrite,
                };
                let order = self.orders.get(&key).map_or(&[][..], Vec::as_slice);
                match order.get(list.len()) {
                    Some(next) => {
                        if let Some(to) = writer(next) {
                            add(at, to, why);
                        }
                    }
                    None => {
                        for to in unseen.get(&key).into_iter().flatten() {
                            add(at, *to, why);
                        }
                    }
                }
            }
        }
        edges
    }

    fn check_cycles(&mut self, edges: &Edges) {
        use Why::{PredicateReadWrite, ReadWrite, WriteRead, WriteWrite};
        if let Some(cycle) = cycle(edges, &[WriteWrite]) {
            self.found(Anomaly::G0, || cycle);
        }
        let mut dirty = Reach::new(edges, &[WriteWrite, WriteRead]);
        // A cycle that needs a wr: with ww alone it would have been found above.
        let mut reads = edges_of(edges, &[WriteRead]).into_iter();
        if let Some((from, to)) = reads.find(|(from, to)| dirty.leads(*to, *from)) {
            self.found(Anomaly::G1c, || dirty.show(from, to));
        }
        let mut lacking = edges_of(edges, &[ReadWrite, PredicateReadWrite]).into_iter();
        if let Some((from, to)) = lacking.find(|(from, to)| dirty.leads(*to, *from)) {
            self.found(Anomaly::GSingle, || dirty.show(from, to));
        }
        let by_item = [WriteWrite, WriteRead, ReadWrite];
        let by_any = [WriteWrite, WriteRead, ReadWrite, PredicateReadWrite];
        for (anomaly, start, allowed) in [
            (Anomaly::G2Item, ReadWrite, &by_item[..]),
            (Anomaly::G2, PredicateReadWrite, &by_any[..]),
        ] {
            let mut any = Reach::new(edges, allowed);
            let mut starts = edges_of(edges, &[start]).into_iter();
            // With one rw only it is a G-single, and belongs to that.
            let found = starts.find(|(from, to)| any.leads(*to, *from) && !dirty.leads(*to, *from));
            if let Some((from, to)) = found {
                self.found(anomaly, || any.show(from, to));
            }
        }
    }
}

/// All lists that a transaction read.
fn lists_read(txn: &Txn) -> Vec<(Key, Vec<Element>)> {
    let lists = |step: &Step| match step {
        Step::Read(key, list) => vec![(*key, list.clone())],
        Step::ReadAll(lists) => lists.clone().into_iter().collect(),
        Step::Append(..) => Vec::new(),
    };
    txn.steps.iter().flat_map(lists).collect()
}

/// Committed transactions, and those of unknown outcome whose appends were read by another one
/// that took place: what a transaction saw of itself says nothing.
fn took_place(history: &[Txn], appended: &HashMap<Element, (usize, Key)>) -> HashSet<usize> {
    let of = |wanted: Outcome| (0..history.len()).filter(move |at| history[*at].outcome == wanted);
    let mut counted: HashSet<usize> = of(Outcome::Committed).collect();
    let mut open: Vec<usize> = counted.iter().copied().collect();
    while let Some(reader) = open.pop() {
        for (_, list) in lists_read(&history[reader]) {
            for element in list {
                if let Some((writer, _)) = appended.get(&element)
                    && history[*writer].outcome == Outcome::Unknown
                    && counted.insert(*writer)
                {
                    open.push(*writer);
                }
            }
        }
    }
    counted
}

/// Who can be reached from whom through edges of some kinds; worked out once for each start.
struct Reach<'a> {
    edges: &'a Edges,
    kinds: &'a [Why],
    known: HashMap<usize, HashSet<usize>>,
}

impl<'a> Reach<'a> {
    fn new(edges: &'a Edges, kinds: &'a [Why]) -> Self {
        let known = HashMap::new();
        Reach {
            edges,
            kinds,
            known,
        }
    }

    fn leads(&mut self, from: usize, to: usize) -> bool {
        let (edges, kinds) = (self.edges, self.kinds);
        let all = self.known.entry(from).or_insert_with(|| {
            let mut all = HashSet::from([from]);
            let mut open = vec![from];
            while let Some(at) = open.pop() {
                for (next, why) in &edges[at] {
                    if kinds.contains(why) && all.insert(*next) {
                        open.push(*next);
                    }
                }
            }
            all
        });
        all.contains(&to)
    }

    fn show(&self, from: usize, to: usize) -> String {
        let way = path(self.edges, to, from, self.kinds).unwrap_or_default();
        show(from, &way)
    }
}

fn edges_of(edges: &Edges, kinds: &[Why]) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    for (from, to) in edges.iter().enumerate() {
        let of_kind = to.iter().filter(|(_, why)| kinds.contains(why));
        all.extend(of_kind.map(|(to, _)| (from, *to)));
    }
    all
}

fn cycle(edges: &Edges, kinds: &[Why]) -> Option<String> {
    let mut starts = edges_of(edges, kinds).into_iter();
    starts.find_map(|(from, to)| Some(show(from, &path(edges, to, from, kinds)?)))
}

/// The shortest way from one transaction to another.
fn path(edges: &Edges, from: usize, to: usize, kinds: &[Why]) -> Option<Vec<usize>> {
    let mut came_from: HashMap<usize, usize> = HashMap::from([(from, from)]);
    let mut queue = std::collections::VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        if at == to {
            let mut path = vec![at];
            while let Some(before) = path.last().map(|last| came_from[last]) {
                if Some(&before) == path.last() {
                    break;
                }
                path.push(before);
            }
            path.reverse();
            return Some(path);
        }
        for (next, why) in &edges[at] {
            if kinds.contains(why) && !came_from.contains_key(next) {
                came_from.insert(*next, at);
                queue.push_back(*next);
            }
        }
    }
    None
}

fn show(from: usize, path: &[usize]) -> String {
    let way: Vec<String> = path.iter().map(|at| format!("T{at}")).collect();
    format!("T{from} -> {}", way.join(" -> "))
}

#[cfg(test)]
mod examples;
