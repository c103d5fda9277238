//! Documents lead somewhere: relative links of every Markdown file, and the files that the maps of the code name.

use {
    anyhow::{Context, Result},
    std::{
        fs,
        path::{Path, PathBuf},
    },
};

/// What these name in backticks must exist, from the top of the repository. (The book speaks of operators' files, too.)
const MAPS: [&str; 4] = ["docs/ARCHITECTURE.md", "docs/failover.md", "docs/protocol.md", "ci/README.md"];

pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for file in markdown_files(root)? {
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file);
        let folder = file.parent().unwrap_or(root);
        for (line, target) in links(&text).filter(|(_, target)| !folder.join(target).exists()) {
            breaches.push(format!("{}:{line}: the link to {target} leads nowhere", name.display()));
        }
        if MAPS.iter().any(|map| Path::new(map) == name) {
            for (line, path) in paths(&text).filter(|(_, path)| !root.join(path).exists()) {
                breaches.push(format!("{}:{line}: there is no {path}", name.display()));
            }
        }
    }
    Ok(breaches)
}

/// `[text](target)` with a target in the repository; what comes behind `#` is left out.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.filter_map(move |(target, _)| {
            let path = target.split('#').next()?;
            let is_ours = !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:");
            is_ours.then_some((number, path))
        })
    })
}

/// Words in backticks that look like a path of the repository: small letters, at least one `/`, nothing else.
fn paths(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        let quoted = line.split('`').skip(1).step_by(2);
        quoted.filter(|word| is_path(word)).map(move |word| (number, word))
    })
}

fn is_path(word: &str) -> bool {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let first = word.split('/').next().unwrap_or_default();
    word.contains('/') && word.chars().all(is_of_path) && FOLDERS.contains(&first)
}

/// The lines outside of code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some((index + 1, line))
    })
}

fn markdown_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![root.join("README.md")];
    let mut open: Vec<PathBuf> =
        FOLDERS.iter().map(|folder| root.join(folder)).filter(|folder| folder.is_dir()).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("node_modules") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// At the top of the repository.
const FOLDERS: [&str; 9] = ["validator", "vote", "tower-storage", "ledger", "rpc", "crates", "docs", "ci", "scripts"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_paths_are_found_outside_of_code() {
        let text = "see [a](b/c.md#part) and [d](https://e)\n```\n[no](no.md) `ci/no`\n```\n`ci/test`, `a b`, `x/y`, `crates/x`";
        assert_eq!(links(text).collect::<Vec<_>>(), [(1, "b/c.md")]);
        assert_eq!(paths(text).collect::<Vec<_>>(), [(5, "ci/test"), (5, "crates/x")]);
    }

    #[test]
    fn what_leads_nowhere_is_a_breach() {
        let root = std::env::temp_dir().join(format!("tandem-documents-{}", std::process::id()));
        fs::create_dir_all(root.join("docs")).expect("a folder");
        fs::write(root.join("README.md"), "[map](docs/ARCHITECTURE.md) [gone](docs/gone.md)").expect("written");
        fs::write(root.join("docs/ARCHITECTURE.md"), "`docs/ARCHITECTURE.md` `vote/src/gone.rs`").expect("written");
        let breaches = check(&root).expect("checked");
        fs::remove_dir_all(&root).expect("removed");
        let wanted = [
            "README.md:1: the link to docs/gone.md leads nowhere",
            "docs/ARCHITECTURE.md:1: there is no vote/src/gone.rs",
        ];
        assert_eq!(breaches, wanted);
    }
}
