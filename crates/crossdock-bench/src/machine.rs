//! The machine that it all runs on.

use std::fs;

use serde::Serialize;

/// What figures depend on most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// How many processors this process may use.
    pub cores: usize,
    /// The release of the kernel.
    pub kernel: String,
    /// The model of the processor.
    pub cpu: String,
}

impl Machine {
    /// This one. What the system does not say is `unknown`.
    #[must_use]
    pub fn here() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: known(kernel.trim()),
            cpu: known(cpu.map_or("", |(_, model)| model.trim())),
        }
    }
}

fn known(text: &str) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

/// Bytes of memory that may be used: of the machine, and of the control group where there is one.
#[must_use]
pub fn free_memory() -> u64 {
    let figure = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = field(&machine, "MemAvailable").unwrap_or(0);
    let group = figure("/sys/fs/cgroup/memory.max").zip(figure("/sys/fs/cgroup/memory.current"));
    group.map_or(available, |(most, used)| available.min(most.saturating_sub(used)))
}

/// Bytes, from a file of `/proc` that has lines such as `VmRSS:  12 kB`.
#[must_use]
pub fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(rest.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// The version of a package that this program was built with.
#[must_use]
pub fn locked_version(package: &str) -> Option<&'static str> {
    let lock = include_str!("../../../Cargo.lock");
    let (_, after) = lock.split_once(&format!("\nname = \"{package}\"\nversion = \""))?;
    after.split_once('"').map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_kilobytes() {
        let text = "VmRSSmore:  1 kB\nVmRSS:\t  12 kB\nThreads:\tmany\n";
        assert_eq!(field(text, "VmRSS"), Some(12 << 10));
        assert_eq!(field(text, "Threads"), None);
        assert_eq!(field(text, "VmHWM"), None);
    }

    #[test]
    fn what_takes_part_has_a_version() {
        for package in ["crossdock", "object_store", "opendal", "redis", "tokio"] {
            let version = locked_version(package).unwrap();
            assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{package} {version}");
        }
        assert_eq!(locked_version("redi"), None);
    }
}
