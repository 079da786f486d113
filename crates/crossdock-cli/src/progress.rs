//! A progress bar for whoever sits in front of a terminal and waits for more than a second.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::plain;

/// Nobody needs a bar for what takes less.
const PATIENCE: Duration = Duration::from_secs(1);
const REDRAW: Duration = Duration::from_millis(100);

/// Counts bytes. Draws on standard error if that is a terminal, from a thread of its own, as the library's calls do
/// not return in between. The bar is gone when this is dropped.
pub(crate) struct Progress {
    done: Arc<AtomicU64>,
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// `total` is in bytes, if it is known.
    pub(crate) fn start(label: &str, total: Option<u64>) -> Self {
        let mut progress = Self::hidden();
        if !stderr().is_terminal() {
            return progress;
        }
        let (done, label) = (progress.done.clone(), plain(label));
        let (running, ended) = channel();
        let thread = spawn(move || draw(label, total, &done, &ended));
        progress.drawing = Some((running, thread));
        progress
    }

    /// Counts, but never draws.
    pub(crate) fn hidden() -> Self {
        Self { done: Arc::new(AtomicU64::new(0)), drawing: None }
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.done.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((running, thread)) = self.drawing.take() {
            drop(running);
            // A bar that failed to be drawn is no reason to fail.
            let _ = thread.join();
        }
    }
}

fn draw(label: String, total: Option<u64>, done: &AtomicU64, ended: &Receiver<()>) {
    if ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let bar = bar(total).with_message(label).with_elapsed(PATIENCE);
    while ended.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout) {
        bar.set_position(done.load(Ordering::Relaxed));
        bar.tick();
    }
    bar.finish_and_clear();
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{spinner} {msg}: {decimal_bytes} of {decimal_total_bytes} [{bar:24}] {decimal_bytes_per_sec} {elapsed}",
        ),
        None => (ProgressBar::no_length(), "{spinner} {msg}: {decimal_bytes} {decimal_bytes_per_sec} {elapsed}"),
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
