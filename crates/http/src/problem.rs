//! Errors as `application/problem+json` (RFC 9457); every error answer is shaped here.
//!
//! A handler's problem travels as an extension of an empty answer, so that `router` can add the
//! correlation id, which handlers do not know.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tessera_engine::Report;
use tessera_types::codes;

pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Seconds after which a client may try again, when the server is short of something.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An error answer.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) detail: Cow<'static, str>,
    /// Members besides those of the standard.
    more: Vec<(String, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            status,
            detail: detail.into(),
            more: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// 400.
    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 412.
    pub(crate) fn precondition() -> Problem {
        Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "what is stored is not what If-Match or If-None-Match asks for",
        )
    }

    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Problem {
        let value = value.into();
        match self.more.iter_mut().find(|(name, _)| name == member) {
            Some((_, known)) => *known = value,
            None => self.more.push((member.to_owned(), value)),
        }
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.push((name, value));
        self
    }

    /// The object; `correlation_id` when there is one.
    pub(crate) fn to_value(&self, correlation_id: Option<&str>) -> Value {
        let mut object = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Value::Object(members) = &mut object {
            for (name, value) in &self.more {
                members.insert(name.clone(), value.clone());
            }
            if let Some(id) = correlation_id {
                members.insert("correlation_id".to_owned(), id.into());
            }
        }
        object
    }

    pub(crate) fn body(&self) -> String {
        self.to_value(None).to_string()
    }
}

impl From<Report> for Problem {
    fn from(report: Report) -> Problem {
        let status = status_of(&report);
        let mut problem = Problem::new(status, report.message.clone())
            .with("code", report.code.as_str())
            .with("retry", report.code.retry().as_str());
        let texts = [
            ("explanation", &report.detail),
            ("hint", &report.hint),
            ("context", &report.context),
            ("schema", &report.schema),
            ("table", &report.table),
            ("column", &report.column),
            ("constraint", &report.constraint),
        ];
        for (member, text) in texts {
            if let Some(text) = text {
                problem = problem.with(member, text.as_str());
            }
        }
        if let Some(position) = report.position {
            problem = problem.with("position", position);
        }
        if let Some(facts) = &report.facts
            && let Ok(facts) = tessera_codec::json::parse(facts.as_bytes())
        {
            problem = problem.with("facts", facts);
        }
        match status {
            StatusCode::UNAUTHORIZED => problem.with_challenges(),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                problem.with_header(header::RETRY_AFTER, RETRY_AFTER)
            }
            _ => problem,
        }
    }
}

impl Problem {
    /// How to log in.
    pub(crate) fn with_challenges(self) -> Problem {
        const BASIC: HeaderValue =
            HeaderValue::from_static("Basic realm=\"tessera\", charset=\"UTF-8\"");
        const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"tessera\"");
        self.with_header(header::WWW_AUTHENTICATE, BASIC)
            .with_header(header::WWW_AUTHENTICATE, BEARER)
    }
}

/// The status that fits an SQLSTATE. The code itself is in the body.
fn status_of(report: &Report) -> StatusCode {
    match report.code {
        codes::NO_DATA
        | codes::UNDEFINED_TABLE
        | codes::UNDEFINED_OBJECT
        | codes::INVALID_SCHEMA_NAME
        | codes::NO_ACTIVE_SQL_TRANSACTION => StatusCode::NOT_FOUND,
        codes::UNIQUE_VIOLATION
        | codes::DUPLICATE_TABLE
        | codes::DUPLICATE_OBJECT
        | codes::READ_ONLY_SQL_TRANSACTION
        | codes::WRONG_OBJECT_TYPE => StatusCode::CONFLICT,
        codes::INSUFFICIENT_PRIVILEGE => StatusCode::FORBIDDEN,
        codes::CONFIGURATION_LIMIT_EXCEEDED => StatusCode::TOO_MANY_REQUESTS,
        codes::DISK_FULL => StatusCode::INSUFFICIENT_STORAGE,
        codes::PROGRAM_LIMIT_EXCEEDED => StatusCode::PAYLOAD_TOO_LARGE,
        codes::QUERY_CANCELED if report.message.ends_with("timeout") => StatusCode::GATEWAY_TIMEOUT,
        // Nobody knows whether it took effect: not a status that clients repeat by themselves.
        codes::STATEMENT_COMPLETION_UNKNOWN => StatusCode::INTERNAL_SERVER_ERROR,
        code => match code.as_str().get(..2).unwrap_or_default() {
            "23" => StatusCode::UNPROCESSABLE_ENTITY,
            "25" | "2D" | "40" | "55" => StatusCode::CONFLICT,
            "28" => StatusCode::UNAUTHORIZED,
            "53" => StatusCode::SERVICE_UNAVAILABLE,
            "57" if code == codes::QUERY_CANCELED => StatusCode::CONFLICT,
            "57" => StatusCode::SERVICE_UNAVAILABLE,
            "58" | "XX" | "08" | "F0" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        },
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        let media_type = HeaderValue::from_static(MEDIA_TYPE);
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        headers.insert(header::CONTENT_TYPE, media_type);
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives a problem its body.
pub(crate) fn finish(mut response: Response, correlation_id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let body = problem.to_value(Some(correlation_id)).to_string();
        *response.body_mut() = Body::from(body);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_keeps_its_fields_and_gets_a_status() {
        let report = Report::error(codes::UNIQUE_VIOLATION, "duplicate")
            .with_detail("Key (id)=(1) already exists.")
            .with_hint("Choose another.");
        let problem = Problem::from(report);
        let value = problem.to_value(Some("c1"));
        assert_eq!(value["status"], 409);
        assert_eq!(value["code"], "23505");
        assert_eq!(value["detail"], "duplicate");
        assert_eq!(value["explanation"], "Key (id)=(1) already exists.");
        assert_eq!(value["correlation_id"], "c1");
    }

    #[test]
    fn statuses_follow_the_sqlstate() {
        for (code, status) in [
            (codes::INVALID_PASSWORD, 401),
            (codes::INSUFFICIENT_PRIVILEGE, 403),
            (codes::UNDEFINED_TABLE, 404),
            (codes::SERIALIZATION_FAILURE, 409),
            (codes::CHECK_VIOLATION, 422),
            (codes::SYNTAX_ERROR, 400),
            (codes::PROGRAM_LIMIT_EXCEEDED, 413),
            (codes::TOO_MANY_CONNECTIONS, 503),
            (codes::INTERNAL_ERROR, 500),
            // The request asks for what is not there; nothing is wrong with the server.
            (codes::FEATURE_NOT_SUPPORTED, 400),
        ] {
            let problem = Problem::from(Report::error(code, "x"));
            assert_eq!(problem.status.as_u16(), status, "{}", code.as_str());
        }
    }
}
