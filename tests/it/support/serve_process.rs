//! `rpull serve` as a separate process, which can be killed.

use std::path::PathBuf;

use rustix::process::Signal;

use super::cli::{Cli, Output, Running};

/// A registry over the store of a [`Cli`]; dropping it kills the process.
pub(crate) struct ServeProcess {
    running: Running,
    host: String,
    store: PathBuf,
}

impl ServeProcess {
    /// Starts it on a free port.
    pub(crate) async fn start(cli: &Cli) -> Self {
        Self::start_at(cli, "127.0.0.1:0").await
    }

    /// Starts it at the address of an earlier one.
    pub(crate) async fn start_at(cli: &Cli, address: &str) -> Self {
        Self::of(cli.spawn(&["serve", "--addr", address]), cli).await
    }

    /// Takes over a running `rpull serve`.
    pub(crate) async fn of(mut running: Running, cli: &Cli) -> Self {
        let line = running.line().await;
        let host = line.split_once("http://").unwrap_or_else(|| panic!("{line}")).1.to_owned();
        Self { running, host, store: cli.store() }
    }

    /// Returns `127.0.0.1:port`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Sends a signal and waits for the end.
    pub(crate) async fn end(self, signal: Signal) -> Output {
        self.running.signal(signal);
        self.running.wait().await
    }

    /// Returns whether it still receives bytes of an upload.
    pub(crate) fn receives(&self) -> bool {
        let sessions = self.store.join("sessions");
        self.running.open_files().iter().any(|path| path.starts_with(&sessions))
    }

    /// Returns the lengths of the upload sessions on disk.
    pub(crate) fn sessions(&self) -> Vec<u64> {
        let entries = std::fs::read_dir(self.store.join("sessions")).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).collect()
    }
}
