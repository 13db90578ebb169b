//! What an entry of `index.json` remembers of the repositories that have the image: from there it can be fetched again,
//! and beside them it need not be sent.

use super::index::{Index, ORIGIN_ANNOTATION};
use crate::descriptor::Descriptor;
use crate::error::Result;

/// The most repositories that an entry remembers.
const MOST: usize = 8;

/// Each `registry/repository` that is known to have what the entry names, the latest first.
pub(super) fn origins_of(entry: &Descriptor) -> Vec<String> {
    let known = entry.annotations.get(ORIGIN_ANNOTATION).map(String::as_str).unwrap_or_default();
    known.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The descriptor, knowing these origins and those that the entry of that name knew for the same content.
pub(super) fn with_origins(
    index: &Index,
    name: &str,
    mut descriptor: Descriptor,
    origins: &[String],
) -> Result<Descriptor> {
    let former = index.find(name)?.map(|entry| entry.descriptor);
    let former = former.filter(|former| former.digest == descriptor.digest);
    let mut known = former.as_ref().map(origins_of).unwrap_or_default();
    // Those known already keep their place: a pull that changes nothing must not write the file.
    for origin in
        origins.iter().rev().filter(|origin| !known.contains(origin)).cloned().collect::<Vec<_>>()
    {
        known.insert(0, origin);
    }
    known.truncate(MOST);
    descriptor.annotations.remove(ORIGIN_ANNOTATION);
    if !known.is_empty() {
        descriptor.annotations.insert(ORIGIN_ANNOTATION.to_owned(), known.join(" "));
    }
    Ok(descriptor)
}
