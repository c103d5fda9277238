//! Checks the tree against docs/ARCHITECTURE.md and prints every breach.

use {
    crate::{layers, purity},
    anyhow::{Context, Result, bail},
    std::{fs, path::PathBuf},
};

pub fn run() -> Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let document = root.join("docs/ARCHITECTURE.md");
    let text = fs::read_to_string(&document).with_context(|| format!("reading {}", document.display()))?;
    let table = layers::Table::parse(&text)?;
    let mut breaches = layers::check(&root, &table)?;
    breaches.extend(purity::check(&root, &table)?);
    for breach in &breaches {
        println!("tidy: {breach}");
    }
    if !breaches.is_empty() {
        bail!("{} breaches of docs/ARCHITECTURE.md", breaches.len());
    }
    println!("tidy: {} crates keep to docs/ARCHITECTURE.md", table.rows.len());
    Ok(())
}
