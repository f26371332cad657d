//! The checker itself: histories with each anomaly, and good ones.
//!
//! A transaction is a line: `a1` appends 1 to a, `a:12` reads [1, 2] of a, `a:` reads an empty
//! list, `*a:1,b:2` reads every key; the last word `abort` or `unknown` tells how it ended.

use super::*;

fn lists(text: &str) -> (Key, Vec<Element>) {
    let (key, list) = text.split_once(':').expect("a read");
    let element = |digit: char| Element::from(digit.to_digit(36).expect("a digit"));
    (key_of(key), list.chars().map(element).collect())
}

fn key_of(name: &str) -> Key {
    name.chars().map(u32::from).sum()
}

fn parse(text: &str) -> Vec<Txn> {
    let step = |word: &str| match word.strip_prefix('*') {
        Some(all) => {
            let all = all.split(',').filter(|list| !list.is_empty());
            Step::ReadAll(all.map(lists).collect())
        }
        None if word.contains(':') => {
            let (key, list) = lists(word);
            Step::Read(key, list)
        }
        None => {
            let element = u64::from_str_radix(&word[1..], 36).expect("a number");
            Step::Append(key_of(&word[..1]), element)
        }
    };
    let txn = |line: &str| {
        let (words, outcome) = match line.rsplit_once(' ') {
            Some((words, "abort")) => (words, Outcome::Aborted),
            Some((words, "unknown")) => (words, Outcome::Unknown),
            _ => (line, Outcome::Committed),
        };
        Txn {
            steps: words.split_whitespace().map(step).collect(),
            outcome,
        }
    };
    text.split(';').map(str::trim).map(txn).collect()
}

/// The strongest level that a history satisfies is told by what is found in it.
#[test]
fn each_anomaly_is_found_and_nothing_else() {
    use Anomaly::*;
    let cases: &[(&str, &[Anomaly])] = &[
        // Good ones.
        ("a1; a:1 b2; a:1 b:2", &[]),
        ("a1; a:", &[]),
        ("a:; a1; a:1 a2 a:12; a:12", &[]),
        ("a1 abort; a:", &[]),
        ("a1 unknown; a:", &[]),
        ("a1 unknown; a:1 b2; b:2", &[]),
        // What it saw of itself says nothing: it was lost.
        ("a1 a:1 b: unknown; b2 a:", &[]),
        ("*; a1; *a:1; b2; *a:1,b:2", &[]),
        ("a1 a2; a:12; a3 abort", &[]),
        // Dirty write: the orders of two lists disagree.
        ("a1 b2; a3 b4; a:13 b:42", &[G0]),
        // Read of what was rolled back.
        ("a1 abort; a:1", &[G1a]),
        ("a1 abort; *a:1", &[G1a]),
        // Read of the middle of a transaction.
        ("a1 a2; a:1; a:12", &[G1b, GSingle]),
        // Each sees the other.
        ("a1 b:2; b2 a:1", &[G1c]),
        ("a1 b2; a3 b:2; a:31", &[G1c]),
        // Both add to what they read.
        ("a:1 a2; a:1 a3; a1; a:123", &[LostUpdate, GSingle]),
        ("a:1 a2; a:1 a3; a1", &[LostUpdate, G2Item]),
        // Read skew: half of a transaction.
        ("a1 b2; a: b:2", &[GSingle]),
        ("a1 b2; *b:2", &[GSingle]),
        // Write skew.
        ("a: b1; b: a2; a:2 b:1", &[G2Item]),
        ("a: b1; b: a2", &[G2Item]),
        // Write skew through what is not there: phantoms.
        ("* a1; * b2; a:1 b:2", &[G2]),
        ("* a1; b2; *a:1; *b:2", &[G2]),
        // Three of them.
        ("a: b1; b: c2; c: a3", &[G2Item]),
        // A reader that orders two others against each other (Fekete's read-only anomaly).
        ("a: b: b1; a2; a:2 b:", &[G2Item]),
        // Nonsense.
        ("a1; a2; a:12; a:21", &[Incompatible]),
        ("a:7", &[Incompatible]),
        ("a1; a:11", &[Incompatible]),
        ("a1 a:", &[Internal]),
        ("a1 *", &[Internal]),
    ];
    for (text, expected) in cases {
        let found = check(&parse(text));
        let mut kinds: Vec<Anomaly> = found.iter().map(|finding| finding.anomaly).collect();
        kinds.sort_unstable();
        let all = found.iter().map(Finding::to_string).collect::<Vec<_>>();
        assert_eq!(kinds, *expected, "{text}\n{}", all.join("\n"));
    }
}
