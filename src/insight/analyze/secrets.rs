//! Files that look like secrets, by their names or by the header of a private key. Their content is never kept.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Rule};
use super::image::ImageSteps;
use super::top_paths::TopPaths;
use crate::insight::files::{Change, ChangeKind, ContentId};
use crate::layer::{EntryKind, is_below, split};

/// Names of files that contain credentials.
const NAMES: [&str; 19] = [
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".env",
    ".npmrc",
    ".pypirc",
    ".netrc",
    "_netrc",
    ".git-credentials",
    ".pgpass",
    ".my.cnf",
    ".htpasswd",
    ".dockercfg",
    ".vault-token",
    "credentials.json",
    "service-account.json",
    "terraform.tfstate",
    "kubeconfig",
];

/// The ends of paths that contain credentials.
const ENDS: [&str; 5] = [
    ".docker/config.json",
    ".aws/credentials",
    ".kube/config",
    ".cargo/credentials.toml",
    ".config/gcloud/application_default_credentials.json",
];

/// Ends of names of key stores.
const EXTENSIONS: [&str; 5] = [".p12", ".pfx", ".jks", ".keystore", ".kdbx"];

/// Directories whose files are examples or tests.
const EXAMPLES: [&str; 2] = ["usr/share/doc", "usr/share/man"];

/// Collects files by how they were recognized.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Contents that begin like a private key.
    keys: BTreeSet<ContentId>,
    by_layer: BTreeMap<usize, TopPaths>,
    /// Whether any of them is gone in a later layer, by layer.
    deleted: BTreeSet<usize>,
}

impl Secrets {
    /// Looks at the first bytes of a file.
    pub(super) fn head(&mut self, content: ContentId, head: &[u8]) {
        if is_private_key(head) {
            self.keys.insert(content);
        }
    }

    pub(super) fn change(&mut self, layer: usize, change: &Change<'_>) {
        if change.kind == ChangeKind::Deleted {
            if let Some(before) = change.before.filter(|_| has_secret_name(change.path)) {
                self.deleted.insert(before.layer);
            }
            return;
        }
        let Some(file) = change.after.filter(|file| file.kind == EntryKind::File) else { return };
        if file.layer != layer || change.hardlink.is_some() || file.size == 0 {
            return;
        }
        let is_key = file.content.is_some_and(|content| self.keys.contains(&content));
        let note = match (is_key, has_secret_name(change.path)) {
            (true, _) => "private key",
            (false, true) => "by its name",
            _ => return,
        };
        let found = self.by_layer.entry(layer).or_default();
        found.add_file(change.path, file.size, Some(note.to_owned()));
    }

    pub(super) fn findings(self, image: &ImageSteps) -> Vec<Finding> {
        let finding = |(layer, paths): (usize, TopPaths)| {
            let files = paths.files;
            let what =
                if files == 1 { "1 file that looks" } else { &format!("{files} files that look") };
            let like = if files == 1 { "a secret" } else { "secrets" };
            let deleted = if self.deleted.contains(&layer) {
                "; deleted later, but everyone can read the layer"
            } else {
                ""
            };
            let message = format!("contains {what} like {like}{deleted}");
            let tip = "pass secrets with RUN --mount=type=secret or at run time, and revoke these";
            let finding = image.finding(Rule::Secret, Some(layer), message, tip).with_paths(paths);
            // To save bytes is not the point.
            finding.with_bytes(0)
        };
        self.by_layer.into_iter().map(finding).collect()
    }
}

fn has_secret_name(path: &[u8]) -> bool {
    let name = split(path).1;
    let ends_with_path = |end: &&str| {
        path.strip_suffix(end.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with(b"/"))
    };
    !EXAMPLES.iter().any(|example| is_below(path, example.as_bytes()))
        && (NAMES.iter().any(|secret| secret.as_bytes() == name)
            || EXTENSIONS.iter().any(|end| name.ends_with(end.as_bytes()))
            || ENDS.iter().any(ends_with_path))
}

/// Whether a line begins the text form of a private key: PEM, OpenSSH, PGP, `PuTTY` or age.
fn is_private_key(head: &[u8]) -> bool {
    head.split(|&byte| byte == b'\n').any(|line| {
        let line = line.trim_ascii();
        let armor = line.strip_prefix(b"-----BEGIN ").and_then(|line| line.strip_suffix(b"-----"));
        armor.is_some_and(|kind| {
            kind.ends_with(b"PRIVATE KEY") || kind.ends_with(b"PRIVATE KEY BLOCK")
        }) || line.starts_with(b"PuTTY-User-Key-File-")
            || line.starts_with(b"AGE-SECRET-KEY-1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_key_is_recognized_by_header() {
        for (head, expected) in [
            ("-----BEGIN RSA PRIVATE KEY-----\nMII", true),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3Bl", true),
            ("Bag Attributes\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n", true),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n", true),
            ("PuTTY-User-Key-File-3: ssh-ed25519", true),
            ("-----BEGIN CERTIFICATE-----\n", false),
            ("-----BEGIN PUBLIC KEY-----\n", false),
            ("grep -- '-----BEGIN RSA PRIVATE KEY-----'\n", false),
            ("", false),
        ] {
            assert_eq!(is_private_key(head.as_bytes()), expected, "{head}");
        }
    }

    #[test]
    fn secret_is_recognized_by_name() {
        for (path, expected) in [
            ("root/.ssh/id_rsa", true),
            ("root/.ssh/id_rsa.pub", false),
            ("app/.env", true),
            ("app/.env.example", false),
            ("root/.docker/config.json", true),
            ("app/x.docker/config.json", false),
            ("app/config.json", false),
            (".aws/credentials", true),
            ("srv/store.p12", true),
            ("usr/share/doc/x/.npmrc", false),
        ] {
            assert_eq!(has_secret_name(path.as_bytes()), expected, "{path}");
        }
    }
}
