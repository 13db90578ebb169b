//! The fields that templates of `--format` have: those of `--json`.

/// Fields of commands that move images, with those that only some runs have.
const MOVING: &[&str] = &[
    "source",
    "target",
    "reference",
    "digest",
    "manifest",
    "media_type",
    "platforms",
    "bytes",
    "requests",
    "elapsed_ms",
    "blobs",
    "referrers",
    "digest_tags",
    "hosts",
    "rate_limit",
    "error",
    "stopped",
];

/// Fields of commands that change something, which must not fail by their template afterwards. With those of some runs only.
const CHANGING: &[(&str, &[&str])] = &[
    ("pull", MOVING),
    ("push", MOVING),
    ("copy", MOVING),
    ("save", MOVING),
    ("load", MOVING),
    ("rm", &["reference", "removed", "left", "not_matching", "blobs", "bytes", "error"]),
    ("tag", &["source", "reference", "digest"]),
    ("delete", &["reference", "digest", "deleted"]),
];

/// Fields of commands that users of other tools give templates to.
const LOOKING: &[(&str, &[&str])] = &[
    ("images", &["reference", "digest", "manifest", "platforms", "size", "created"]),
    (
        "inspect",
        &[
            "reference",
            "source",
            "digest",
            "manifest",
            "media_type",
            "platform",
            "platforms",
            "created",
            "author",
            "size",
            "layers",
            "config",
        ],
    ),
    (
        "history",
        &["image", "created", "created_by", "size", "comment", "empty_layer", "digest", "diff_id"],
    ),
    ("tags", &["repository", "tags"]),
    ("catalog", &["registry", "repositories"]),
    ("digest", &["reference", "digest"]),
];

/// Returns all fields of a command that changes something; `None` for other commands.
pub(super) fn of_changing(verb: &str) -> Option<&'static [&'static str]> {
    CHANGING.iter().find(|(name, _)| *name == verb).map(|(_, fields)| *fields)
}

/// Returns the fields of a command if they are known before it runs.
pub(super) fn of_verb(verb: &str) -> Option<&'static [&'static str]> {
    let looking = LOOKING.iter().find(|(name, _)| *name == verb).map(|(_, fields)| *fields);
    looking.or_else(|| of_changing(verb))
}
