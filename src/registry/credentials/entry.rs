//! One entry of an auth file, as docker and podman write it for a host.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::credential::Credential;
use crate::secret::Secret;

/// Padding is optional: some tools omit it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Default, Deserialize)]
pub(super) struct AuthEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl AuthEntry {
    /// The entry for this credential, as docker writes it.
    pub(super) fn to_json(credential: &Credential) -> Zeroizing<String> {
        let auth = |user: &str, password: &str| {
            let pair = Zeroizing::new(format!("{user}:{password}"));
            ("auth", Zeroizing::new(BASE64.encode(&*pair)))
        };
        let plain = |token: &Secret| Zeroizing::new(token.expose().to_owned());
        let fields = match credential {
            Credential::Basic { user, password } => vec![auth(user, password.expose())],
            Credential::IdentityToken { token, basic } => {
                let user = basic.as_ref().map(|(user, password)| auth(user, password.expose()));
                user.into_iter().chain([("identitytoken", plain(token))]).collect()
            }
            Credential::RegistryToken(token) => vec![("registrytoken", plain(token))],
        };
        let line = |(key, value): &(&str, Zeroizing<String>)| {
            format!("\n\t\t\t\"{key}\": {}", serde_json::Value::from(value.as_str()))
        };
        let lines = Zeroizing::new(fields.iter().map(line).collect::<Vec<_>>().join(","));
        Zeroizing::new(format!("{{{}\n\t\t}}", *lines))
    }

    /// The strongest credential in the entry. `auth` precedes `username` and `password`.
    pub(super) fn credential(self) -> Result<Option<Credential>, &'static str> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Zeroizing::new);
        let token = |text: Zeroizing<String>| {
            let clean = !text.contains(char::is_control);
            clean.then(|| Secret::new(text.as_str())).ok_or("contains control characters")
        };
        if let Some(registry_token) = given(self.registrytoken) {
            return token(registry_token).map(Credential::RegistryToken).map(Some);
        }
        let user = if let Some(auth) = given(self.auth) {
            decode(&auth)?
        } else {
            let (user, password) = (given(self.username), given(self.password));
            Credential::of_user(&user.unwrap_or_default(), &password.unwrap_or_default())?
        };
        let Some(identity_token) = given(self.identitytoken) else { return Ok(user) };
        let basic = match user {
            Some(Credential::Basic { user, password }) if !password.is_empty() => {
                Some((user, password))
            }
            _ => None,
        };
        Ok(Some(Credential::IdentityToken { token: token(identity_token)?, basic }))
    }
}

/// Decodes base64 of `user:password`.
fn decode(auth: &str) -> Result<Option<Credential>, &'static str> {
    // `base64` wraps its lines, and the decoder of all clients in Go skips the breaks.
    let text: Zeroizing<String> =
        Zeroizing::new(auth.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let bytes = BASE64.decode(&*text).map_err(|_| "has an `auth` that is not base64")?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|_| "has an `auth` that is not text")?;
    let (user, password) = text.split_once(':').ok_or("has an `auth` without a colon")?;
    // Docker's own encoder once padded with NULs.
    Credential::of_user(user, password.trim_end_matches('\0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entry_round_trips() {
        let secret = |text: &str| Secret::new(text);
        let user = |password: &str| ("ü\"".to_owned(), secret(password));
        let (name, password) = user("p:\\");
        for credential in [
            Credential::Basic { user: name, password },
            Credential::IdentityToken { token: secret("i\""), basic: None },
            Credential::IdentityToken { token: secret("i"), basic: Some(user("p")) },
            Credential::RegistryToken(secret("r")),
        ] {
            let text = AuthEntry::to_json(&credential);
            let entry: AuthEntry = serde_json::from_str(&text).unwrap();
            let again = entry.credential().unwrap().unwrap();
            assert_eq!(*AuthEntry::to_json(&again), *text);
        }
        let token = Credential::IdentityToken { token: secret("i"), basic: Some(user("")) };
        let expected = "{\n\t\t\t\"auth\": \"w7wiOg==\",\n\t\t\t\"identitytoken\": \"i\"\n\t\t}";
        assert_eq!(*AuthEntry::to_json(&token), expected);
    }

    #[test]
    fn entry_wrapped_base64_is_decoded() {
        let token = "t".repeat(200);
        let plain = BASE64.encode(format!("user:{token}"));
        let lines: Vec<&str> = [&plain[..76], &plain[76..152], &plain[152..]].to_vec();
        for wrapped in ["\n", "\r\n", " \t"].map(|ending| lines.join(ending) + ending) {
            let text = serde_json::json!({"auth": wrapped}).to_string();
            let entry: AuthEntry = serde_json::from_str(&text).unwrap();
            match entry.credential().unwrap() {
                Some(Credential::Basic { user, password }) => {
                    assert_eq!((user.as_str(), password.expose()), ("user", token.as_str()));
                }
                _ => panic!("{wrapped:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn entry_arbitrary_auth_has_no_line_break(auth in "[A-Za-z0-9+/=]{0,40}", plain in "[a-z:\n\\x00é]{0,12}") {
            for auth in [auth, BASE64.encode(plain)] {
                if let Ok(Some(Credential::Basic { user, password })) = decode(&auth) {
                    prop_assert!(!user.contains('\n') && !password.expose().contains('\n'));
                }
            }
        }
    }
}
