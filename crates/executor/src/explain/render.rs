//! A plan tree as PostgreSQL prints it.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tessera_planner::statement::Explain;

use super::PlanNode;

/// How long planning and execution took.
pub(super) struct Times {
    pub(super) planning: Duration,
    pub(super) execution: Option<Duration>,
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The lines of FORMAT TEXT.
pub(super) fn text(plan: &PlanNode, explain: &Explain, times: &Times) -> Vec<String> {
    let mut lines = Vec::new();
    node_lines(plan, explain, 0, true, &mut lines);
    if explain.summary.unwrap_or(explain.analyze) {
        lines.push(format!(
            "Planning Time: {:.3} ms",
            milliseconds(times.planning)
        ));
        if let Some(execution) = times.execution {
            lines.push(format!("Execution Time: {:.3} ms", milliseconds(execution)));
        }
    }
    lines
}

fn node_lines(
    node: &PlanNode,
    explain: &Explain,
    indent: usize,
    is_root: bool,
    lines: &mut Vec<String>,
) {
    let mut line = " ".repeat(indent);
    if !is_root {
        line.push_str("->  ");
    }
    line.push_str(&node.name);
    // Writing to a string cannot fail.
    if let Some(index) = &node.index {
        let _ = write!(line, " using {index}");
    }
    if let Some(relation) = &node.relation {
        let _ = write!(line, " on {relation}");
    }
    if explain.costs
        && let Some(rows) = node.rows
    {
        let _ = write!(line, "  (rows={rows:.0})");
    }
    if let Some(actual) = &node.actual {
        if explain.timing {
            let _ = write!(
                line,
                " (actual time={:.3} rows={} loops={})",
                milliseconds(actual.time),
                actual.rows,
                actual.loops
            );
        } else {
            let _ = write!(
                line,
                " (actual rows={} loops={})",
                actual.rows, actual.loops
            );
        }
    }
    lines.push(line);
    let inner = if is_root { indent + 2 } else { indent + 6 };
    for (key, value) in &node.details {
        lines.push(format!("{}{key}: {value}", " ".repeat(inner)));
    }
    for child in &node.children {
        node_lines(child, explain, inner, false, lines);
    }
}

/// The document of FORMAT JSON: an array of one object with "Plan".
pub(super) fn json(plan: &PlanNode, explain: &Explain, times: &Times) -> String {
    let mut document = Map::new();
    document.insert("Plan".to_owned(), node_json(plan, explain));
    if explain.summary.unwrap_or(explain.analyze) {
        document.insert(
            "Planning Time".to_owned(),
            rounded(milliseconds(times.planning)),
        );
        if let Some(execution) = times.execution {
            document.insert(
                "Execution Time".to_owned(),
                rounded(milliseconds(execution)),
            );
        }
    }
    serde_json::to_string_pretty(&json!([document])).unwrap_or_default()
}

fn node_json(node: &PlanNode, explain: &Explain) -> Json {
    let mut object = Map::new();
    object.insert("Node Type".to_owned(), json!(node.name));
    if let Some(relation) = &node.relation {
        let (name, alias) = relation.split_once(' ').unwrap_or((relation, relation));
        object.insert("Relation Name".to_owned(), json!(name));
        object.insert("Alias".to_owned(), json!(alias));
    }
    if let Some(index) = &node.index {
        object.insert("Index Name".to_owned(), json!(index));
    }
    if explain.costs
        && let Some(rows) = node.rows
    {
        object.insert("Plan Rows".to_owned(), json!(rows.round() as u64));
    }
    if let Some(actual) = &node.actual {
        if explain.timing {
            object.insert(
                "Actual Total Time".to_owned(),
                rounded(milliseconds(actual.time)),
            );
        }
        object.insert("Actual Rows".to_owned(), json!(actual.rows));
        object.insert("Actual Loops".to_owned(), json!(actual.loops));
    }
    for (key, value) in &node.details {
        object.insert((*key).to_owned(), json!(value));
    }
    if !node.children.is_empty() {
        let children: Vec<Json> = node
            .children
            .iter()
            .map(|child| node_json(child, explain))
            .collect();
        object.insert("Plans".to_owned(), Json::Array(children));
    }
    Json::Object(object)
}

/// Three digits, as PostgreSQL prints times.
fn rounded(value: f64) -> Json {
    json!((value * 1_000.0).round() / 1_000.0)
}
