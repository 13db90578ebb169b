//! Encoded forms of a secret in which a server may repeat it. Escapes are undone separately.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::units::folded;

/// Shortest encoded form that cannot be a word.
const MIN_ENCODED: usize = 8;

/// All forms, folded like the text that they are compared with.
pub(super) fn forms_of(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = vec![Zeroizing::new(secret.as_bytes().to_vec())];
    if secret.contains(' ') {
        forms.push(Zeroizing::new(secret.replace(' ', "+").into_bytes()));
    }
    if !secret.is_ascii() {
        forms.extend(misread(secret));
    }
    let encoded = (0..3).map(|offset| in_base64(secret.as_bytes(), offset)).chain([in_hex(secret)]);
    forms.extend(encoded.filter(|form| form.len() >= MIN_ENCODED));
    for form in &mut forms {
        form.iter_mut().for_each(|byte| *byte = folded(*byte));
    }
    forms
}

/// The secret after UTF-8 was misread as Latin-1, and vice versa.
fn misread(secret: &str) -> [Zeroizing<Vec<u8>>; 2] {
    let as_latin: Zeroizing<String> = Zeroizing::new(secret.bytes().map(char::from).collect());
    let lost = |c: char| if c.is_ascii() { c } else { char::REPLACEMENT_CHARACTER };
    let lossy: Zeroizing<String> = Zeroizing::new(secret.chars().map(lost).collect());
    [as_latin, lossy].map(|text| Zeroizing::new(text.as_bytes().to_vec()))
}

/// The base64 characters that do not depend on the bytes around the secret, which begins at a byte whose position is
/// `offset` modulo 3.
fn in_base64(secret: &[u8], offset: usize) -> Zeroizing<Vec<u8>> {
    let padded = Zeroizing::new([vec![0; offset].as_slice(), secret].concat());
    let text = Zeroizing::new(STANDARD_NO_PAD.encode(&*padded));
    let (start, end) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    Zeroizing::new(text.as_bytes().get(start..end).unwrap_or_default().to_vec())
}

fn in_hex(secret: &str) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(String::with_capacity(2 * secret.len()));
    for byte in secret.bytes() {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
    }
    Zeroizing::new(text.as_bytes().to_vec())
}
