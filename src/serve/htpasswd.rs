//! Who may come in: users and bcrypt hashes, as `htpasswd -B` writes them.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};

use super::answer::Fault;
use super::text;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Credentials that are remembered as good, so that not every request costs a bcrypt.
const REMEMBERED: usize = 1024;

/// The users of a file.
pub(super) struct Htpasswd {
    hashes: HashMap<String, Secret>,
    /// Digests of `Authorization` values that were good.
    good: Mutex<HashSet<Digest>>,
}

impl Htpasswd {
    /// # Errors
    /// [`ErrorKind::Reference`] where it cannot be read, has no user, or a hash of a kind that is too weak.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let refuse = |why: &str| {
            Error::new(ErrorKind::Reference, "htpasswd").at(path.display().to_string()).because(why)
        };
        let lines = std::fs::read_to_string(path)
            .map_err(|error| refuse("cannot be read").caused_by(error))?;
        let mut hashes = HashMap::new();
        for line in
            lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (user, hash) =
                line.split_once(':').ok_or_else(|| refuse("a line is not USER:HASH"))?;
            if !hash.starts_with("$2") {
                return Err(refuse("has a hash that is not bcrypt: use htpasswd -B"));
            }
            hashes.insert(user.to_owned(), Secret::new(hash));
        }
        if hashes.is_empty() {
            return Err(refuse("has no user"));
        }
        Ok(Self { hashes, good: Mutex::default() })
    }

    /// # Errors
    /// The challenge, for whoever did not say who he is, and whoever lied.
    pub(super) async fn admit(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let challenge = || {
            Fault::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "user and password are needed")
                .with(WWW_AUTHENTICATE, "Basic realm=\"rpull\"")
        };
        let value = text(headers, AUTHORIZATION).ok_or_else(challenge)?;
        let key = Digest::sha256(value.as_bytes());
        if self.lock().contains(&key) {
            return Ok(());
        }
        let (user, password) = basic(value).ok_or_else(challenge)?;
        let hash = self.hashes.get(&user).map(|hash| hash.reveal().to_owned());
        // Somebody who is not there takes as long as a wrong password, so that nobody learns who is.
        let hash =
            hash.or_else(|| self.hashes.values().next().map(|hash| hash.reveal().to_owned()));
        let is_known = self.hashes.contains_key(&user);
        let check =
            move || bcrypt::verify(password.reveal(), &hash.unwrap_or_default()).unwrap_or(false);
        let is_right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        if !(is_known && is_right) {
            return Err(challenge());
        }
        let mut good = self.lock();
        if good.len() >= REMEMBERED {
            good.clear();
        }
        good.insert(key);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// User and password of a `Basic` header.
fn basic(value: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// `htpasswd -nbB ann secret`, with the lowest cost there is.
    const ANN: &str = "ann:$2y$04$X6QQyO7f6MrWZIpB1oKMe.J2a594tVU1B2aCY0eIuSm9A8inhvlq.";

    fn read(text: &str) -> Result<Htpasswd> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Htpasswd::read(file.path())
    }

    #[test]
    fn weak_hashes_and_empty_files_are_refused() {
        assert!(read(ANN).is_ok());
        for bad in ["", "# nobody\n", "ann", "ann:{SHA}x", "ann:$apr1$a$b", "ann:secret"] {
            assert!(read(bad).is_err_and(|error| error.kind() == ErrorKind::Reference), "{bad}");
        }
    }
}
