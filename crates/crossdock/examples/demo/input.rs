//! The files of a directory, as far as they are somebody's work.

use std::path::{Path, PathBuf};

/// One file to be put.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) tag: &'static str,
}

const TEXT: [&str; 14] = ["rs", "py", "pyi", "toml", "md", "txt", "json", "lock", "sh", "c", "h", "yml", "csv", "html"];
const SKIPPED: [&str; 4] = ["target", ".git", ".venv", "node_modules"];

/// All regular files below `root` in the order of their paths, without build products.
pub(crate) fn walk(root: &Path) -> std::io::Result<Vec<Input>> {
    let mut files = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() && !SKIPPED.iter().any(|name| entry.file_name() == *name) {
                pending.push(path);
            } else if kind.is_file() {
                files.push(Input { size: entry.metadata()?.len(), tag: tag(&path), path });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn tag(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("txt");
    if TEXT.contains(&extension) { "text" } else { "binary" }
}
