//! Runs a credential helper: input, output and time are limited.

use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, Command};
use zeroize::Zeroizing;

use crate::size::size;

/// Longest wait for the end of stderr after the helper has exited: its child processes may hold stderr open.
const STDERR_GRACE: Duration = Duration::from_secs(2);

/// Maximum bytes that a helper may print.
const MAX_OUTPUT_BYTES: u64 = 64 << 10;

pub(super) type HelperOutput = Zeroizing<Vec<u8>>;

/// Exit status and output of a helper.
pub(super) struct HelperExit {
    pub(super) status: ExitStatus,
    pub(super) output: HelperOutput,
    /// Its stderr.
    pub(super) stderr: HelperOutput,
}

/// Runs a program with `input` on its stdin and kills it after `timeout`. Secrets are never arguments: all users can
/// see those.
pub(super) async fn run_with_timeout(
    program: &Path,
    verb: &str,
    input: &[u8],
    timeout: Duration,
) -> Result<HelperExit, String> {
    let mut child = Command::new(program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("failed to run: {error}"))?;
    let exit = match tokio::time::timeout(timeout, exchange(&mut child, input)).await {
        Ok(exit) => exit,
        Err(_) => Err(format!("no response within {} s", timeout.as_secs())),
    };
    if exit.is_err() {
        // It has exited already or is killed now; a failure here changes nothing.
        drop(child.kill().await);
    }
    exit
}

async fn exchange(child: &mut Child, input: &[u8]) -> Result<HelperExit, String> {
    let io_error = |error: std::io::Error| format!("failed to communicate: {error}");
    let (mut stdin, stdout, stderr) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut output = Zeroizing::new(Vec::new());
    let mut message = Zeroizing::new(Vec::new());
    let status = {
        let mut reading_stderr = pin!(read_stderr(stderr, &mut message));
        let running = async {
            if let Some(mut stdin) = stdin.take() {
                // A helper that does not read its input may answer all the same.
                drop(stdin.write_all(input).await);
            }
            if let Some(stdout) = stdout {
                stdout
                    .take(MAX_OUTPUT_BYTES + 1)
                    .read_to_end(&mut output)
                    .await
                    .map_err(io_error)?;
            }
            if output.len() as u64 > MAX_OUTPUT_BYTES {
                return Err(format!("printed more than {}", size(MAX_OUTPUT_BYTES)));
            }
            child.wait().await.map_err(io_error)
        };
        let mut running = pin!(running);
        tokio::select! {
            status = &mut running => {
                // If stderr does not end in time, only the error message is incomplete.
                drop(tokio::time::timeout(STDERR_GRACE, reading_stderr).await);
                status?
            }
            () = &mut reading_stderr => running.await?,
        }
    };
    Ok(HelperExit { status, output, stderr: message })
}

/// Reads to the end, so that the helper does not block, and stores the first `MAX_OUTPUT_BYTES` bytes.
async fn read_stderr(stderr: Option<ChildStderr>, message: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut buf = Zeroizing::new(vec![0; 4096]);
    while let Ok(length @ 1..) = stderr.read(&mut buf).await {
        let left =
            usize::try_from(MAX_OUTPUT_BYTES).unwrap_or_default().saturating_sub(message.len());
        message.extend(buf.iter().take(length.min(left)));
    }
}
