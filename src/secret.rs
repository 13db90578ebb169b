//! Text that must never be seen: passwords, tokens, identity tokens.

use zeroize::Zeroizing;

/// A secret without `Debug`, `Display` or `Serialize`; wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_debug_implementations, reason = "what has no Debug cannot slip into a log")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
