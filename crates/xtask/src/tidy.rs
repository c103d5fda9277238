//! Checks the tree against docs/ARCHITECTURE.md and the rules of its documents and scripts, and prints every breach.

use {
    crate::{commands, documents, layers, purity},
    anyhow::{Context, Result, bail},
    std::{fs, path::PathBuf},
};

pub fn run() -> Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let document = root.join("docs/ARCHITECTURE.md");
    let text = fs::read_to_string(&document).with_context(|| format!("reading {}", document.display()))?;
    let table = layers::Table::parse(&text)?;
    let checks = [
        ("layers", layers::check(&root, &table)?),
        ("purity", purity::check(&root, &table)?),
        ("documents", documents::check(&root)?),
        ("cargo calls", commands::check(&root)?),
    ];
    for (check, breach) in
        checks.iter().flat_map(|(check, breaches)| breaches.iter().map(move |breach| (check, breach)))
    {
        println!("tidy: {check}: {breach}");
    }
    let breaches: usize = checks.iter().map(|(_, breaches)| breaches.len()).sum();
    if breaches > 0 {
        bail!("{breaches} breaches; docs/ARCHITECTURE.md has the rules");
    }
    let names = checks.map(|(check, _)| check).join(", ");
    println!("tidy: {} crates keep to docs/ARCHITECTURE.md ({names})", table.rows.len());
    Ok(())
}
