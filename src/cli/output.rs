//! Rows that are printed as a table for people, or as JSON or YAML for programs.

use clap::{Args, ValueEnum};
use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use super::Failure;
use super::print::print;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    // Without a line each, help shows them in one.
    Table,
    Json,
    Yaml,
}

/// The choice between them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArguments {
    /// How the answer is printed.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table, global = true)]
    pub(super) output: OutputFormat,
}

/// What a command answers: columns with names, and rows of values. A table shows a name in capitals, JSON and YAML in
/// small letters with `_` for a space.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Rows {
    /// No rows yet. `columns` are names in small letters, such as `high watermark`.
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row with a value for each column.
    pub(super) fn push<const N: usize>(&mut self, row: [Value; N]) {
        self.rows.push(row.into());
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints the rows to stdout.
    pub(super) fn print(&self, format: OutputFormat) -> Result<(), Failure> {
        let text = self.to_text(format).map_err(|what| Failure { what, hint: None })?;
        print(&text);
        Ok(())
    }

    fn to_text(&self, format: OutputFormat) -> Result<String, String> {
        match format {
            OutputFormat::Table => Ok(self.table()),
            OutputFormat::Json | OutputFormat::Yaml => document(&self.objects(), format),
        }
    }

    /// The rows as they stand in a document: a list of objects.
    pub(super) fn objects(&self) -> Value {
        let names = || self.columns.iter().map(|column| column.replace(' ', "_"));
        self.rows.iter().map(|row| names().zip(row.iter().cloned()).collect::<Map<_, _>>()).collect::<Value>()
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        // Programs such as grep and cut want each row on one line, however narrow a terminal is.
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.columns.iter().map(|column| Cell::new(column.to_uppercase())));
        for row in &self.rows {
            table.add_row(row.iter().map(shown));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

/// Prints an answer that is more than rows to stdout: as YAML, and otherwise as JSON.
pub(super) fn print_document(answer: &Value, format: OutputFormat) -> Result<(), Failure> {
    let text = document(answer, format).map_err(|what| Failure { what, hint: None })?;
    print(&text);
    Ok(())
}

fn document(answer: &Value, format: OutputFormat) -> Result<String, String> {
    match format {
        OutputFormat::Yaml => {
            serde_yaml::to_string(answer).map_err(|error| format!("no YAML can be made of the answer: {error}"))
        }
        OutputFormat::Json | OutputFormat::Table => serde_json::to_string_pretty(answer)
            .map(|json| json + "\n")
            .map_err(|error| format!("no JSON can be made of the answer: {error}")),
    }
}

/// A value as a cell shows it: a list by commas, nothing as a dash.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::new(&["name", "in sync"]);
        rows.push(["orders".into(), vec![1, 2].into()]);
        rows.push(["t".into(), Value::Null]);
        rows
    }

    #[test]
    fn a_table_is_aligned_and_ends_where_its_words_end() {
        assert_eq!(rows().to_text(OutputFormat::Table).unwrap(), "NAME    IN SYNC\norders  1,2\nt       -\n");
    }

    #[test]
    fn programs_get_the_same_values_with_names() {
        let json: Value = serde_json::from_str(&rows().to_text(OutputFormat::Json).unwrap()).unwrap();
        assert_eq!(json[0]["in_sync"][1], 2);
        assert_eq!(json[1]["in_sync"], Value::Null);
        let yaml = rows().to_text(OutputFormat::Yaml).unwrap();
        assert!(yaml.starts_with("- name: orders\n  in_sync:\n  - 1\n"), "{yaml}");
        assert_eq!(Rows::new(&["a"]).to_text(OutputFormat::Json).unwrap(), "[]\n");
    }
}
