//! Cargo calls of our own scripts say `--ignore-rust-version`: crates of the execution engine ask for a newer compiler than they
//! need, and without the flag cargo refuses them.

use {
    anyhow::{Context, Result},
    std::{
        fs,
        path::{Path, PathBuf},
    },
};

const COMPILING: [&str; 7] = ["build", "check", "clippy", "run", "test", "nextest run", "install"];
const FLAG: &str = "--ignore-rust-version";

pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for file in scripts(root)? {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let name = file.strip_prefix(root).unwrap_or(&file).display();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| is_without_flag(line)) {
            breaches.push(format!("{name}:{}: add {FLAG} to `{}`", number + 1, line.trim()));
        }
    }
    Ok(breaches)
}

fn is_without_flag(line: &str) -> bool {
    let is_comment = line.trim_start().starts_with('#');
    let compiles = COMPILING.iter().any(|command| line.contains(&format!("cargo {command} ")));
    let is_alias = line.contains("\"run --") || line.contains("= \"run ");
    !is_comment && (compiles || is_alias) && !line.contains(FLAG)
}

fn scripts(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![root.join(".cargo/config.toml")];
    let mut open = vec![root.join("ci"), root.join("scripts"), root.join(".ci")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            match (path.is_dir(), path.extension().and_then(|extension| extension.to_str())) {
                (true, _) if path.ends_with("node_modules") => {}
                (true, _) => open.push(path),
                (false, None | Some("sh")) => found.push(path),
                (false, Some(_)) => {}
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_compile_need_the_flag() {
        let cases = [
            ("cargo build --release --bin x", true),
            ("cargo build --ignore-rust-version --bin x", false),
            ("  cargo nextest run --locked", true),
            ("# cargo build --locked", false),
            ("cargo fmt --all --check", false),
            ("xtask = \"run --quiet --package xtask --\"", true),
            ("xtask = \"run --quiet --ignore-rust-version --package xtask --\"", false),
        ];
        for (line, wanted) in cases {
            assert_eq!(is_without_flag(line), wanted, "{line}");
        }
    }
}
