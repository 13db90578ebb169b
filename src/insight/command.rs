//! Parses `created_by` of history entries: the formats of Docker's builders, buildah, and tools without a Dockerfile.

use super::kind::LayerKind;
use crate::config::HistoryEntry;

/// Instructions that change the config and add no files.
const METADATA_INSTRUCTIONS: [&str; 15] = [
    "ARG",
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

const SHELLS: [&str; 10] =
    ["ash", "bash", "busybox", "cmd", "dash", "ksh", "powershell", "pwsh", "sh", "zsh"];

/// Returns the command in one line, without its shell and builder-specific prefixes.
pub fn display_command(created_by: &str) -> String {
    let (kind, text) = read(created_by);
    let text = if kind == Some(LayerKind::Run) { without_shell(text) } else { text };
    let replaced = text.split_whitespace().map(|word| match word.split_once(':') {
        // The classic builder identifies the added files by an internal hash, which is shortened.
        Some((kind @ ("file" | "dir" | "multi"), hash)) if hash.len() == 64 => {
            format!("{kind}:{}", hash.get(..12).unwrap_or(hash))
        }
        _ => word.to_owned(),
    });
    replaced.collect::<Vec<_>>().join(" ")
}

/// Returns the kind of layer that a step created.
pub(super) fn classify(entry: &HistoryEntry) -> LayerKind {
    if let (Some(kind), _) = read(&entry.created_by) {
        return kind;
    }
    let made_by = entry.created_by.trim_start();
    // These tools copy files as they are and run no command in the image.
    let copies = ["bazel ", "ko ", "jib", "Application Layer", "mkdir /", "mkfile /", "copy /"]
        .iter()
        .any(|tool| made_by.starts_with(tool))
        || made_by.contains("uildpack")
        || entry.comment.starts_with("store paths:");
    if copies { LayerKind::Copy } else { LayerKind::Other }
}

/// Returns the kind of an instruction or shell command, and its text without builder-specific prefixes.
fn read(created_by: &str) -> (Option<LayerKind>, &str) {
    let text = created_by.trim();
    let text = text.strip_suffix("# buildkit").unwrap_or(text).trim_end();
    // The classic builder writes instructions other than RUN as a shell comment.
    if let Some((shell, instruction)) = text.split_once("#(nop)")
        && (shell.is_empty() || is_shell(shell))
        && let Some(kind) = instruction_kind(instruction)
    {
        return (Some(kind), instruction.trim_start());
    }
    match instruction_kind(text) {
        Some(LayerKind::Run) => (Some(LayerKind::Run), text.trim_start_matches("RUN").trim_start()),
        // BuildKit without a Dockerfile uses this form.
        None => match text.strip_prefix("mount / from exec ") {
            Some(command) => (Some(LayerKind::Run), command),
            None => (is_shell(text).then_some(LayerKind::Run), text),
        },
        kind => (kind, text),
    }
}

/// Instructions are uppercase, which distinguishes `ENV` from a program of that name.
fn instruction_kind(text: &str) -> Option<LayerKind> {
    match text.split_whitespace().next()? {
        "RUN" => Some(LayerKind::Run),
        "COPY" => Some(LayerKind::Copy),
        "ADD" => Some(LayerKind::Add),
        word if METADATA_INSTRUCTIONS.contains(&word) => Some(LayerKind::Metadata),
        _ => None,
    }
}

/// Whether the text starts with a shell, possibly after build arguments (`|2 A=1 B=2 /bin/sh -c …`).
fn is_shell(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    if let Some(count) = first.strip_prefix('|') {
        return !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    }
    let name = first.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    SHELLS.contains(&name.strip_suffix(".exe").unwrap_or(&name))
}

/// Returns the command after the shell; the whole text if they cannot be separated.
fn without_shell(text: &str) -> &str {
    // Build arguments may contain spaces, so they end only at the shell.
    let shell = match text.strip_prefix('|') {
        Some(_) => text.find(" /bin/").and_then(|at| text.get(at + 1..)).unwrap_or(text),
        None => text,
    };
    if !is_shell(shell) || shell.starts_with('|') {
        return text;
    }
    let options = [" -c ", " /C ", " /c ", " -Command "];
    let ends = options.iter().filter_map(|option| Some(shell.find(option)? + option.len()));
    ends.min().and_then(|end| shell.get(end..)).map_or(shell, str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(created_by: &str, comment: &str) -> LayerKind {
        classify(&HistoryEntry {
            created_by: created_by.into(),
            comment: comment.into(),
            ..HistoryEntry::default()
        })
    }

    #[test]
    fn created_by_of_each_builder_is_classified() {
        let hash = "0123456789abcdef".repeat(4);
        for (created_by, expected, text) in [
            // The classic builder, and buildah, which uses the same format.
            ("/bin/sh -c #(nop) ADD file:HASH in / ", LayerKind::Add, "ADD file:0123456789ab in /"),
            (
                "/bin/sh -c #(nop) COPY dir:HASH in /app",
                LayerKind::Copy,
                "COPY dir:0123456789ab in /app",
            ),
            ("/bin/sh -c #(nop)  ENV A=1 B=2", LayerKind::Metadata, "ENV A=1 B=2"),
            (
                "/bin/sh -c apt-get update \t&& apt-get install x",
                LayerKind::Run,
                "apt-get update && apt-get install x",
            ),
            ("/bin/bash -o pipefail -c curl x | sh", LayerKind::Run, "curl x | sh"),
            ("|2 A=1 B=two words /bin/sh -c make -c x", LayerKind::Run, "make -c x"),
            ("/bin/sh -c echo '#(nop) is no mark'", LayerKind::Run, "echo '#(nop) is no mark'"),
            ("/bin/sh", LayerKind::Run, "/bin/sh"),
            // BuildKit.
            ("RUN /bin/sh -c apk add x # buildkit", LayerKind::Run, "apk add x"),
            ("RUN |1 V=1 /bin/sh -c make # buildkit", LayerKind::Run, "make"),
            ("RUN make # buildkit", LayerKind::Run, "make"),
            ("COPY --from=build /a /b # buildkit", LayerKind::Copy, "COPY --from=build /a /b"),
            ("ADD rootfs.tar.gz / # buildkit", LayerKind::Add, "ADD rootfs.tar.gz /"),
            ("WORKDIR /srv", LayerKind::Metadata, "WORKDIR /srv"),
            ("mount / from exec sh -ex -c make", LayerKind::Run, "make"),
            ("mkdir /in, copy /a /in/b", LayerKind::Copy, "mkdir /in, copy /a /in/b"),
            // Windows.
            ("cmd /S /C #(nop) WORKDIR C:\\app", LayerKind::Metadata, "WORKDIR C:\\app"),
            ("cmd /S /C mkdir x", LayerKind::Run, "mkdir x"),
            ("C:\\Windows\\System32\\cmd.exe /S /C dir", LayerKind::Run, "dir"),
            ("powershell -Command $x = 1; Get-Item y", LayerKind::Run, "$x = 1; Get-Item y"),
            ("Apply image 10.0.20348.1", LayerKind::Other, "Apply image 10.0.20348.1"),
            // Tools without a Dockerfile.
            ("bazel build //app:image", LayerKind::Copy, "bazel build //app:image"),
            ("ko build ko://example.com/app", LayerKind::Copy, "ko build ko://example.com/app"),
            ("jib-maven-plugin:3.4.0", LayerKind::Copy, "jib-maven-plugin:3.4.0"),
            (
                "Layer: 'jre', Created by buildpack: x/y@1",
                LayerKind::Copy,
                "Layer: 'jre', Created by buildpack: x/y@1",
            ),
            ("env A=1 program", LayerKind::Other, "env A=1 program"),
            ("", LayerKind::Other, ""),
        ] {
            let created_by = created_by.replace("HASH", &hash);
            assert_eq!(kind(&created_by, ""), expected, "{created_by}");
            assert_eq!(display_command(&created_by), text, "{created_by}");
        }
        assert_eq!(kind("", "store paths: ['/nix/store/x']"), LayerKind::Copy);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_created_by_does_not_panic(text in "(\\|1 |RUN |/bin/|sh| -c |#\\(nop\\)|é|file:|[^a]){0,12}") {
            _ = kind(&text, "");
            assert!(!display_command(&text).contains(['\n', '\t']));
        }
    }
}
