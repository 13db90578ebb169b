//! What containerd's databases say: names of images, and directories of snapshots.
//!
//! Schema: <https://github.com/containerd/containerd/blob/main/core/metadata/buckets.go>.

use std::collections::HashMap;
use std::io;

use super::bolt::{Bolt, Bucket, Value};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::media::MediaType;

/// The snapshotter whose directories are found: the usual one on Linux.
const SNAPSHOTTER: &str = "overlayfs";

/// An image in one of containerd's namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedImage {
    pub(super) name: String,
    pub(super) target: Descriptor,
}

/// The images of all namespaces.
pub(super) fn images(db: &Bolt) -> io::Result<Vec<NamedImage>> {
    let mut found = Vec::new();
    for namespace in namespaces(db)? {
        let Some(images) = namespace.bucket("images")? else { continue };
        for (name, value) in images.entries()? {
            if let (Value::Bucket(image), Ok(name)) = (value, std::str::from_utf8(name))
                && let Some(target) = image.bucket("target")?.map(target).transpose()?.flatten()
            {
                found.push(NamedImage { name: name.to_owned(), target });
            }
        }
    }
    Ok(found)
}

/// The snapshotter's own keys, by chain id: one of each namespace that has the layer.
pub(super) fn snapshots(db: &Bolt) -> io::Result<HashMap<Digest, Vec<String>>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for namespace in namespaces(db)? {
        let Some(snapshots) = namespace.bucket("snapshots")? else { continue };
        let Some(own) = snapshots.bucket(SNAPSHOTTER)? else { continue };
        for (name, value) in own.entries()? {
            if let Value::Bucket(snapshot) = value
                && let Some(chain_id) =
                    std::str::from_utf8(name).ok().and_then(|name| name.parse().ok())
                && let Some(key) = text(snapshot.value("name")?)
            {
                found.entry(chain_id).or_default().push(key);
            }
        }
    }
    Ok(found)
}

/// The number and size of each snapshot in the snapshotter's own database, by key.
pub(super) fn snapshot_dirs(db: &Bolt) -> io::Result<HashMap<String, (u64, Option<u64>)>> {
    let mut found = HashMap::new();
    let Some(version) = db.root().bucket("v1")? else { return Ok(found) };
    let Some(snapshots) = version.bucket("snapshots")? else { return Ok(found) };
    for (key, value) in snapshots.entries()? {
        if let (Value::Bucket(snapshot), Ok(key)) = (value, std::str::from_utf8(key))
            && let Some(id) = snapshot.value("id")?.and_then(unsigned)
        {
            let size = snapshot.value("size")?.and_then(signed);
            found.insert(key.to_owned(), (id, size));
        }
    }
    Ok(found)
}

fn namespaces(db: &Bolt) -> io::Result<Vec<Bucket<'_>>> {
    let Some(version) = db.root().bucket("v1")? else { return Ok(Vec::new()) };
    let buckets = version.entries()?.into_iter().filter_map(|(_, value)| match value {
        Value::Bucket(namespace) => Some(namespace),
        Value::Bytes(_) => None,
    });
    Ok(buckets.collect())
}

/// The descriptor of an image; `None` if it is not one.
fn target(bucket: Bucket<'_>) -> io::Result<Option<Descriptor>> {
    let digest = text(bucket.value("digest")?).and_then(|text| text.parse::<Digest>().ok());
    let media_type = text(bucket.value("mediatype")?).unwrap_or_default();
    let size = bucket.value("size")?.and_then(signed);
    Ok(digest
        .zip(size)
        .map(|(digest, size)| Descriptor::new(MediaType::from(media_type.as_str()), digest, size)))
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
}

/// Decodes Go's `binary.Uvarint`.
fn unsigned(bytes: &[u8]) -> Option<u64> {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Decodes Go's `binary.Varint`; `None` for negative numbers.
fn signed(bytes: &[u8]) -> Option<u64> {
    unsigned(bytes).filter(|number| number & 1 == 0).map(|number| number >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varint_is_decoded_as_go_writes_it() {
        assert_eq!(unsigned(&[0xac, 0x02]), Some(300));
        assert_eq!(signed(&[0xd8, 0x04]), Some(300));
        for bytes in [&[][..], &[0x80], &[0xff; 10]] {
            assert_eq!(unsigned(bytes), None, "{bytes:?}");
        }
        assert_eq!(signed(&[1]), None, "-1");
    }
}
