//! Pages: a walk that shows one state, because each page is read from the snapshot of the first.
//!
//! What a client hands back is `<snapshot>.<place>`, or only the place where no snapshot is kept:
//! when the request does not want it, and inside of transactions, which have a state of their own.

use axum::http::StatusCode;
use tessera_engine::Report;
use tessera_engine::models::{Client, Pinned};
use tessera_types::codes;

use super::caller::Caller;
use crate::problem::Problem;

/// Between the snapshot and the place; not a letter of base64.
const SEPARATOR: char = '.';

/// Where a page begins, and what it is read from.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The place, in the words of whoever made it; none at the first page.
    pub(super) place: Option<String>,
    kept: Option<(String, Pinned)>,
    /// Keep the first page's snapshot.
    keeps: bool,
}

impl Page {
    /// The page that a request asks for.
    pub(super) fn of(
        caller: &Caller,
        continued: Option<&str>,
        snapshot: bool,
    ) -> Result<Page, Problem> {
        let Some(text) = continued else {
            return Ok(Page {
                keeps: snapshot && caller.transaction.is_none(),
                ..Page::default()
            });
        };
        let Some((token, place)) = text.split_once(SEPARATOR) else {
            return Ok(Page {
                place: Some(text.to_owned()),
                ..Page::default()
            });
        };
        if caller.transaction.is_some() {
            return Err(Problem::bad_request(
                "pages of a kept snapshot are read outside of transactions",
            ));
        }
        let pinned = caller.client.pinned(token).map_err(failed)?;
        Ok(Page {
            place: Some(place.to_owned()),
            kept: Some((token.to_owned(), pinned)),
            keeps: true,
        })
    }

    /// What the page is read from, unless it is the statement's own view.
    pub(super) fn pinned(&self) -> Option<&Pinned> {
        self.kept.as_ref().map(|(_, pinned)| pinned)
    }

    /// What the client hands back for the next page, at `place`; at the end the snapshot is given
    /// up. `first` is what the page was read from, if it is the first.
    pub(super) fn next(
        self,
        client: &Client,
        place: Option<String>,
        first: Option<Pinned>,
    ) -> Option<String> {
        let token = match (self.kept, &place) {
            (Some((token, _)), Some(_)) => Some(token),
            (Some((token, _)), None) => {
                client.unpin(&token);
                None
            }
            (None, Some(_)) if self.keeps => first.map(|pinned| client.pin(pinned)),
            (None, _) => None,
        };
        place.map(|place| match token {
            Some(token) => format!("{token}{SEPARATOR}{place}"),
            None => place,
        })
    }
}

/// What is gone will not come back: 410.
pub(super) fn failed(report: Report) -> Problem {
    let is_gone = report.code == codes::SNAPSHOT_TOO_OLD;
    let mut problem = Problem::from(report);
    if is_gone {
        problem.status = StatusCode::GONE;
    }
    problem
}
