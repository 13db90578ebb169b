//! Removes secrets from text that a server or another program had a say in, before it is shown.
//!
//! Every secret is noted before it is sent, and so are the query values of URLs that servers supply: they are signatures and
//! the keys of upload sessions. Text is searched for them in all encodings in which a server may repeat them, for parts of
//! long ones too.

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

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// Shorter secrets cannot be told from words.
const MIN_LENGTH: usize = 4;

/// Bytes of a part of a long secret that are recognised; any part of twice this length has one.
const PART: usize = 16;

/// Tokens and query values that are remembered; a long run meets a new one with each blob.
const MAX_PASSING: usize = 256;

/// What a text is, which decides how short a secret may be to be removed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Text {
    /// Words of a server or another program.
    Foreign,
    /// A message with words of our own, which a short password must not garble.
    Message,
    /// A result that a program may read: only what cannot be a word is removed.
    Result,
}

/// Knows what must not be shown. Clones share what they know.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Mutex<Needles>>);

impl Redactor {
    /// Remembers a credential, for as long as the redactor lives.
    pub fn add(&self, secret: &str) {
        self.lock().add(secret, Text::Result, true);
    }

    /// Remembers a secret that others like it replace, as tokens do; the oldest are forgotten.
    pub(super) fn note_passing(&self, secret: &str) {
        self.lock().add(secret, Text::Result, false);
    }

    /// Remembers what may be secret in a URL that a server supplied.
    pub(super) fn note_url(&self, url: &Url) {
        if url.query().is_none() {
            return;
        }
        let mut needles = self.lock();
        let pairs =
            url.query_pairs().filter(|(key, value)| patterns::is_secret_parameter(key, value));
        pairs.for_each(|(_, value)| needles.add(&value, Text::Message, false));
    }

    /// Adds the key of an upload session, which permits writing to it.
    pub(super) fn note_session(&self, url: &Url) {
        self.note_url(url);
        let key = url.path_segments().and_then(|mut segments| segments.next_back());
        if let Some(key) = key.filter(|key| key.len() >= PART) {
            self.lock().add(key, Text::Message, false);
        }
    }

    /// The text without any secret.
    pub fn redact<'t>(&self, text: &'t str, kind: Text) -> Cow<'t, str> {
        let mut found = self.lock().find(text, kind);
        if kind == Text::Foreign {
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

/// One form of a secret, as it is compared.
struct Needle {
    bytes: Zeroizing<Vec<u8>>,
    /// The texts up to this kind that it is removed from.
    up_to: Text,
}

/// All forms of all secrets, and where their parts are.
#[derive(Default)]
struct Needles {
    by_id: HashMap<u32, Needle>,
    next_id: u32,
    /// The needles of each secret that is forgotten in its turn.
    passing: VecDeque<Vec<u32>>,
    /// Needle and offset by the hash of a part; no part is kept in plain.
    parts: HashMap<u64, (u32, usize)>,
    /// Needles that are shorter than a part.
    short: Vec<u32>,
    hasher: RandomState,
}

impl Needles {
    fn add(&mut self, secret: &str, up_to: Text, is_lasting: bool) {
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
        if !is_lasting && !added.is_empty() {
            self.passing.push_back(added);
            if self.passing.len() > MAX_PASSING {
                let oldest = self.passing.pop_front();
                oldest.into_iter().flatten().for_each(|id| self.forget(id));
            }
        }
    }

    fn has(&self, bytes: &[u8], up_to: Text) -> bool {
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
    fn find(&self, text: &str, kind: Text) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if !self.by_id.is_empty() {
            units::each_reading(text, |units| self.find_in(units, kind, &mut found));
        }
        for range in &mut found {
            // A part may end within a character that only begins alike.
            let is_inside = |at: usize| !text.is_char_boundary(at);
            range.start = (0..=range.start).rfind(|at| !is_inside(*at)).unwrap_or_default();
            range.end = (range.end..text.len()).find(|at| !is_inside(*at)).unwrap_or(text.len());
        }
        found
    }

    fn find_in(&self, units: &[Unit], kind: Text, found: &mut Vec<Range<usize>>) {
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

/// The ranges in order, those that touch as one.
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

/// The kinds of text that a secret is removed from: what could be a word stays in results.
fn reach(secret: &str) -> Text {
    let has = |of: fn(&char) -> bool| usize::from(secret.chars().any(|c| of(&c)));
    let kinds = has(char::is_ascii_lowercase)
        + has(char::is_ascii_uppercase)
        + has(char::is_ascii_digit)
        + has(|c| !c.is_ascii_alphanumeric());
    match (secret.len(), kinds) {
        (0..6, _) | (0..12, 1) => Text::Foreign,
        (8.., 2..) | (16.., _) => Text::Result,
        _ => Text::Message,
    }
}

/// Where the parts of a needle begin: one after the other, and the last at its end.
fn part_offsets(length: usize) -> impl Iterator<Item = usize> {
    let last = length.checked_sub(PART);
    last.into_iter().flat_map(|last| (0..last).step_by(PART).chain([last]))
}

/// The longest common range around a part that text and needle share; `None` where only the hashes agree.
fn common_range(text: &[u8], at: usize, needle: &[u8], offset: usize) -> Option<Range<usize>> {
    let same = text.get(at..)?.iter().zip(needle.get(offset..)?).take_while(|(a, b)| a == b);
    let length = same.count();
    let before = text.get(..at)?.iter().rev().zip(needle.get(..offset)?.iter().rev());
    let before = before.take_while(|(a, b)| a == b).count();
    (length >= PART).then(|| at - before..at + length)
}

#[cfg(test)]
mod tests;
