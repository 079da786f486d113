//! A place to run the binary in, and what came out of it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The file connectors `small` (up to 10 bytes) and `large`, and `far` for another host.
pub(crate) const TIERS: &str = r#"
[connectors.small]
type = "file"
dir = "small"
policy = { max_size_bytes = 10, priority = 1 }

[connectors.large]
type = "file"
dir = "large"
policy = { subset_tags = ["checkpoint", "a,b"], superset_tags = [] }

[connectors.far]
type = "file"
dir = "far"
policy = { host_pattern = "nid\\d+", priority = 2 }
"#;

/// A directory of its own; it is the current directory and holds the objects of the embedded default.
pub(crate) struct Site(TempDir);

impl Site {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// With a config in `crossdock.toml`, which `CROSSDOCK_CONFIG` names.
    pub(crate) fn with(config: &str) -> Self {
        let site = Self::new();
        site.write_config("crossdock.toml", config);
        site
    }

    /// A config whose directories, written relative in the tests, are in the site.
    pub(crate) fn write_config(&self, name: &str, config: &str) -> PathBuf {
        let mut text = config.to_owned();
        for opening in ["dir = \"", "dir\": \""] {
            let mut parts = text.split(opening).map(str::to_owned);
            let first = parts.next().unwrap_or_default();
            text = parts.fold(first, |text, part| {
                let root = if part.starts_with(['/', '$', '~']) { String::new() } else { format!("{}/", self.root()) };
                text + opening + &root + &part
            });
        }
        self.write(name, text)
    }

    pub(crate) fn root(&self) -> String {
        self.0.path().display().to_string()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names in a directory of the site, sorted; none if there is no such directory.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The binary with these arguments and nothing else in its environment.
    pub(crate) fn command<T: AsRef<OsStr>>(&self, arguments: &[T]) -> Command {
        let mut command = self.clean(env!("CARGO_BIN_EXE_crossdock"));
        command.args(arguments);
        command
    }

    /// A line of shell, in which `$crossdock` is the binary.
    pub(crate) fn shell(&self, line: &str) -> Outcome {
        let mut command = self.clean("sh");
        command.args(["-c", line]).env("crossdock", env!("CARGO_BIN_EXE_crossdock"));
        finish(command.stdout(Stdio::piped()), b"")
    }

    fn clean(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.0.path()).env("CROSSDOCK_HOME", self.path("home"));
        // The machine of the test may be called as a pattern wants.
        command.env("CROSSDOCK_HOSTNAME", "login0");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if self.path("crossdock.toml").exists() {
            command.env("CROSSDOCK_CONFIG", "crossdock.toml");
        }
        command
    }

    pub(crate) fn run<T: AsRef<OsStr>>(&self, arguments: &[T]) -> Outcome {
        finish(self.command(arguments).stdout(Stdio::piped()), b"")
    }

    pub(crate) fn run_with<T: AsRef<OsStr>>(&self, arguments: &[T], input: &[u8]) -> Outcome {
        finish(self.command(arguments).stdout(Stdio::piped()), input)
    }

    /// Standard output goes to that file.
    pub(crate) fn run_into<T: AsRef<OsStr>>(&self, arguments: &[T], output: &Path) -> Outcome {
        let output = fs::OpenOptions::new().write(true).open(output).unwrap();
        finish(self.command(arguments).stdout(output), b"")
    }

    /// Standard output is a pipe whose reader has gone away.
    pub(crate) fn run_unread<T: AsRef<OsStr>>(&self, arguments: &[T]) -> Outcome {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        finish(self.command(arguments).stdout(writer), b"")
    }

    /// Stores bytes and returns their key.
    pub(crate) fn put(&self, object: &[u8]) -> String {
        self.run_with(&["put", "-"], object).ended(0).out().trim_end().to_owned()
    }

    pub(crate) fn exists(&self, key: &str) -> bool {
        self.run(&["exists", key]).code == Some(0)
    }
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs a command to its end. Output that the caller has sent elsewhere is not collected.
pub(crate) fn finish(command: &mut Command, input: &[u8]) -> Outcome {
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Not every command reads its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Outcome { code: output.status.code(), stdout: output.stdout, stderr: String::from_utf8(output.stderr).unwrap() }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Ended so, with one line on standard error that begins with the program's name.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> Self {
        let one_line = self.stderr.starts_with("crossdock: ") && self.stderr.matches('\n').count() == 1;
        assert!(one_line && self.stderr.ends_with('\n'), "{self:?}");
        self.ended(code)
    }

    /// Standard error speaks of all of these.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} in {self:?}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn quiet(self) -> Self {
        assert_eq!(self.stderr, "", "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.out().lines().collect()
    }

    /// Standard output as lines of JSON.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.lines().into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Standard output as one JSON text.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }

    /// The one error on standard error, as JSON.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let said: Value = serde_json::from_str(&self.stderr).unwrap();
        said["error"].clone()
    }
}
