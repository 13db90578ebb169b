//! Removes secrets from text of servers and other programs before it is shown.
//!
//! Every secret is added before it is sent, and so are the query values of server-supplied URLs: they are signatures
//! and keys of upload sessions. Text is searched for all encodings in which a server may repeat them, and for parts of
//! long secrets.

mod forms;
mod patterns;
mod units;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;
use zeroize::Zeroizing;

use self::forms::forms_of;
use self::units::Unit;

/// Replaces a secret.
const HIDDEN: &str = "***";

/// Shorter secrets cannot be told from words.
const MIN_LENGTH: usize = 4;

/// Bytes of a part of a long secret that are recognized; any substring of twice this length contains one.
const PART: usize = 16;

/// Maximum tokens and query values remembered; a long run adds one for each blob.
const MAX_PASSING: usize = 256;

/// The kind of a text, which decides how short a secret may be to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TextKind {
    /// Text of a server or another program.
    Foreign,
    /// A message of rpull, which a short password must not garble.
    Message,
    /// A result for programs: only secrets that cannot be words are removed.
    Result,
}

/// How long a secret is remembered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    Redactor,
    /// Until [`MAX_PASSING`] newer ones have been added.
    Limited,
}

/// Removes the secrets added to it. Clones share them.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Mutex<Needles>>);

impl Redactor {
    /// Adds a credential, for the lifetime of the redactor.
    pub fn add(&self, secret: &str) {
        self.lock().add(secret, TextKind::Result, Lifetime::Redactor);
    }

    /// Adds a short-lived secret such as a token. The oldest are forgotten.
    pub(super) fn note_passing(&self, secret: &str) {
        self.lock().add(secret, TextKind::Result, Lifetime::Limited);
    }

    /// Adds the possible secrets in a server-supplied URL.
    pub(super) fn note_url(&self, url: &Url) {
        if url.query().is_none() {
            return;
        }
        let mut needles = self.lock();
        let pairs =
            url.query_pairs().filter(|(key, value)| patterns::is_secret_parameter(key, value));
        pairs.for_each(|(_, value)| needles.add(&value, TextKind::Message, Lifetime::Limited));
    }

    /// Adds the key of an upload session, which permits writing to it.
    pub(super) fn note_session(&self, url: &Url) {
        self.note_url(url);
        let key = url.path_segments().and_then(|mut segments| segments.next_back());
        if let Some(key) = key.filter(|key| key.len() >= PART) {
            self.lock().add(key, TextKind::Message, Lifetime::Limited);
        }
    }

    /// The text without any secret.
    pub fn redact<'t>(&self, text: &'t str, kind: TextKind) -> Cow<'t, str> {
        let mut found = self.lock().find(text, kind);
        if kind == TextKind::Foreign {
            found.extend(patterns::find(text));
        }
        let found = merged(found);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len());
        let mut end = 0;
        for range in found {
            shown.push_str(text.get(end..range.start).unwrap_or_default());
            shown.push_str(HIDDEN);
            end = range.end;
        }
        shown.push_str(text.get(end..).unwrap_or_default());
        Cow::Owned(shown)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Needles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

/// One form of a secret, folded for comparison.
struct Needle {
    bytes: Zeroizing<Vec<u8>>,
    /// Removed from texts up to this kind.
    up_to: TextKind,
}

/// All forms of all secrets, with an index of their parts.
#[derive(Default)]
struct Needles {
    by_id: HashMap<u32, Needle>,
    next_id: u32,
    /// The needles of each short-lived secret, oldest first.
    passing: VecDeque<Vec<u32>>,
    /// Needle and offset by the hash of a part; parts are not stored in plain text.
    parts: HashMap<u64, (u32, usize)>,
    /// Needles shorter than a part.
    short: Vec<u32>,
    hasher: RandomState,
}

impl Needles {
    fn add(&mut self, secret: &str, up_to: TextKind, lifetime: Lifetime) {
        if secret.len() < MIN_LENGTH {
            return;
        }
        let up_to = up_to.min(reach(secret));
        let mut added = Vec::new();
        for bytes in forms_of(secret) {
            if self.has(&bytes, up_to) {
                continue;
            }
            let id = self.next_id;
            self.next_id = id.wrapping_add(1);
            for offset in part_offsets(bytes.len()) {
                let part = bytes.get(offset..offset + PART).unwrap_or_default();
                self.parts.insert(self.hasher.hash_one(part), (id, offset));
            }
            if bytes.len() < PART {
                self.short.push(id);
            }
            self.by_id.insert(id, Needle { bytes, up_to });
            added.push(id);
        }
        if lifetime == Lifetime::Limited && !added.is_empty() {
            self.passing.push_back(added);
            if self.passing.len() > MAX_PASSING {
                let oldest = self.passing.pop_front();
                oldest.into_iter().flatten().for_each(|id| self.forget(id));
            }
        }
    }

    fn has(&self, bytes: &[u8], up_to: TextKind) -> bool {
        let is_it =
            |id: &u32| self.by_id.get(id).is_some_and(|it| *it.bytes == bytes && it.up_to >= up_to);
        match bytes.get(..PART) {
            Some(part) => {
                self.parts.get(&self.hasher.hash_one(part)).is_some_and(|(id, _)| is_it(id))
            }
            None => self.short.iter().any(is_it),
        }
    }

    fn forget(&mut self, id: u32) {
        let Some(needle) = self.by_id.remove(&id) else { return };
        self.short.retain(|other| *other != id);
        for offset in part_offsets(needle.bytes.len()) {
            let part = needle.bytes.get(offset..offset + PART).unwrap_or_default();
            let hash = self.hasher.hash_one(part);
            if self.parts.get(&hash).is_some_and(|(owner, _)| *owner == id) {
                self.parts.remove(&hash);
            }
        }
    }

    /// The ranges of the text to hide, in any order.
    fn find(&self, text: &str, kind: TextKind) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if !self.by_id.is_empty() {
            units::each_reading(text, |units| self.find_in(units, kind, &mut found));
        }
        for range in &mut found {
            // A match may end inside a character whose first bytes are equal.
            let is_inside = |at: usize| !text.is_char_boundary(at);
            range.start = (0..=range.start).rfind(|at| !is_inside(*at)).unwrap_or_default();
            range.end = (range.end..text.len()).find(|at| !is_inside(*at)).unwrap_or(text.len());
        }
        found
    }

    fn find_in(&self, units: &[Unit], kind: TextKind, found: &mut Vec<Range<usize>>) {
        let bytes: Vec<u8> = units.iter().map(|unit| unit.byte).collect();
        let mut report = |range: Range<usize>| {
            if let (Some(first), Some(last)) = (units.get(range.start), units.get(range.end - 1)) {
                found.push(first.start..last.end);
            }
        };
        for (at, window) in bytes.windows(PART).enumerate() {
            let hit = self.parts.get(&self.hasher.hash_one(window));
            let range = hit.and_then(|&(id, offset)| {
                let needle = self.by_id.get(&id).filter(|needle| needle.up_to >= kind)?;
                common_range(&bytes, at, &needle.bytes, offset)
            });
            range.into_iter().for_each(&mut report);
        }
        for needle in self.short.iter().filter_map(|id| self.by_id.get(id)) {
            if needle.up_to >= kind {
                let length = needle.bytes.len();
                let hits = bytes.windows(length).enumerate();
                let hits = hits.filter(|(_, window)| *window == needle.bytes.as_slice());
                hits.for_each(|(at, _)| report(at..at + length));
            }
        }
    }
}

/// Sorts the ranges and joins those that touch.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The kinds of text that a secret is removed from: possible words stay in results.
fn reach(secret: &str) -> TextKind {
    let has = |of: fn(&char) -> bool| usize::from(secret.chars().any(|c| of(&c)));
    let kinds = has(char::is_ascii_lowercase)
        + has(char::is_ascii_uppercase)
        + has(char::is_ascii_digit)
        + has(|c| !c.is_ascii_alphanumeric());
    match (secret.len(), kinds) {
        (0..6, _) | (0..12, 1) => TextKind::Foreign,
        (8.., 2..) | (16.., _) => TextKind::Result,
        _ => TextKind::Message,
    }
}

/// Offsets of the parts of a needle: consecutive, the last one aligned with its end.
fn part_offsets(length: usize) -> impl Iterator<Item = usize> {
    let last = length.checked_sub(PART);
    last.into_iter().flat_map(|last| (0..last).step_by(PART).chain([last]))
}

/// The longest common range around a shared part; `None` if only the hashes are equal.
fn common_range(text: &[u8], at: usize, needle: &[u8], offset: usize) -> Option<Range<usize>> {
    let same = text.get(at..)?.iter().zip(needle.get(offset..)?).take_while(|(a, b)| a == b);
    let length = same.count();
    let before = text.get(..at)?.iter().rev().zip(needle.get(..offset)?.iter().rev());
    let before = before.take_while(|(a, b)| a == b).count();
    (length >= PART).then(|| at - before..at + length)
}

#[cfg(test)]
mod tests;
