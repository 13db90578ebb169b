//! Work that threads share, with its results in order.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::fault::worker_failed;
use crate::error::Result;

type Job<J, R> = (J, SyncSender<R>);

/// Threads that end when this is dropped.
pub(super) struct Workers<J, R> {
    jobs: Sender<Job<J, R>>,
    running: VecDeque<Receiver<R>>,
    most: usize,
}

impl<J: Send + 'static, R: Send + 'static> Workers<J, R> {
    /// Starts a thread for each of these.
    pub(super) fn start(workers: Vec<impl FnMut(J) -> R + Send + 'static>) -> Self {
        let (jobs, waiting) = channel::<Job<J, R>>();
        let waiting = Arc::new(Mutex::new(waiting));
        let most = workers.len() + 1;
        for mut worker in workers {
            let waiting = Arc::clone(&waiting);
            std::thread::spawn(move || {
                loop {
                    let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((job, done)) = job else { return };
                    if done.send(worker(job)).is_err() {
                        // Nobody waits for the results any more.
                        return;
                    }
                }
            });
        }
        Self { jobs, running: VecDeque::new(), most }
    }

    /// Whether all threads are busy and one more job waits.
    pub(super) fn is_full(&self) -> bool {
        self.running.len() >= self.most
    }

    pub(super) fn push(&mut self, job: J) -> Result<()> {
        let (done, result) = sync_channel(1);
        self.jobs.send((job, done)).map_err(|_| worker_failed())?;
        self.running.push_back(result);
        Ok(())
    }

    /// Waits for the result of the first job whose result was not returned; `None` after the last one.
    pub(super) fn pop(&mut self) -> Result<Option<R>> {
        let Some(result) = self.running.pop_front() else { return Ok(None) };
        result.recv().map(Some).map_err(|_| worker_failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_of_jobs() {
        let mut workers = Workers::start(vec![|job: u32| job * 2; 3]);
        let mut results = Vec::new();
        for job in 0..100 {
            if workers.is_full() {
                results.extend(workers.pop().unwrap());
            }
            workers.push(job).unwrap();
        }
        while let Some(result) = workers.pop().unwrap() {
            results.push(result);
        }
        assert!(results.into_iter().eq((0..100).map(|job| job * 2)));
    }

    #[test]
    fn worker_panic_is_error() {
        let mut workers = Workers::start(vec![|job: u32| assert!(job > 0)]);
        workers.push(0).unwrap();
        workers.pop().unwrap_err();
    }
}
