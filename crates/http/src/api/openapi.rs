//! The OpenAPI description, made from the handlers; also checked in as `docs/reference/openapi.json`.

use std::sync::OnceLock;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response,
};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::MEDIA_TYPE;

/// An error (RFC 9457). There may be more members, such as `position` or `path`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `problem` writes")]
struct Problem {
    r#type: String,
    /// What the status means.
    title: String,
    status: u16,
    /// What went wrong.
    detail: String,
    /// SQLSTATE.
    code: Option<String>,
    /// Whether a repetition may succeed: `never`, `statement`, `transaction`, `later`.
    retry: Option<String>,
    /// Finds the request in the log.
    correlation_id: Option<String>,
}

/// What is not made from handlers.
pub(super) fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Tessera")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Keys, documents, SQL and transactions. Errors are application/problem+json with the \
             SQLSTATE in `code`. The header `Tessera-Transaction` makes a request part of an open \
             transaction; `Idempotency-Key` makes a POST or PATCH safe to repeat.",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme(
            "basic",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)),
        )
        .security_scheme(
            "bearer",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        )
        .schema("Problem", Problem::schema())
        .build();
    let scheme = |name: &str| {
        utoipa::openapi::security::SecurityRequirement::new(name, Vec::<String>::new())
    };
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([scheme("basic"), scheme("bearer")]))
        .build()
}

/// `/api/v1/documents:query/{collection}` is what the router knows;
/// `/api/v1/documents/{collection}:query` is what clients say.
pub(super) fn put_verbs_behind(api: &mut OpenApi) {
    let paths = std::mem::take(&mut api.paths.paths);
    api.paths.paths = paths
        .into_iter()
        .map(|(path, item)| (public_path(&path), item))
        .collect();
}

/// Every error is a problem, also those that a handler does not list: a login that is not valid, a
/// body that is too large, a conflict, a limit.
pub(super) fn describe_errors(api: &mut OpenApi) {
    let content = || {
        let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
        RefOr::T(Content::new(Some(schema)))
    };
    for item in api.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            for (status, response) in responses.iter_mut() {
                let is_error = status.starts_with(['4', '5']);
                if let RefOr::T(response) = response
                    && is_error
                    && response.content.is_empty()
                {
                    response.content.insert(MEDIA_TYPE.to_owned(), content());
                }
            }
            let mut other = Response::new("Any other error");
            other.content.insert(MEDIA_TYPE.to_owned(), content());
            responses.insert("default".to_owned(), RefOr::T(other));
        }
    }
}

fn public_path(path: &str) -> String {
    let moved = path.split_once(':').and_then(|(front, rest)| {
        let (verb, name) = rest.split_once('/')?;
        Some(format!("{front}/{name}:{verb}"))
    });
    moved.unwrap_or_else(|| path.to_owned())
}

/// The description as indented JSON with a line break at the end.
pub fn openapi_text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let (_, api) = super::routes();
        let mut text = api.to_pretty_json().unwrap_or_default();
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_stand_behind_names() {
        let path = "/api/v1/documents:query/{collection}";
        assert_eq!(public_path(path), "/api/v1/documents/{collection}:query");
        assert_eq!(public_path("/api/v1/sql/{id}"), "/api/v1/sql/{id}");
    }

    /// `UPDATE=1 cargo test -p tessera-http` writes the file.
    #[test]
    fn the_checked_in_description_is_that_of_the_code() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/openapi.json"
        );
        let made = openapi_text();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, made).expect("the file can be written");
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(kept, made, "run UPDATE=1 cargo test -p tessera-http");
    }
}
