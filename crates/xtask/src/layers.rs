//! The layer table of docs/ARCHITECTURE.md, and the crate edges held against it.

use {
    anyhow::{Context, Result, ensure},
    std::{fs, path::Path},
};

pub struct Row {
    pub folder: String,
    pub layer: u8,
}

pub struct Table {
    pub rows: Vec<Row>,
}

impl Table {
    /// Reads the rows between the two `tidy:table` marks: | `folder` | layer | … |
    pub fn parse(document: &str) -> Result<Self> {
        let (_, rest) =
            document.split_once("<!-- tidy:table -->").context("docs/ARCHITECTURE.md has no tidy:table mark")?;
        let (table, _) = rest.split_once("<!-- /tidy:table -->").context("the tidy:table mark is not closed")?;
        let mut rows = Vec::new();
        for line in table.lines().filter(|line| line.starts_with("| `")) {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let folder = cells.next().context("a row without a crate")?.trim_matches('`').to_owned();
            let layer =
                cells.next().context("a row without a layer")?.parse().with_context(|| format!("layer of {folder}"))?;
            rows.push(Row { folder, layer });
        }
        ensure!(!rows.is_empty(), "the layer table is empty");
        Ok(Self { rows })
    }

    fn position(&self, folder: &str) -> Option<usize> {
        self.rows.iter().position(|row| row.folder == folder)
    }
}

/// A crate may use crates of lower layers, and of its own layer those listed before it. (Layer 2 knows no layer 3 by this,
/// and a circle is impossible.)
pub fn check(root: &Path, table: &Table) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    let workspace: toml::Table = read_manifest(root)?;
    let members = workspace["workspace"]["members"].as_array().context("workspace.members")?;
    for member in members.iter().filter_map(toml::Value::as_str) {
        if table.position(member).is_none() {
            breaches.push(format!("{member} is in the workspace but not in the layer table"));
        }
    }
    let aliases = workspace["workspace"]["dependencies"].as_table().context("workspace.dependencies")?;
    let folder_of = |dependency: &str| aliases.get(dependency)?.get("path")?.as_str().map(str::to_owned);

    for (index, row) in table.rows.iter().enumerate() {
        let manifest = read_manifest(&root.join(&row.folder))?;
        // Dev-dependencies are left alone: a test may look upwards.
        let Some(dependencies) = manifest.get("dependencies").and_then(toml::Value::as_table) else { continue };
        for dependency in dependencies.keys() {
            let Some(folder) = folder_of(dependency) else { continue };
            match table.position(&folder) {
                None => breaches.push(format!("{} uses {folder}, which is not in the layer table", row.folder)),
                Some(other) if other >= index => breaches.push(format!(
                    "{} (layer {}) uses {folder} (layer {}): move the need down, or the crate up",
                    row.folder, row.layer, table.rows[other].layer
                )),
                Some(_) => {}
            }
        }
    }
    for pair in table.rows.windows(2) {
        if pair[0].layer > pair[1].layer {
            breaches.push(format!("the table lists {} after {}: order it by layer", pair[1].folder, pair[0].folder));
        }
    }
    Ok(breaches)
}

fn read_manifest(folder: &Path) -> Result<toml::Table> {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    text.parse().with_context(|| format!("parsing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn rows_are_read_between_the_marks() {
        let table = Table::parse("| `x` | 9 |\n<!-- tidy:table -->\n| crate | layer |\n|---|---|\n| `crates/a` | 0 | q |\n<!-- /tidy:table -->")
            .expect("a table");
        assert_eq!(table.rows.len(), 1);
        assert_eq!((table.rows[0].folder.as_str(), table.rows[0].layer), ("crates/a", 0));
        assert!(Table::parse("no marks").is_err());
    }
}
