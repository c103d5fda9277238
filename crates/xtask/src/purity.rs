//! Layers 0 to 2 decide and do nothing: no clock, thread, entropy, file, socket or environment.

use {
    crate::layers::Table,
    anyhow::{Context, Result},
    std::{
        fs,
        path::{Path, PathBuf},
    },
};

const FORBIDDEN: [(&str, &str); 17] = [
    ("Instant::now", "a clock"),
    ("SystemTime", "a clock"),
    ("std::thread", "threads"),
    ("thread::spawn", "threads"),
    ("thread::sleep", "threads"),
    ("std::fs", "files"),
    ("File::open", "files"),
    ("std::net::UdpSocket", "sockets"),
    ("std::net::Tcp", "sockets"),
    ("UdpSocket", "sockets"),
    ("std::env", "the environment"),
    ("env::var", "the environment"),
    ("thread_rng", "entropy"),
    ("rand::rng()", "entropy"),
    ("OsRng", "entropy"),
    ("from_os_rng", "entropy"),
    ("tokio::", "an async runtime"),
];

pub fn check(root: &Path, table: &Table) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for row in table.rows.iter().filter(|row| row.layer <= 2) {
        for file in rust_files(&root.join(&row.folder).join("src"))? {
            let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            let name = file.strip_prefix(root).unwrap_or(&file).display();
            for (number, line) in shipped(&text) {
                if line.trim_start().starts_with("//") {
                    continue;
                }
                for (pattern, what) in FORBIDDEN {
                    if line.contains(pattern) {
                        breaches.push(format!("{name}:{number} uses {what} ({pattern}); layer {} must not", row.layer));
                    }
                }
            }
        }
    }
    Ok(breaches)
}

/// The lines before an inline test module; files of tests alone are left out by name.
fn shipped(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .take_while(|(_, line)| !line.starts_with("mod tests {"))
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if stem.contains("tests") || stem == "testing" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
