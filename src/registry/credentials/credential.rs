//! Credentials as they are typed, stored and sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// The user name that marks the secret as an identity token.
pub(super) const TOKEN_USER: &str = "<token>";

/// Identifies a user at one registry.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "what has no Debug cannot slip into a log")]
#[non_exhaustive]
pub enum Credential {
    /// A user name and password.
    Basic {
        /// May contain anything but colons and control characters.
        user: String,
        /// May be empty.
        password: Secret,
    },
    /// A refresh token, exchanged for access tokens at a token server.
    IdentityToken {
        /// The refresh token.
        token: Secret,
        /// User and password of the same entry, for servers that do not accept the token.
        basic: Option<(String, Secret)>,
    },
    /// A token that is sent to the registry as it is.
    RegistryToken(Secret),
}

/// User and password in the form of Basic authentication. Spec: RFC 7617.
pub(in crate::registry) fn pair(user: &str, password: &Secret) -> Secret {
    let plain = Zeroizing::new(format!("{user}:{}", password.expose()));
    Secret::new(STANDARD.encode(&*plain))
}

impl Credential {
    /// All secrets in it, including their base64 form in Basic authentication.
    pub(in crate::registry) fn secrets(&self) -> Vec<Secret> {
        let of_user = |user: &str, password: &Secret| [password.clone(), pair(user, password)];
        match self {
            Self::Basic { user, password } => of_user(user, password).into(),
            Self::RegistryToken(token) => vec![token.clone()],
            Self::IdentityToken { token, basic } => {
                let basic = basic.iter().flat_map(|(user, password)| of_user(user, password));
                basic.chain([token.clone()]).collect()
            }
        }
    }

    /// The credential of a user name and a secret; `None` if both are empty.
    ///
    /// # Errors
    /// The reason, without quoting either.
    pub(super) fn of_user(user: &str, secret: &str) -> Result<Option<Self>, &'static str> {
        // They would end a line of a helper's protocol or of a header (git CVE-2020-5260).
        if user.contains(char::is_control) || secret.contains(char::is_control) {
            return Err("contains control characters");
        }
        let token = || Secret::new(secret);
        Ok(match (user, secret) {
            ("", "") => None,
            (TOKEN_USER, _) => Some(Self::IdentityToken { token: token(), basic: None }),
            _ => Some(Self::Basic { user: user.to_owned(), password: token() }),
        })
    }
}

/// Parses `USER:PASS`; the password may contain colons.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], without repeating the text.
pub fn parse_creds(text: &str) -> Result<Credential> {
    let invalid = |reason: &str| Error::new(ErrorKind::InvalidInput, "--creds").with_reason(reason);
    let (user, password) =
        text.split_once(':').ok_or_else(|| invalid("expected USER:PASS, missing colon"))?;
    if user.is_empty() {
        return Err(invalid("expected USER:PASS, empty user name"));
    }
    let credential = Credential::of_user(user, password).map_err(invalid)?;
    credential.ok_or_else(|| invalid("expected USER:PASS"))
}

/// The credential of a login; neither part may be empty.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], without repeating either.
pub fn from_user(user: &str, password: &str) -> Result<Credential> {
    let invalid =
        |reason: &str| Error::new(ErrorKind::InvalidInput, "credential").with_reason(reason);
    match (user, password) {
        ("", _) => return Err(invalid("the user name is empty")),
        (_, "") => return Err(invalid("the password is empty")),
        // All readers of the file split at the first colon.
        _ if user.contains(':') => return Err(invalid("a user name cannot contain a colon")),
        _ => {}
    }
    let credential = Credential::of_user(user, password).map_err(invalid)?;
    credential.ok_or_else(|| invalid("is empty"))
}
