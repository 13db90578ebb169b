//! Authenticates users against a file of bcrypt hashes, as `htpasswd -B` writes it.

use std::collections::{HashMap, HashSet};
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use tokio::sync::Semaphore;

use super::response::{ApiError, header_text};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Maximum cached credentials. The cache avoids a bcrypt computation per request.
const CACHE_SIZE: usize = 1024;

/// Concurrent bcrypt computations. Each occupies a processor and a thread of the shared pool.
const MAX_CONCURRENT_CHECKS: usize = 4;

/// Bytes of a password that bcrypt uses; it ignores the rest.
const MAX_PASSWORD_BYTES: usize = 72;

/// Costs that bcrypt supports.
const COSTS: RangeInclusive<u32> = 4..=31;

/// An htpasswd file with its users.
pub(super) struct Htpasswd {
    path: PathBuf,
    /// A pipe can be read only once.
    is_pipe: bool,
    users: Mutex<Arc<Users>>,
    checks: Semaphore,
}

/// The parsed file.
struct Users {
    text: Secret,
    hashes: HashMap<String, Hash>,
    /// The highest cost of all hashes.
    cost: u32,
    /// Digests of `Authorization` values that were verified.
    verified: Mutex<HashSet<Digest>>,
}

#[derive(Clone)]
struct Hash {
    text: Secret,
    cost: u32,
}

impl Htpasswd {
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the file cannot be read, has no user, or has a hash that is not bcrypt.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let users = Users::parse(path, read_text(path)?)?;
        let is_pipe = path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        let (path, users) = (path.to_owned(), Mutex::new(Arc::new(users)));
        Ok(Self { path, is_pipe, users, checks: Semaphore::new(MAX_CONCURRENT_CHECKS) })
    }

    /// # Errors
    /// A challenge for missing or wrong credentials.
    pub(super) async fn authenticate(
        self: &Arc<Self>,
        headers: &HeaderMap,
    ) -> std::result::Result<Admission, ApiError> {
        let value = header_text(headers, AUTHORIZATION).ok_or_else(challenge)?;
        let users = self.current().map_err(users_unavailable)?;
        let key = Digest::sha256(value.as_bytes());
        let (user, password) = parse_basic(value).ok_or_else(challenge)?;
        let hash = users.hashes.get(&user).map(|hash| hash.text.clone());
        let admission = Admission { htpasswd: Arc::clone(self), user: user.clone(), hash };
        if users.verified().contains(&key) {
            return Ok(admission);
        }
        let _permit = self.checks.acquire().await;
        let check = {
            let users = Arc::clone(&users);
            move || users.check(&user, &password)
        };
        if !tokio::task::spawn_blocking(check).await.unwrap_or(false) {
            return Err(challenge());
        }
        let mut verified = users.verified();
        if verified.len() >= CACHE_SIZE {
            verified.clear();
        }
        verified.insert(key);
        Ok(admission)
    }

    /// Returns the users, reading the file again: a removed user loses access with the next request.
    fn current(&self) -> Result<Arc<Users>> {
        let users = Arc::clone(&self.lock());
        if self.is_pipe {
            return Ok(users);
        }
        let text = read_text(&self.path)?;
        if text.expose() == users.text.expose() {
            return Ok(users);
        }
        let users = Arc::new(Users::parse(&self.path, text)?);
        *self.lock() = Arc::clone(&users);
        Ok(users)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Users>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An authenticated user.
#[derive(Clone)]
pub(super) struct Admission {
    htpasswd: Arc<Htpasswd>,
    user: String,
    hash: Option<Secret>,
}

impl Admission {
    /// # Errors
    /// A challenge if the user was removed, or the password was changed.
    pub(super) fn check(&self) -> std::result::Result<(), ApiError> {
        let users = self.htpasswd.current().map_err(users_unavailable)?;
        let hash = users.hashes.get(&self.user).map(|hash| &hash.text);
        if hash == self.hash.as_ref() { Ok(()) } else { Err(challenge()) }
    }
}

fn challenge() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "user name and password required")
        .with_header(WWW_AUTHENTICATE, "Basic realm=\"rpull\"")
}

/// Logs the error. The response does not contain it: it has paths of the server.
#[expect(clippy::needless_pass_by_value, reason = "signature for map_err")]
fn users_unavailable(error: Error) -> ApiError {
    tracing::warn!("{}", error.chain());
    let reason = "failed to read the users of the registry; its log has the details";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "UNKNOWN", reason)
}

fn invalid(path: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "htpasswd")
        .at(path.display().to_string())
        .with_reason(reason)
}

fn read_text(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path);
    text.map(Secret::new).map_err(|error| invalid(path, "unreadable").with_source(error))
}

impl Users {
    fn parse(path: &Path, text: Secret) -> Result<Self> {
        let mut hashes = HashMap::new();
        let lines = text.expose().lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (user, hash) =
                line.split_once(':').ok_or_else(|| invalid(path, "a line is not USER:HASH"))?;
            let cost = cost_of(hash).ok_or_else(|| {
                invalid(path, "has a hash that is not bcrypt")
                    .with_hint("create it with `htpasswd -B`")
            })?;
            hashes.insert(user.to_owned(), Hash { text: Secret::new(hash), cost });
        }
        let cost = hashes.values().map(|hash| hash.cost).max();
        let cost = cost.ok_or_else(|| invalid(path, "contains no user"))?;
        Ok(Self { text, hashes, cost, verified: Mutex::default() })
    }

    /// Whether this is the user's password. Any failure takes as long as the costliest hash: the response time must not
    /// reveal which users exist.
    fn check(&self, user: &str, password: &Secret) -> bool {
        // bcrypt repeats the password with its NUL up to 72 bytes, and ignores what follows. Other passwords with a
        // NUL, or beyond the limit, could match.
        let password = password.expose();
        if password.len() > MAX_PASSWORD_BYTES || password.contains('\0') {
            return false;
        }
        let hash = self.hashes.get(user);
        if hash.is_some_and(|hash| bcrypt::verify(password, hash.text.expose()).unwrap_or(false)) {
            return true;
        }
        for cost in remaining_costs(hash.map(|hash| hash.cost), self.cost) {
            drop(bcrypt::hash_with_salt(password, cost, [0; 16]));
        }
        false
    }

    fn verified(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the costs which, with the one already paid, add up to the highest. Each cost takes twice the time of the one
/// before.
fn remaining_costs(paid: Option<u32>, highest: u32) -> Range<u32> {
    paid.map_or(highest..highest + 1, |paid| paid..highest)
}

/// Returns the cost of a bcrypt hash; `None` if it is not one.
fn cost_of(hash: &str) -> Option<u32> {
    let has_prefix = ["$2a$", "$2b$", "$2y$", "$2x$"].iter().any(|prefix| hash.starts_with(prefix));
    let cost = hash.parse::<bcrypt::HashParts>().ok()?.get_cost();
    let digits = hash.rsplit('$').next()?.bytes();
    let is_base64 =
        digits.clone().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
    (has_prefix && is_base64 && COSTS.contains(&cost)).then_some(cost)
}

/// Parses user and password from a `Basic` header.
fn parse_basic(value: &str) -> Option<(String, Secret)> {
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

    /// `htpasswd -nbB ann secret`, with the lowest cost.
    const ANN: &str = "ann:$2y$04$X6QQyO7f6MrWZIpB1oKMe.J2a594tVU1B2aCY0eIuSm9A8inhvlq.";

    fn read(text: &str) -> Result<Htpasswd> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Htpasswd::read(file.path())
    }

    /// The hash of 72 times `a`, with the lowest cost.
    const LONG: &str = "$2b$04$abcdefghijklmnopqrstuuBzzIgyKkz7xMWYSzkIjUSnxEQFQ0WNe";

    #[test]
    fn htpasswd_weak_hash_or_empty_file_is_rejected() {
        assert!(read(ANN).is_ok());
        let malformed =
            [ANN.replace("$04$", "$99$"), ANN.replace("lq.", "l"), ANN.replace("lq.", "l\"!")];
        let malformed = malformed.iter().map(String::as_str);
        let weak =
            ["", "# nobody\n", "ann", "ann:{SHA}x", "ann:$apr1$a$b", "ann:secret", "ann:$2y$"];
        for bad in weak.into_iter().chain(malformed) {
            assert!(read(bad).is_err_and(|error| error.kind() == ErrorKind::InvalidInput), "{bad}");
        }
    }

    #[test]
    fn htpasswd_cost_is_equal_for_unknown_user() {
        let work = |cost: u32| 1_u64 << cost;
        for highest in 4..=31 {
            assert_eq!(remaining_costs(None, highest).map(work).sum::<u64>(), work(highest));
            for paid in 4..=highest {
                let all = work(paid) + remaining_costs(Some(paid), highest).map(work).sum::<u64>();
                assert_eq!(all, work(highest));
            }
        }
    }

    #[test]
    fn htpasswd_password_over_72_bytes_is_rejected() {
        let users = Arc::clone(&read(&format!("{ANN}\nlong:{LONG}")).unwrap().lock());
        let is_right = |user: &str, password: &str| users.check(user, &Secret::new(password));
        let long = "a".repeat(72);
        assert!(is_right("ann", "secret") && is_right("long", &long));
        for more in ["a", "EXTRA", "\0"] {
            assert!(!is_right("long", &format!("{long}{more}")), "{more:?}");
        }
        assert!(!is_right("long", &long[1..]));
        // For bcrypt these repeat to the same input as the right password.
        for more in ["\0secret", "\0", "\0secret\0secret"] {
            assert!(!is_right("ann", &format!("secret{more}")), "{more:?}");
        }
        assert!(!is_right("bob", "secret"));
    }
}
