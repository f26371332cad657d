//! Chooses one overload for the types of a call.

use tessera_types::SqlType;

use super::coercion::{Category, casts_implicitly, category, is_preferred, same_base};
use super::{AggregateOverload, Argument, Returns, ScalarOverload, SetOverload, WindowOverload};

/// What choosing needs to know of an overload.
pub trait Choice {
    /// Arguments in order.
    fn arguments(&self) -> &[Argument];
    /// How many may be left out at the end.
    fn optional(&self) -> usize {
        0
    }
    /// The last one may repeat.
    fn variadic(&self) -> bool {
        false
    }
}

impl Choice for ScalarOverload {
    fn arguments(&self) -> &[Argument] {
        &self.arguments
    }
    fn optional(&self) -> usize {
        self.optional
    }
    fn variadic(&self) -> bool {
        self.variadic
    }
}

impl Choice for AggregateOverload {
    fn arguments(&self) -> &[Argument] {
        &self.arguments
    }
    fn variadic(&self) -> bool {
        self.variadic
    }
}

impl Choice for WindowOverload {
    fn arguments(&self) -> &[Argument] {
        &self.arguments
    }
    fn optional(&self) -> usize {
        self.optional
    }
}

impl Choice for SetOverload {
    fn arguments(&self) -> &[Argument] {
        &self.arguments
    }
    fn optional(&self) -> usize {
        self.optional
    }
}

/// The chosen overload and the types its arguments must be cast to.
#[derive(Debug, Clone)]
pub struct Chosen<T> {
    /// The overload.
    pub overload: T,
    /// Type of each argument after the casts; equal to the given type where none is needed.
    pub argument_types: Vec<SqlType>,
    /// What `AnyElement` stands for in this call.
    pub element: Option<SqlType>,
}

impl<T> Chosen<T> {
    /// The type of the result, where the overload says it without Arrow fields.
    pub fn result_type(&self, returns: &Returns) -> Option<SqlType> {
        let element = || self.element.clone().unwrap_or(SqlType::Text);
        match returns {
            Returns::Exact(sql_type) => Some(sql_type.clone()),
            Returns::Element => Some(element()),
            Returns::Array => Some(SqlType::Array(Box::new(element()))),
            Returns::Computed(compute) => Some(compute(&self.argument_types)),
            Returns::Field(_) => None,
        }
    }
}

/// Why no overload was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoChoice {
    /// No overload takes these types.
    None,
    /// Several do, equally well.
    Ambiguous,
}

/// One overload that could be called, with its argument types for this call.
struct Candidate<'a, T> {
    overload: &'a T,
    types: Vec<SqlType>,
    element: Option<SqlType>,
    exact: usize,
}

/// Chooses among `overloads` for a call with these types.
pub(crate) fn choose<T, O>(overloads: &[O], given: &[SqlType]) -> Result<Chosen<O>, NoChoice>
where
    O: std::ops::Deref<Target = T> + Clone,
    T: Choice,
{
    let mut candidates: Vec<Candidate<'_, O>> = overloads
        .iter()
        .filter_map(|overload| candidate(overload, overload.deref(), given))
        .collect();
    if candidates.len() > 1 {
        keep_best(&mut candidates, |c| c.exact);
    }
    if candidates.len() > 1 {
        keep_best(&mut candidates, |c| {
            c.types
                .iter()
                .zip(given)
                .filter(|(t, g)| same_base(t, g) || is_preferred(t))
                .count()
        });
    }
    if candidates.len() > 1 && given.contains(&SqlType::Unknown) {
        resolve_unknown(&mut candidates, given);
    }
    if candidates.len() > 1 {
        // Specific overloads before polymorphic ones.
        keep_best(&mut candidates, |c| {
            let specific = |a: &&Argument| matches!(a, Argument::Exact(_));
            c.overload.arguments().iter().filter(specific).count()
        });
    }
    if let [.., last] = candidates.as_slice() {
        // The same overload added twice: the later one counts.
        let arguments = last.overload.arguments();
        if candidates
            .iter()
            .all(|c| c.overload.arguments() == arguments)
        {
            candidates.drain(..candidates.len() - 1);
        }
    }
    match candidates.len() {
        0 => Err(NoChoice::None),
        1 => {
            let best = candidates.swap_remove(0);
            Ok(Chosen {
                overload: best.overload.clone(),
                argument_types: best.types,
                element: best.element,
            })
        }
        _ => Err(NoChoice::Ambiguous),
    }
}

/// Keeps the candidates with the highest score.
fn keep_best<T>(
    candidates: &mut Vec<Candidate<'_, T>>,
    score: impl Fn(&Candidate<'_, T>) -> usize,
) {
    let best = candidates.iter().map(&score).max().unwrap_or(0);
    candidates.retain(|candidate| score(candidate) == best);
}

/// The overload as a candidate, when these types can be passed to it.
fn candidate<'a, T: Choice, O>(
    overload: &'a O,
    choice: &T,
    given: &[SqlType],
) -> Option<Candidate<'a, O>> {
    let arguments = choice.arguments();
    let fits = if choice.variadic() {
        given.len() + 1 >= arguments.len().max(1) && given.len() + 1 > arguments.len()
    } else {
        given.len() <= arguments.len() && given.len() + choice.optional() >= arguments.len()
    };
    if !fits {
        return None;
    }
    let argument_at = |i: usize| arguments.get(i).or(arguments.last());
    let mut element: Option<SqlType> = None;
    for (i, sql_type) in given.iter().enumerate() {
        let found = match (argument_at(i)?, sql_type) {
            (_, SqlType::Unknown) => continue,
            (Argument::AnyElement, t) => t.clone(),
            (Argument::AnyArray, SqlType::Array(item)) => (**item).clone(),
            (Argument::AnyArray, _) => return None,
            _ => continue,
        };
        element = Some(match element {
            None => found,
            Some(before) if same_base(&before, &found) => before,
            Some(before) if casts_implicitly(&before, &found) => found,
            Some(before) if casts_implicitly(&found, &before) => before,
            Some(_) => return None,
        });
    }
    // With an untyped literal for the array, the element is a guess: `'x' || 1` is text.
    let is_guess = given
        .iter()
        .enumerate()
        .any(|(i, t)| *t == SqlType::Unknown && argument_at(i) == Some(&Argument::AnyArray));
    let mut exact = 0;
    let mut types = Vec::with_capacity(given.len());
    for (i, sql_type) in given.iter().enumerate() {
        let wanted = match argument_at(i)? {
            Argument::Exact(wanted) => wanted.clone(),
            Argument::Any if *sql_type == SqlType::Unknown => SqlType::Text,
            Argument::Any => sql_type.clone(),
            Argument::AnyElement => element.clone().unwrap_or(SqlType::Text),
            Argument::AnyArray => {
                SqlType::Array(Box::new(element.clone().unwrap_or(SqlType::Text)))
            }
        };
        if !casts_implicitly(sql_type, &wanted) {
            return None;
        }
        if same_base(sql_type, &wanted) && *sql_type != SqlType::Unknown {
            // What takes anything is no match for what takes this.
            let argument = argument_at(i)?;
            let is_loose =
                *argument == Argument::Any || (is_guess && *argument == Argument::AnyElement);
            exact += usize::from(!is_loose);
            types.push(sql_type.clone());
        } else {
            types.push(wanted);
        }
    }
    Some(Candidate {
        overload,
        types,
        element,
        exact,
    })
}

/// Chooses by the category that the untyped literals should have.
fn resolve_unknown<O>(candidates: &mut Vec<Candidate<'_, O>>, given: &[SqlType]) {
    // If all typed arguments have one type, assume that the literals have it too.
    let known: Vec<&SqlType> = given.iter().filter(|t| **t != SqlType::Unknown).collect();
    if let Some(first) = known.first()
        && known.iter().all(|t| same_base(t, first))
    {
        let same = |c: &Candidate<'_, O>| {
            c.types
                .iter()
                .zip(given)
                .all(|(t, g)| *g != SqlType::Unknown || same_base(t, first))
        };
        if candidates.iter().any(same) {
            candidates.retain(same);
            if candidates.len() == 1 {
                return;
            }
        }
    }
    for (i, sql_type) in given.iter().enumerate() {
        if *sql_type != SqlType::Unknown || candidates.len() < 2 {
            continue;
        }
        let categories: Vec<Category> = candidates.iter().map(|c| category(&c.types[i])).collect();
        let wanted = if categories.contains(&Category::String) {
            Category::String
        } else if categories.iter().all(|c| *c == categories[0]) {
            categories[0]
        } else {
            continue;
        };
        candidates.retain(|c| category(&c.types[i]) == wanted);
        if candidates.iter().any(|c| is_preferred(&c.types[i])) {
            candidates.retain(|c| is_preferred(&c.types[i]));
        }
    }
}

/// A call as PostgreSQL's messages show it: `name(integer, text)`.
pub(crate) fn describe(name: &str, types: &[SqlType]) -> String {
    let names: Vec<String> = types.iter().map(|t| t.name().to_string()).collect();
    format!("{name}({})", names.join(", "))
}
