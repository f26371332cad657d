//! Key spaces: their list, a walk over their keys, their end.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tessera_engine::Report;
use tessera_engine::keyvalue::{KeyPage, Reader, ScanSpec};
use tessera_engine::models::Pinned;
use tessera_types::codes;
use utoipa::{IntoParams, ToSchema};

use super::KeyAnswer;
use super::values::Content;
use crate::api::caller::Caller;
use crate::api::input::{self, Params, Segments};
use crate::api::pages::{self, Page};
use crate::problem::Problem;

/// Keys of a page when nothing is said, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

/// Parameters of a walk over keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScanParams {
    /// Only keys that begin so.
    prefix: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Keys to look at, 1 to 1000; 100 by default. Pages may be shorter.
    limit: Option<u64>,
    /// Whether all pages show the state of the first; true by default. The snapshot is kept for 60
    /// seconds from page to page, 10 minutes in all; later pages are answered with 410.
    snapshot: Option<bool>,
}

/// One page of a walk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScanAnswer {
    /// Keys in the order of their bytes. Values are here only if they are small.
    keys: Vec<KeyAnswer>,
    /// For `cursor`; null at the end.
    next: Option<String>,
}

/// A key space.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpaceAnswer {
    name: String,
    owner: String,
    /// Keys now.
    keys: u64,
    /// Those of them that expire.
    expiring: u64,
    /// Bytes of keys and values.
    bytes: u64,
}

/// The key spaces.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpacesAnswer {
    spaces: Vec<SpaceAnswer>,
}

/// Lists the key spaces of the user, with their exact sizes.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys",
    responses((status = 200, body = SpacesAnswer)))]
pub(crate) async fn list_spaces(caller: Caller) -> Result<Json<SpacesAnswer>, Problem> {
    let list = caller.client.list_key_spaces().await?;
    let spaces = list.into_iter().map(|space| SpaceAnswer {
        name: space.name,
        owner: space.owner,
        keys: space.footprint.keys,
        expiring: space.footprint.expiring,
        bytes: space.footprint.bytes,
    });
    Ok(Json(SpacesAnswer {
        spaces: spaces.collect(),
    }))
}

/// Walks over the keys of a key space. All pages show the state of the first one, unless `snapshot`
/// is false: then a key that is there all the time is met exactly once, and others at most once.
#[utoipa::path(get, path = "/api/v1/keys/{space}", tag = "keys",
    params(("space" = String, Path), ScanParams),
    responses((status = 200, body = ScanAnswer),
        (status = 410, description = "The snapshot of the pages is not kept any more")))]
pub(crate) async fn scan(
    caller: Caller,
    Segments(space): Segments<String>,
    Params(params): Params<ScanParams>,
) -> Result<Json<ScanAnswer>, Problem> {
    let limit = input::limit(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    let page = Page::of(
        &caller,
        params.cursor.as_deref(),
        params.snapshot.unwrap_or(true),
    )?;
    let after = page.place.as_deref().map(input::base64).transpose()?;
    let pattern = params.prefix.as_deref().map(prefix_pattern);
    let (client, space) = (&caller.client, space.as_str());
    let (after, pattern) = (after.as_deref(), pattern.as_deref());
    let pinned = page.pinned();
    let now = client.now();
    let found = client
        .run(&caller.read("walk over keys"), move |txn| async move {
            let Some(space) = client.space(&txn, space).await? else {
                return match pinned {
                    Some(_) => Err(Pinned::gone()),
                    None => Ok(None),
                };
            };
            let (view, moment) = match pinned {
                Some(pinned) => {
                    pinned.check(&space)?;
                    (pinned.view(), pinned.now())
                }
                None => (txn.view(), now),
            };
            let spec = ScanSpec {
                pattern,
                value_type: None,
                count: Some(limit),
            };
            let reader = Reader::new(&space, view.clone(), moment);
            let found = reader.scan_keys(after, &spec).await?;
            Ok(Some((found, Pinned::new(view, moment, &space))))
        })
        .await
        .map_err(pages::failed)?;
    let (found, first) = match found {
        Some((found, first)) => (found, Some(first)),
        None => (KeyPage::default(), None),
    };
    let keys = found.keys.iter();
    let keys = keys.map(|info| {
        let value = info.small_value.clone().map(Content::String);
        KeyAnswer::of(info, value.as_ref(), now)
    });
    let place = found.next.map(|key| input::to_base64(&key));
    Ok(Json(ScanAnswer {
        keys: keys.collect(),
        next: page.next(client, place, first),
    }))
}

/// A pattern that means exactly the prefix.
fn prefix_pattern(prefix: &str) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix.bytes() {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

/// Drops a key space with all its keys.
#[utoipa::path(delete, path = "/api/v1/keys/{space}", tag = "keys",
    params(("space" = String, Path)),
    responses((status = 204, description = "It is gone"), (status = 404, description = "There is none")))]
pub(crate) async fn drop_space(
    caller: Caller,
    Segments(space): Segments<String>,
) -> Result<StatusCode, Problem> {
    let call = caller.write("drop a key space");
    if caller.client.drop_key_space(&call, &space).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let message = format!("key space \"{space}\" does not exist");
    Err(Report::error(codes::UNDEFINED_TABLE, message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_meant_letter_by_letter() {
        for (prefix, key, matches) in [
            ("a*", "a*b", true),
            ("a*", "abc", false),
            ("[x]", "[x]y", true),
            ("a\\", "a\\b", true),
            ("?", "?", true),
            ("?", "a", false),
        ] {
            let pattern = prefix_pattern(prefix);
            let got = tessera_engine::keyvalue::glob_matches(&pattern, key.as_bytes());
            assert_eq!(got, matches, "{prefix} {key}");
        }
    }
}
