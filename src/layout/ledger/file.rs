//! The files of a ledger: appended by many processes, rotated by size, read line by line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::error::Category;

use super::super::blobs::open_regular_with;
use super::super::io::io_error;
use super::record::LedgerRecord;
use crate::control::Control;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::lock::{self, LockMode, LockWait};

/// The file in a store.
const FILE_NAME: &str = "ledger.jsonl";

/// Size at which a file is rotated, in bytes; about 9,000 images.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Number of rotated files that are kept.
const MAX_ROTATED: usize = 4;

/// Longest line that is read, in bytes.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Longest wait for other processes that append; each writes once.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// A ledger. Its files need not exist.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
    max_bytes: u64,
}

/// A line that is not a record. A process that was killed or a full disk can leave one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DamagedLine {
    /// The file.
    pub file: PathBuf,
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    #[serde(rename = "why")]
    pub reason: String,
}

impl Ledger {
    /// The ledger of the store at `root`.
    pub fn in_store(root: &Path) -> Self {
        Self::at(&root.join(FILE_NAME))
    }

    /// The ledger with this file.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), max_bytes: MAX_FILE_BYTES }
    }

    /// The file that is appended to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the records, in one write. Creates the file, and rotates it if they do not fit.
    ///
    /// Several processes can append at the same time. If the write fails, the file stays as it was.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if it cannot be written, or is locked for longer than 2 s.
    pub fn append(&self, records: &[LedgerRecord]) -> Result<()> {
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record)
                .map_err(|error| self.failed("write", error.into()))?;
            lines.push(b'\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        let (mut file, mut length) = self.open_locked()?;
        if length > 0 && length.saturating_add(lines.len() as u64) > self.max_bytes {
            self.rotate().map_err(|error| self.failed("rotate", error))?;
            (file, length) = self.open_locked()?;
        }
        if !ends_with_newline(&file, length) {
            lines.insert(0, b'\n');
        }
        file.write_all(&lines).map_err(|error| {
            // No half line stays. Others wait for the lock, so nothing of theirs is lost.
            drop(file.set_len(length));
            self.failed("write", error)
        })
    }

    /// Calls `visit` with each record, oldest first. Returns the damaged lines.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if a file exists and cannot be read.
    pub fn read(&self, mut visit: impl FnMut(LedgerRecord)) -> Result<Vec<DamagedLine>> {
        let mut damaged = Vec::new();
        for number in (0..=MAX_ROTATED).rev() {
            let path = self.file_path(number);
            match open_regular_with(&path, OpenOptions::new().read(true)) {
                Ok(file) => read_lines(file, &path, &mut visit, &mut damaged)
                    .map_err(|error| io_error("read", &path, error))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("read", &path, error)),
            }
        }
        Ok(damaged)
    }

    fn failed(&self, verb: &str, error: io::Error) -> Error {
        io_error(verb, &self.path, error)
    }

    /// Path of the current file (0) or of a rotated one, the newest first.
    fn file_path(&self, number: usize) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        if number > 0 {
            path.push(format!(".{number}"));
        }
        path.into()
    }

    /// Opens and locks the current file. Returns it with its size in bytes.
    fn open_locked(&self) -> Result<(File, u64)> {
        // An interrupted run appends its receipt too.
        let control = Control::default();
        let waiting = LockWait {
            what: "the ledger",
            path: &self.path,
            timeout: LOCK_TIMEOUT,
            control: &control,
        };
        loop {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o600);
            let file = open_regular_with(&self.path, &mut options)
                .map_err(|error| self.failed("open", error))?;
            lock::lock(&file, LockMode::Exclusive, &waiting)?;
            let opened = file.metadata().map_err(|error| self.failed("read", error))?;
            // Another process may have rotated it meanwhile.
            if self.path.symlink_metadata().is_ok_and(|found| found.ino() == opened.ino()) {
                return Ok((file, opened.len()));
            }
        }
    }

    /// Renames every file to the next number; the last one is replaced. The caller holds the lock.
    fn rotate(&self) -> io::Result<()> {
        for number in (0..MAX_ROTATED).rev() {
            match std::fs::rename(self.file_path(number), self.file_path(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether the next line begins on its own. If the byte cannot be read, it is assumed not to.
fn ends_with_newline(file: &File, length: u64) -> bool {
    let mut last = [0];
    length == 0 || (file.read_exact_at(&mut last, length - 1).is_ok() && last == *b"\n")
}

fn read_lines(
    file: File,
    path: &Path,
    visit: &mut impl FnMut(LedgerRecord),
    damaged: &mut Vec<DamagedLine>,
) -> io::Result<()> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let parsed = if line.ends_with(b"\n") {
            serde_json::from_slice(&line).map_err(|error| match error.classify() {
                Category::Data => "is not a receipt".to_owned(),
                _ => "is not valid JSON".to_owned(),
            })
        } else {
            // The rest of a line that is too long, or nothing at the end of the file.
            reader.skip_until(b'\n')?;
            Err("is incomplete or too long".to_owned())
        };
        match parsed {
            Ok(record) => visit(record),
            Err(_) if line.trim_ascii().is_empty() => {}
            Err(reason) => {
                damaged.push(DamagedLine { file: path.to_owned(), line: number, reason });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::pull;
    use super::*;
    use crate::error::ErrorKind;

    fn ledger(dir: &tempfile::TempDir, max_bytes: u64) -> Ledger {
        Ledger { max_bytes, ..Ledger::in_store(dir.path()) }
    }

    fn record(number: u64) -> LedgerRecord {
        pull("2026-11-28T00:00:00Z", "r/a", number)
    }

    /// The transferred bytes of each record, and the numbers of damaged lines.
    fn read(ledger: &Ledger) -> (Vec<u64>, Vec<u64>) {
        let mut found = Vec::new();
        let damaged = ledger.read(|record| found.push(record.bytes.transferred)).unwrap();
        (found, damaged.iter().map(|damaged| damaged.line).collect())
    }

    #[test]
    fn ledger_returns_records_as_appended() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = ledger(&dir, MAX_FILE_BYTES);
        assert_eq!(read(&ledger), (vec![], vec![]));
        ledger.append(&[]).unwrap();
        assert!(!ledger.path().exists());
        let failed = LedgerRecord { error: Some("denied".into()), ..record(2) };
        ledger.append(&[record(1), failed.clone()]).unwrap();
        let mut found = Vec::new();
        assert_eq!(ledger.read(|record| found.push(record)).unwrap(), []);
        assert_eq!(found, [record(1), failed]);
        assert_eq!(ledger.path().metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn ledger_rotates_and_keeps_newest_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let line = serde_json::to_vec(&record(10)).unwrap().len() as u64 + 1;
        let ledger = ledger(&dir, 2 * line);
        for number in 10..30 {
            ledger.append(&[record(number)]).unwrap();
        }
        assert_eq!(read(&ledger), ((20..30).collect(), vec![]));
        let files = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, MAX_ROTATED + 1);
        // More than fits in one file is written nevertheless.
        ledger.append(&[record(30), record(31), record(32)]).unwrap();
        assert_eq!(read(&ledger).0, (22..33).collect::<Vec<_>>());
    }

    #[test]
    fn ledger_damaged_lines_are_named_and_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = ledger(&dir, MAX_FILE_BYTES);
        ledger.append(&[record(1)]).unwrap();
        let mut file = OpenOptions::new().append(true).open(ledger.path()).unwrap();
        let long = "x".repeat(200_000);
        let wrong_time = serde_json::to_string(&record(1)).unwrap().replace("2026", "now!");
        write!(file, "{{}}\n\n\u{0}\n{long}\n{wrong_time}\n{{\"time\":\"2026-").unwrap();
        ledger.append(&[record(2)]).unwrap();
        assert_eq!(read(&ledger), (vec![1, 2], vec![2, 4, 5, 6, 7]));
        std::fs::write(ledger.path(), "torn").unwrap();
        assert_eq!(read(&ledger), (vec![], vec![1]));
    }

    #[test]
    fn ledger_unwritable_is_store_error() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(&dir.path().join("absent/ledger"));
        assert_eq!(ledger.append(&[record(1)]).unwrap_err().kind(), ErrorKind::Store);
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        assert!(Ledger::at(&dir.path().join("dir")).append(&[record(1)]).is_err());
    }

    #[test]
    fn ledger_concurrent_appends_keep_all_records() {
        let dir = tempfile::tempdir().unwrap();
        let line = serde_json::to_vec(&record(100)).unwrap().len() as u64 + 1;
        let ledger = ledger(&dir, 60 * line);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let ledger = &ledger;
                scope.spawn(move || {
                    for number in 0..25 {
                        ledger.append(&[record(100 + thread * 25 + number)]).unwrap();
                    }
                });
            }
        });
        let (mut found, damaged) = read(&ledger);
        found.sort_unstable();
        assert_eq!((found, damaged), ((100..200).collect(), vec![]));
    }
}
