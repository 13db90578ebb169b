//! Secrets that were sent to a registry or its token server: an answer may echo them, and is shown to people.

use std::sync::{Mutex, PoisonError};

use crate::secret::Secret;

/// Shorter ones cannot be told from words.
const SHORTEST: usize = 4;

/// Everything secret that was sent so far.
#[derive(Default)]
pub(super) struct Sent(Mutex<Vec<Secret>>);

impl Sent {
    /// Notes a value before it is sent.
    pub(super) fn note(&self, secret: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if secret.len() >= SHORTEST && !known.iter().any(|known| known.reveal() == secret) {
            known.push(Secret::new(secret));
        }
    }

    /// The text without any of them.
    pub(super) fn hide(&self, mut text: String) -> String {
        for secret in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if text.contains(secret.reveal()) {
                text = text.replace(secret.reveal(), "***");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_hidden_wherever_it_stands() {
        let sent = Sent::default();
        for secret in ["hunter2", "aHVudGVyMg==", "ok", "hunter2"] {
            sent.note(secret);
        }
        let echo = "Basic aHVudGVyMg== (hunter2) is not ok".to_owned();
        assert_eq!(sent.hide(echo), "Basic *** (***) is not ok");
    }
}
