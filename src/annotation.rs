//! Keys of annotations, and the names of index entries in layouts and archives.

use crate::descriptor::Descriptor;

/// The full name of an image, as containerd writes it.
pub(crate) const NAME_ANNOTATION: &str = "io.containerd.image.name";

/// The name that skopeo and umoci use. Any name if there is no [`NAME_ANNOTATION`], otherwise often only the tag.
pub(crate) const REF_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// The name of the file that a blob holds.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";

/// The name of the base of an image, a tag in a registry.
pub(crate) const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// The digest that this name stood for when the image was built.
pub(crate) const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// What an image says about its base.
pub(crate) const BASE: [&str; 2] = [BASE_NAME, BASE_DIGEST];

/// The digest of the manifest that an attestation in an index is about, as `BuildKit` writes it.
pub(crate) const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// Returns the names of an entry, the full name first; empty if it has none.
pub(crate) fn names(entry: &Descriptor) -> Vec<String> {
    let mut names: Vec<String> = [NAME_ANNOTATION, REF_ANNOTATION]
        .into_iter()
        .filter_map(|key| entry.annotations.get(key))
        .filter(|name| !name.is_empty())
        .cloned()
        .collect();
    names.dedup();
    names
}

/// Replaces the names of an entry.
pub(crate) fn rename(entry: &mut Descriptor, name: &str) {
    entry.annotations.remove(NAME_ANNOTATION);
    entry.annotations.remove(REF_ANNOTATION);
    // The grammar of the other annotation has no brackets, and skopeo rejects a whole layout that contains them.
    let brackets = name.contains('[');
    if brackets || name.contains('/') {
        entry.annotations.insert(NAME_ANNOTATION.to_owned(), name.to_owned());
    }
    if !brackets {
        entry.annotations.insert(REF_ANNOTATION.to_owned(), name.to_owned());
    }
}
