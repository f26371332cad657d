//! The `\d` family: questions to the system catalog, and the answers as tables.

use std::fmt::Write;

use crate::client::message::Column;
use crate::table::{Format, Layout, Table};

use super::ShellError;
use super::runner::Runner;

const TEXT: u32 = 25;

/// Carries out `\d…`; false if the catalog could not be asked or nothing was found.
pub(super) async fn run(
    runner: &mut Runner,
    command: &str,
    pattern: &str,
) -> Result<bool, ShellError> {
    let detailed = command.ends_with('+');
    match command.trim_end_matches('+') {
        "d" if pattern.is_empty() => relations(runner, "rvmSfp", pattern, false).await,
        "d" => describe(runner, pattern, detailed).await,
        "dt" => relations(runner, "rp", pattern, false).await,
        "dv" => relations(runner, "v", pattern, false).await,
        "dm" => relations(runner, "m", pattern, false).await,
        "ds" => relations(runner, "S", pattern, false).await,
        "di" => relations(runner, "i", pattern, true).await,
        "dn" => schemas(runner, pattern).await,
        "du" | "dg" => users(runner, pattern).await,
        "l" => databases(runner, pattern).await,
        other => {
            eprintln!("invalid command \\{other}; try \\?");
            Ok(false)
        }
    }
}

async fn relations(
    runner: &mut Runner,
    kinds: &str,
    pattern: &str,
    of_table: bool,
) -> Result<bool, ShellError> {
    let kinds: Vec<String> = kinds.chars().map(|kind| format!("'{kind}'")).collect();
    let (table, join) = if of_table {
        (
            ", t.relname",
            " JOIN pg_catalog.pg_index x ON x.indexrelid = c.oid \
             JOIN pg_catalog.pg_class t ON t.oid = x.indrelid",
        )
    } else {
        ("", "")
    };
    let sql = format!(
        "SELECT n.nspname, c.relname, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' \
         WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' \
         WHEN 'p' THEN 'partitioned table' ELSE 'other' END, \
         pg_catalog.pg_get_userbyid(c.relowner){table} \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace{join} \
         WHERE c.relkind IN ({}) AND {} ORDER BY 1, 2",
        kinds.join(", "),
        filter(pattern, "n.nspname", "c.relname"),
    );
    let mut names = vec!["Schema", "Name", "Type", "Owner"];
    names.extend(of_table.then_some("Table"));
    show(
        runner,
        &sql,
        "List of relations",
        &names,
        "Did not find any relations.",
    )
    .await
}

async fn schemas(runner: &mut Runner, pattern: &str) -> Result<bool, ShellError> {
    let condition = match pattern {
        "" => "nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'".to_owned(),
        pattern => like("nspname", pattern),
    };
    let sql = format!(
        "SELECT nspname, pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace \
         WHERE {condition} ORDER BY 1"
    );
    show(
        runner,
        &sql,
        "List of schemas",
        &["Name", "Owner"],
        "Did not find any schemas.",
    )
    .await
}

async fn users(runner: &mut Runner, pattern: &str) -> Result<bool, ShellError> {
    let condition = match pattern {
        "" => "rolname NOT LIKE 'pg\\_%'".to_owned(),
        pattern => like("rolname", pattern),
    };
    let sql = format!(
        "SELECT rolname, CASE WHEN rolsuper THEN 'Superuser' ELSE '' END || \
         CASE WHEN rolcanlogin THEN '' ELSE 'Cannot login' END \
         FROM pg_catalog.pg_roles WHERE {condition} ORDER BY 1"
    );
    show(
        runner,
        &sql,
        "List of roles",
        &["Role name", "Attributes"],
        "Did not find any roles.",
    )
    .await
}

async fn databases(runner: &mut Runner, pattern: &str) -> Result<bool, ShellError> {
    let condition = if pattern.is_empty() {
        "true".to_owned()
    } else {
        like("datname", pattern)
    };
    let sql = format!(
        "SELECT datname, pg_catalog.pg_get_userbyid(datdba), \
         pg_catalog.pg_encoding_to_char(encoding) \
         FROM pg_catalog.pg_database WHERE {condition} ORDER BY 1"
    );
    let names = ["Name", "Owner", "Encoding"];
    show(
        runner,
        &sql,
        "List of databases",
        &names,
        "Did not find any databases.",
    )
    .await
}

async fn show(
    runner: &mut Runner,
    sql: &str,
    title: &str,
    names: &[&str],
    nothing: &str,
) -> Result<bool, ShellError> {
    let Some(rows) = runner.ask(sql).await? else {
        return Ok(false);
    };
    if rows.is_empty() {
        eprintln!("{nothing}");
        return Ok(true);
    }
    let columns = columns(names);
    let layout = runner.layout.clone();
    runner.write_table(
        &Table {
            columns: &columns,
            rows: &rows,
            title: Some(title),
        },
        &layout,
    )?;
    Ok(true)
}

/// `\d name`: columns, indexes, constraints of every relation that the pattern names.
async fn describe(runner: &mut Runner, pattern: &str, detailed: bool) -> Result<bool, ShellError> {
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {} ORDER BY 2, 3",
        filter(pattern, "n.nspname", "c.relname"),
    );
    let Some(found) = runner.ask(&sql).await? else {
        return Ok(false);
    };
    if found.is_empty() {
        eprintln!("Did not find any relation named \"{pattern}\".");
        return Ok(false);
    }
    for relation in found {
        let [Some(oid), Some(schema), Some(name), Some(kind)] = relation.as_slice() else {
            continue;
        };
        let what = match kind.as_str() {
            "v" => "View",
            "i" => "Index",
            "S" => "Sequence",
            _ => "Table",
        };
        let title = format!("{what} \"{schema}.{name}\"");
        let fine = match kind.as_str() {
            "S" => sequence(runner, schema, name, &title).await?,
            _ => one(runner, oid, kind, &title, detailed).await?,
        };
        if !fine {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn sequence(
    runner: &mut Runner,
    schema: &str,
    name: &str,
    title: &str,
) -> Result<bool, ShellError> {
    let sql = format!(
        "SELECT data_type, start_value, min_value, max_value, increment_by, cycle, cache_size \
         FROM pg_catalog.pg_sequences WHERE schemaname = {} AND sequencename = {}",
        literal(schema),
        literal(name)
    );
    let names = [
        "Type",
        "Start",
        "Minimum",
        "Maximum",
        "Increment",
        "Cycles?",
        "Cache",
    ];
    show(runner, &sql, title, &names, "Did not find the sequence.").await
}

async fn one(
    runner: &mut Runner,
    oid: &str,
    kind: &str,
    title: &str,
    detailed: bool,
) -> Result<bool, ShellError> {
    let sql = format!(
        "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), \
         CASE WHEN a.attnotnull THEN 'not null' ELSE '' END, \
         CASE a.attidentity WHEN 'a' THEN 'generated always as identity' \
         WHEN 'd' THEN 'generated by default as identity' \
         ELSE coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') END \
         FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d \
         ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    );
    let Some(rows) = runner.ask(&sql).await? else {
        return Ok(false);
    };
    let columns = columns(&["Column", "Type", "Nullable", "Default"]);
    let Some(footer) = footer(runner, oid, kind, detailed).await? else {
        return Ok(false);
    };
    let layout = Layout {
        tuples_only: false,
        ..runner.layout.clone()
    };
    let table = Table {
        columns: &columns,
        rows: &rows,
        title: Some(title),
    };
    if layout.format != Format::Aligned {
        runner.write_table(&table, &layout)?;
        return Ok(true);
    }
    if layout.expanded {
        runner.write_table(&table, &layout)?;
        runner.say(&footer)?;
        return Ok(true);
    }
    // A description has its footers in place of the row count.
    let mut text = Vec::new();
    table.write(&layout, &mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let body = text
        .rsplit_once("\n(")
        .map_or(text.as_str(), |(body, _)| body);
    runner.say(body)?;
    runner.say(&footer)?;
    Ok(true)
}

/// Indexes, checks and a view's query, as lines.
async fn footer(
    runner: &mut Runner,
    oid: &str,
    kind: &str,
    detailed: bool,
) -> Result<Option<String>, ShellError> {
    let mut text = String::new();
    if kind == "v" {
        if detailed {
            let sql = format!("SELECT pg_catalog.pg_get_viewdef({oid})");
            let Some(rows) = runner.ask(&sql).await? else {
                return Ok(None);
            };
            if let Some(Some(definition)) = rows.first().and_then(|row| row.first()) {
                let _ = writeln!(text, "View definition:\n{definition}");
            }
        }
        return Ok(Some(text));
    }
    let sql = format!(
        "SELECT i.relname, x.indisprimary, x.indisunique, pg_catalog.pg_get_indexdef(i.oid), \
         (SELECT count(*) FROM pg_catalog.pg_constraint o \
          WHERE o.conindid = i.oid AND o.contype IN ('p', 'u')) \
         FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid \
         WHERE x.indrelid = {oid} ORDER BY x.indisprimary DESC, i.relname"
    );
    let Some(indexes) = runner.ask(&sql).await? else {
        return Ok(None);
    };
    if !indexes.is_empty() {
        text.push_str("Indexes:\n");
    }
    for index in indexes {
        let [
            Some(name),
            Some(primary),
            Some(unique),
            Some(definition),
            constraints,
        ] = index.as_slice()
        else {
            continue;
        };
        let constraint = constraints.as_deref().is_some_and(|count| count != "0");
        let kind = match (primary.as_str(), unique.as_str(), constraint) {
            ("t", ..) => "PRIMARY KEY, ",
            (_, "t", true) => "UNIQUE CONSTRAINT, ",
            (_, "t", false) => "UNIQUE, ",
            _ => "",
        };
        let method = definition
            .split_once(" USING ")
            .map_or(definition.as_str(), |(_, rest)| rest);
        let _ = writeln!(text, "    \"{name}\" {kind}{method}");
    }
    let sql = format!(
        "SELECT conname, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint \
         WHERE conrelid = {oid} AND contype = 'c' ORDER BY 1"
    );
    let Some(checks) = runner.ask(&sql).await? else {
        return Ok(None);
    };
    if !checks.is_empty() {
        text.push_str("Check constraints:\n");
    }
    for check in checks {
        if let [Some(name), Some(definition)] = check.as_slice() {
            let _ = writeln!(text, "    \"{name}\" {definition}");
        }
    }
    Ok(Some(text))
}

fn columns(names: &[&str]) -> Vec<Column> {
    names
        .iter()
        .map(|name| Column {
            name: (*name).to_owned(),
            type_oid: TEXT,
        })
        .collect()
}

/// The condition for `schema.name` with `*` and `?`; without a schema, what the path shows.
fn filter(pattern: &str, schema: &str, name: &str) -> String {
    let own = format!("{schema} NOT IN ('pg_catalog', 'information_schema', 'pg_toast')");
    match split(pattern) {
        (None, None) => own,
        (None, Some(wanted)) => {
            format!(
                "{} AND pg_catalog.pg_table_is_visible(c.oid)",
                like(name, &wanted)
            )
        }
        (Some(in_schema), None) => like(schema, &in_schema),
        (Some(in_schema), Some(wanted)) => {
            format!("{} AND {}", like(schema, &in_schema), like(name, &wanted))
        }
    }
}

/// Splits at the dot outside quotes; unquoted letters become small, as in SQL.
fn split(pattern: &str) -> (Option<String>, Option<String>) {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for character in pattern.chars() {
        match character {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            other => {
                let last = parts.len() - 1;
                if quoted {
                    parts[last].push(other);
                } else {
                    parts[last].extend(other.to_lowercase());
                }
            }
        }
    }
    let some = |text: String| (!text.is_empty()).then_some(text);
    let name = parts.pop().and_then(some);
    (parts.pop().and_then(some), name)
}

/// `column = 'x'`, or LIKE where the pattern has wildcards.
fn like(column: &str, pattern: &str) -> String {
    if !pattern.contains(['*', '?']) {
        return format!("{column} = {}", literal(pattern));
    }
    let mut text = String::new();
    for character in pattern.chars() {
        match character {
            '*' => text.push('%'),
            '?' => text.push('_'),
            '%' | '_' | '\\' => text.extend(['\\', character]),
            other => text.push(other),
        }
    }
    format!("{column} LIKE {}", literal(&text))
}

/// A text as an SQL literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::{like, split};

    fn check(pattern: &str, schema: Option<&str>, name: Option<&str>) {
        let expected = (schema.map(str::to_owned), name.map(str::to_owned));
        assert_eq!(split(pattern), expected, "{pattern}");
    }

    #[test]
    fn a_pattern_is_folded_and_split_as_a_name_is() {
        check("", None, None);
        check("Flights", None, Some("flights"));
        check("public.Fl*", Some("public"), Some("fl*"));
        check("\"My.Table\"", None, Some("My.Table"));
        check("public.", Some("public"), None);
    }

    #[test]
    fn wildcards_become_like_and_quotes_cannot_break_out() {
        assert_eq!(like("n", "a_b"), "n = 'a_b'");
        assert_eq!(like("n", "a_b*"), "n LIKE 'a\\_b%'");
        assert_eq!(
            like("n", "'; drop table t; --"),
            "n = '''; drop table t; --'"
        );
    }
}
