//! Limits open upload sessions. Each is a file of the layout: a client that opens many without sending anything must
//! not fill the disk or slow down other requests.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use hyper::header::RETRY_AFTER;

use super::response::ApiError;
use crate::error::Result;
use crate::layout::{Layout, SessionId};

/// Maximum open sessions.
const MAX_SESSIONS: usize = 4096;

/// Number of sessions that one attempt checks for expiry.
const CHECKS_PER_ATTEMPT: usize = 16;

/// The open sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<OpenSessions>);

#[derive(Debug, Default)]
struct OpenSessions {
    ids: HashSet<SessionId>,
    /// Sessions in the order in which they were opened or last checked. Some have already ended.
    queue: VecDeque<SessionId>,
}

impl Sessions {
    /// Reads the sessions from the layout, and deletes expired ones.
    pub(super) fn count(&self, layout: &Layout) -> Result<()> {
        let found = layout.sweep_sessions()?;
        let mut open = self.lock();
        open.ids = found.iter().copied().collect();
        open.queue = found.into();
        Ok(())
    }

    /// Ensures room for another session by expiring idle ones.
    ///
    /// # Errors
    /// If the limit is still reached.
    pub(super) fn make_room(&self, layout: &Layout) -> std::result::Result<(), ApiError> {
        self.make_room_below(layout, MAX_SESSIONS)
    }

    fn make_room_below(&self, layout: &Layout, limit: usize) -> std::result::Result<(), ApiError> {
        let mut open = self.lock();
        for _ in 0..CHECKS_PER_ATTEMPT {
            if open.ids.len() < limit {
                break;
            }
            let Some(id) = open.queue.pop_front() else { break };
            if !open.ids.contains(&id) {
                continue;
            }
            if layout.expire_session(id)? {
                open.ids.remove(&id);
            } else {
                open.queue.push_back(id);
            }
        }
        if open.ids.len() < limit {
            return Ok(());
        }
        let reason = format!("too many open uploads, the limit is {limit}; finish or cancel some");
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", reason);
        Err(error.with_header(RETRY_AFTER, "60"))
    }

    /// Records a new session.
    pub(super) fn opened(&self, id: SessionId) {
        let mut open = self.lock();
        open.ids.insert(id);
        open.queue.push_back(id);
        if open.queue.len() > 2 * MAX_SESSIONS {
            let OpenSessions { ids, queue } = &mut *open;
            queue.retain(|id| ids.contains(id));
        }
    }

    /// Records that a session was committed or cancelled.
    pub(super) fn ended(&self, id: SessionId) {
        self.lock().ids.remove(&id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OpenSessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::layout::LayoutOptions;

    #[test]
    fn upload_session_over_limit_waits_for_idle_one() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(&dir.path().join("store"), LayoutOptions::default()).unwrap();
        let sessions = Sessions::default();
        let open = || {
            sessions.make_room_below(&layout, 40).map(|()| {
                let (id, mut session) = layout.open_session().unwrap();
                session.write(b"x").unwrap();
                sessions.opened(id);
                id
            })
        };
        let ids: Vec<SessionId> = (0..40).map(|_| open().unwrap()).collect();
        let age = |id: SessionId, seconds: u64| {
            let path = layout.root().join("sessions").join(id.to_string());
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        };
        for _ in 0..50 {
            assert_eq!(open().unwrap_err().status, StatusCode::TOO_MANY_REQUESTS);
        }
        // A client may resume it within a day.
        for &id in &ids {
            age(id, 20 * 3600);
        }
        assert!((0..9).all(|_| open().is_err()));
        age(ids[30], 25 * 3600);
        assert!((0..3).any(|_| open().is_ok()), "each try looks at some others");
        assert!(open().is_err());
        sessions.ended(ids[0]);
        assert!(open().is_ok());
        // An empty session has nothing to resume, and expires earlier.
        let path = layout.root().join("sessions").join(ids[1].to_string());
        std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
        age(ids[1], 3700);
        assert!((0..3).any(|_| open().is_ok()));
        for id in [ids[0], ids[2]] {
            std::fs::remove_file(layout.root().join("sessions").join(id.to_string())).unwrap();
        }
        sessions.count(&layout).unwrap();
        assert!(open().is_ok(), "one that ended without its file is no longer counted");
    }
}
