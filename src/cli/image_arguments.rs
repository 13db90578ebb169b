//! Which arguments of commands are images.

/// Commands whose arguments are images.
pub(super) const TAKE_IMAGES: [&str; 34] = [
    "analyze",
    "append",
    "artifact",
    "blob",
    "cat",
    "check-base",
    "config",
    "copy",
    "delete",
    "delta",
    "diff",
    "digest",
    "export",
    "files",
    "flatten",
    "history",
    "index",
    "inspect",
    "layers",
    "manifest",
    "mutate",
    "pull",
    "push",
    "put-blob",
    "put-manifest",
    "rebase",
    "referrers",
    "report",
    "rm",
    "save",
    "tag",
    "tags",
    "unpack",
    "verify",
];

/// Options whose values are images, by command.
pub(super) const OPTIONS_TAKE_IMAGES: [(&str, &str); 4] =
    [("check-base", "base"), ("rebase", "new-base"), ("rebase", "old-base"), ("save", "since")];
