//! Repositories that have an image, recorded in its entry of `index.json`: it can be fetched from there again, and
//! mounted from there instead of sent.

use super::entry::ORIGIN_ANNOTATION;
use super::index::IndexFile;
use crate::descriptor::Descriptor;
use crate::error::Result;

/// Maximum number of repositories per entry.
const MAX_ORIGINS: usize = 8;

/// Each `registry/repository` known to have the content, latest first.
pub(super) fn origins_of(entry: &Descriptor) -> Vec<String> {
    let known = entry.annotations.get(ORIGIN_ANNOTATION).map(String::as_str).unwrap_or_default();
    known.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Returns the descriptor with these origins, and those that the entry of that name had for the same content.
pub(super) fn with_origins(
    index: &IndexFile,
    name: &str,
    mut descriptor: Descriptor,
    origins: &[String],
) -> Result<Descriptor> {
    let former = index.find(name)?.map(|entry| entry.descriptor);
    let former = former.filter(|former| former.digest == descriptor.digest);
    let mut known = former.as_ref().map(origins_of).unwrap_or_default();
    // Known origins keep their position: a pull that changes nothing must not write the file.
    for origin in
        origins.iter().rev().filter(|origin| !known.contains(origin)).cloned().collect::<Vec<_>>()
    {
        known.insert(0, origin);
    }
    known.truncate(MAX_ORIGINS);
    descriptor.annotations.remove(ORIGIN_ANNOTATION);
    if !known.is_empty() {
        descriptor.annotations.insert(ORIGIN_ANNOTATION.to_owned(), known.join(" "));
    }
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use super::super::index;
    use super::*;
    use crate::media::MediaType;

    const NAME: &str = "r/a:1";

    fn image(text: &str) -> Descriptor {
        Descriptor::for_bytes(MediaType::OCI_MANIFEST, text.as_bytes())
    }

    /// The recorded origins after adding each of these in order.
    fn remembered(index: &mut IndexFile, image: &Descriptor, origins: &[&str]) -> Vec<String> {
        for origin in origins {
            let entry = with_origins(index, NAME, image.clone(), &[(*origin).to_owned()]).unwrap();
            index.set(NAME, entry).unwrap();
        }
        origins_of(&index.find(NAME).unwrap().unwrap().descriptor)
    }

    #[test]
    fn origins_are_newest_first_and_limited() {
        let (mut index, one) = (index::tests::index(), image("one"));
        assert_eq!(remembered(&mut index, &one, &["r/a", "s/b", "t/c"]), ["t/c", "s/b", "r/a"]);
        let more: Vec<String> = (0..7).map(|number| format!("u/{number}")).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let known = remembered(&mut index, &one, &more);
        assert_eq!(
            (known.len(), known[0].as_str(), known[7].as_str()),
            (MAX_ORIGINS, "u/6", "t/c")
        );
    }

    #[test]
    fn origins_added_together_keep_order() {
        let index = index::tests::index();
        let both = ["r/a".to_owned(), "s/b".to_owned()];
        assert_eq!(origins_of(&with_origins(&index, NAME, image("one"), &both).unwrap()), both);
    }

    #[test]
    fn origins_of_warm_pull_are_unchanged() {
        let (mut index, one) = (index::tests::index(), image("one"));
        remembered(&mut index, &one, &["r/a", "pushed/b"]);
        let entry = with_origins(&index, NAME, one, &["r/a".to_owned()]).unwrap();
        assert!(!index.set(NAME, entry).unwrap());
    }

    #[test]
    fn origins_of_replaced_image_are_dropped() {
        let mut index = index::tests::index();
        remembered(&mut index, &image("one"), &["r/a", "s/b"]);
        assert_eq!(remembered(&mut index, &image("two"), &["r/a"]), ["r/a"]);
    }

    #[test]
    fn origins_annotation_of_document_is_ignored() {
        let mut foreign = image("one");
        foreign.annotations.insert(ORIGIN_ANNOTATION.to_owned(), "evil/x".to_owned());
        let index = index::tests::index();
        assert!(origins_of(&with_origins(&index, NAME, foreign, &[]).unwrap()).is_empty());
    }
}
