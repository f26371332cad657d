//! Results as aligned tables, expanded records, csv and json; pure text, no terminal.

use std::io::{self, Write};

use serde_json::Value as Json;
use unicode_width::UnicodeWidthStr;

use crate::client::message::Column;

/// How results are written.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The shape.
    pub format: Format,
    /// One line per column instead of one per row.
    pub expanded: bool,
    /// Only data: no header, no row count.
    pub tuples_only: bool,
    /// What stands for NULL, except in json.
    pub null: String,
}

/// The shape of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people, as psql prints it.
    #[default]
    Aligned,
    /// Fields with `|` between them.
    Unaligned,
    /// Comma-separated values (RFC 4180).
    Csv,
    /// An array of objects.
    Json,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout {
            format: Format::Aligned,
            expanded: false,
            tuples_only: false,
            null: String::new(),
        }
    }
}

/// One result, complete.
pub struct Table<'a> {
    /// Its columns.
    pub columns: &'a [Column],
    /// Its rows; NULL is `None`.
    pub rows: &'a [Vec<Option<String>>],
    /// A heading above it, as `\d` has.
    pub title: Option<&'a str>,
}

impl Table<'_> {
    /// Writes the result.
    ///
    /// # Errors
    /// What `out` gives.
    pub fn write(&self, layout: &Layout, out: &mut dyn Write) -> io::Result<()> {
        match layout.format {
            Format::Aligned if layout.expanded => self.write_expanded(layout, out),
            Format::Aligned => self.write_aligned(layout, out),
            Format::Unaligned => self.write_unaligned(layout, out),
            Format::Csv => self.write_csv(layout, out),
            Format::Json => self.write_json(out),
        }
    }

    fn write_aligned(&self, layout: &Layout, out: &mut dyn Write) -> io::Result<()> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|column| width_of(&column.name))
            .collect();
        if layout.tuples_only {
            widths.fill(0);
        }
        for row in self.rows {
            for (width, field) in widths.iter_mut().zip(row) {
                *width = (*width).max(width_of(field.as_deref().unwrap_or(&layout.null)));
            }
        }
        if !layout.tuples_only {
            self.write_title(&widths, out)?;
            for (number, (column, width)) in self.columns.iter().zip(&widths).enumerate() {
                let free = width - width_of(&column.name);
                let before = free / 2;
                let separator = if number == 0 { "" } else { "|" };
                let name = &column.name;
                write!(
                    out,
                    "{separator} {:before$}{name}{:after$} ",
                    "",
                    "",
                    after = free - before
                )?;
            }
            writeln!(out)?;
            let lines: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            writeln!(out, "{}", lines.join("+"))?;
        }
        for row in self.rows {
            self.write_row(row, &widths, layout, out)?;
        }
        if !layout.tuples_only {
            let rows = self.rows.len();
            writeln!(out, "({rows} {})", if rows == 1 { "row" } else { "rows" })?;
        }
        writeln!(out)
    }

    fn write_title(&self, widths: &[usize], out: &mut dyn Write) -> io::Result<()> {
        let Some(title) = self.title else {
            return Ok(());
        };
        let total: usize = widths
            .iter()
            .map(|width| width + 3)
            .sum::<usize>()
            .saturating_sub(1);
        let before = total.saturating_sub(title.width()) / 2;
        writeln!(out, "{:before$}{title}", "")
    }

    /// A row with line ends in its fields takes several lines, each but the last marked with `+`.
    fn write_row(
        &self,
        row: &[Option<String>],
        widths: &[usize],
        layout: &Layout,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let fields: Vec<Vec<&str>> = row
            .iter()
            .map(|field| {
                field
                    .as_deref()
                    .unwrap_or(&layout.null)
                    .split('\n')
                    .collect()
            })
            .collect();
        let height = fields.iter().map(Vec::len).max().unwrap_or(1);
        let last_column = fields.len().saturating_sub(1);
        for line in 0..height {
            for (number, (field, width)) in fields.iter().zip(widths).enumerate() {
                let text = field.get(line).copied().unwrap_or("");
                let free = width.saturating_sub(text.width());
                let more = line + 1 < field.len();
                let separator = if number == 0 { " " } else { "| " };
                write!(out, "{separator}")?;
                let right = self
                    .columns
                    .get(number)
                    .is_some_and(|column| is_number(column.type_oid));
                if right {
                    write!(out, "{:free$}{text}", "")?;
                } else if number == last_column && !more {
                    // No blanks at the end of a line.
                    write!(out, "{text}")?;
                } else {
                    write!(out, "{text}{:free$}", "")?;
                }
                if more {
                    write!(out, "+")?;
                } else if number < last_column {
                    write!(out, " ")?;
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn write_expanded(&self, layout: &Layout, out: &mut dyn Write) -> io::Result<()> {
        let names = self
            .columns
            .iter()
            .map(|column| width_of(&column.name))
            .max()
            .unwrap_or(0);
        let values = self
            .rows
            .iter()
            .flatten()
            .map(|field| width_of(field.as_deref().unwrap_or(&layout.null)))
            .max()
            .unwrap_or(0);
        if let (Some(title), false) = (self.title, layout.tuples_only) {
            writeln!(out, "{title}")?;
        }
        if self.rows.is_empty() && !layout.tuples_only {
            writeln!(out, "(0 rows)")?;
        }
        for (number, row) in self.rows.iter().enumerate() {
            if !layout.tuples_only {
                let head = format!("-[ RECORD {} ]", number + 1);
                let mut line = format!("{head:-<names$}-+-{}", "-".repeat(values));
                if head.len() > names + 1 {
                    line = format!("{head:-<width$}", width = names + 3 + values);
                }
                writeln!(out, "{line}")?;
            }
            for (column, field) in self.columns.iter().zip(row) {
                let free = names - width_of(&column.name);
                let mut lines = field
                    .as_deref()
                    .unwrap_or(&layout.null)
                    .split('\n')
                    .peekable();
                let mut name = column.name.as_str();
                let mut free = free;
                while let Some(text) = lines.next() {
                    let mark = if lines.peek().is_some() { "+" } else { "" };
                    writeln!(out, "{name}{:free$} | {text}{mark}", "")?;
                    name = "";
                    free = names;
                }
            }
        }
        writeln!(out)
    }

    fn write_unaligned(&self, layout: &Layout, out: &mut dyn Write) -> io::Result<()> {
        if !layout.tuples_only {
            let names: Vec<&str> = self
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            writeln!(out, "{}", names.join("|"))?;
        }
        for row in self.rows {
            let fields: Vec<&str> = row
                .iter()
                .map(|field| field.as_deref().unwrap_or(&layout.null))
                .collect();
            writeln!(out, "{}", fields.join("|"))?;
        }
        if !layout.tuples_only {
            let rows = self.rows.len();
            writeln!(out, "({rows} {})", if rows == 1 { "row" } else { "rows" })?;
        }
        Ok(())
    }

    fn write_csv(&self, layout: &Layout, out: &mut dyn Write) -> io::Result<()> {
        if !layout.tuples_only {
            let names: Vec<String> = self
                .columns
                .iter()
                .map(|column| csv_field(&column.name))
                .collect();
            writeln!(out, "{}", names.join(","))?;
        }
        for row in self.rows {
            let fields: Vec<String> = row
                .iter()
                .map(|field| csv_field(field.as_deref().unwrap_or(&layout.null)))
                .collect();
            writeln!(out, "{}", fields.join(","))?;
        }
        Ok(())
    }

    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "[")?;
        for (number, row) in self.rows.iter().enumerate() {
            write!(out, "{}\n  {{", if number == 0 { "" } else { "," })?;
            for (place, (column, field)) in self.columns.iter().zip(row).enumerate() {
                let separator = if place == 0 { "" } else { ", " };
                let name = Json::from(column.name.as_str());
                write!(
                    out,
                    "{separator}{name}: {}",
                    json_field(column.type_oid, field.as_deref())
                )?;
            }
            write!(out, "}}")?;
        }
        writeln!(out, "{}]", if self.rows.is_empty() { "" } else { "\n" })
    }
}

/// Columns on the screen: of the widest line.
fn width_of(text: &str) -> usize {
    text.split('\n')
        .map(UnicodeWidthStr::width)
        .max()
        .unwrap_or(0)
}

/// smallint, integer, bigint, oid, real, double precision, numeric, money.
fn is_number(type_oid: u32) -> bool {
    matches!(type_oid, 20 | 21 | 23 | 26 | 700 | 701 | 790 | 1700)
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A value as json: numbers and booleans as such, json as it is, the rest as text.
fn json_field(type_oid: u32, field: Option<&str>) -> String {
    let Some(text) = field else {
        return "null".to_owned();
    };
    match (type_oid, text) {
        (16, "t") => "true".to_owned(),
        (16, "f") => "false".to_owned(),
        (114 | 3802, json) => json.to_owned(),
        (oid, number)
            if is_number(oid) && serde_json::from_str::<serde_json::Number>(number).is_ok() =>
        {
            number.to_owned()
        }
        (_, text) => Json::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Layout, Table};
    use crate::client::message::Column;

    fn check(layout: &Layout, expected: &str) {
        let column = |name: &str, type_oid| Column {
            name: name.to_owned(),
            type_oid,
        };
        let columns = [column("id", 23), column("name", 25), column("ok", 16)];
        let some = |text: &str| Some(text.to_owned());
        let rows = [
            vec![some("1"), some("Ann"), some("t")],
            vec![some("20"), some("Bo \"b\",\nBob"), None],
        ];
        let mut out = Vec::new();
        Table {
            columns: &columns,
            rows: &rows,
            title: None,
        }
        .write(layout, &mut out)
        .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn aligned_is_what_psql_prints() {
        let expected = " id |  name   | ok \n----+---------+----\n  1 | Ann     | t\n 20 | Bo \"b\",+| \n    | Bob     | \n(2 rows)\n\n";
        check(&Layout::default(), expected);
    }

    #[test]
    fn expanded_has_a_line_for_each_column() {
        let layout = Layout {
            expanded: true,
            ..Layout::default()
        };
        let expected = "-[ RECORD 1 ]-\nid   | 1\nname | Ann\nok   | t\n-[ RECORD 2 ]-\nid   | 20\nname | Bo \"b\",+\n     | Bob\nok   | \n\n";
        check(&layout, expected);
    }

    #[test]
    fn csv_quotes_what_it_must() {
        let layout = Layout {
            format: Format::Csv,
            ..Layout::default()
        };
        check(&layout, "id,name,ok\n1,Ann,t\n20,\"Bo \"\"b\"\",\nBob\",\n");
    }

    #[test]
    fn json_keeps_numbers_and_booleans() {
        let layout = Layout {
            format: Format::Json,
            ..Layout::default()
        };
        check(
            &layout,
            "[\n  {\"id\": 1, \"name\": \"Ann\", \"ok\": true},\n  {\"id\": 20, \"name\": \"Bo \\\"b\\\",\\nBob\", \"ok\": null}\n]\n",
        );
    }

    #[test]
    fn tuples_only_leaves_out_header_and_count() {
        let layout = Layout {
            format: Format::Unaligned,
            tuples_only: true,
            null: "-".into(),
            ..Layout::default()
        };
        check(&layout, "1|Ann|t\n20|Bo \"b\",\nBob|-\n");
    }
}
