//! Prints a reference page of the book, written from the tables in the code.

use std::io::Write;

use anyhow::{Result, bail};
use tessera_telemetry::METRICS;
use tessera_types::codes;

const HEAD: &str = "<!-- Written by `cargo xtask gen` from the code. Do not edit. -->\n";

fn main() -> Result<()> {
    let page = match std::env::args().nth(1).as_deref() {
        Some("errors") => errors(),
        Some("metrics") => metrics(),
        Some("configuration") => tessera_server::config::reference_page(),
        Some("openapi") => tessera_http::openapi_text().to_owned(),
        other => bail!("unknown page {other:?}; there are errors, metrics, configuration, openapi"),
    };
    Ok(std::io::stdout().write_all(page.as_bytes())?)
}

fn errors() -> String {
    let mut page = format!(
        "# Error codes\n\n{HEAD}\n\
         Every error carries a SQLSTATE, the same on every protocol.\n\
         The last column says whether repeating helps: the statement, the whole transaction, or later.\n\n\
         | code | name | meaning | what to do | repeat |\n|---|---|---|---|---|\n"
    );
    for entry in codes::TABLE {
        page.push_str(&format!(
            "| `{}` | `{}` | {} | {} | {} |\n",
            entry.code.as_str(),
            entry.name,
            cell(entry.meaning),
            cell(entry.remedy),
            format!("{:?}", entry.retry).to_lowercase()
        ));
    }
    page
}

fn metrics() -> String {
    let mut page = format!(
        "# Metrics\n\n{HEAD}\n\
         `GET /metrics` on the HTTP port answers in the OpenMetrics text format.\n\n\
         | name | kind | unit | labels | meaning |\n|---|---|---|---|---|\n"
    );
    for metric in METRICS {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            metric.name,
            format!("{:?}", metric.kind).to_lowercase(),
            format!("{:?}", metric.unit).to_lowercase(),
            metric.labels.join(", "),
            cell(metric.help)
        ));
    }
    page
}

/// Text that may stand in a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
