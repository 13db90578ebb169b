//! The command line as clap parses it. [`super::settings`] and the commands interpret it.

mod analyze;
mod archives;
pub(crate) mod artifact;
mod command;
mod common;
mod connection;
mod delta;
mod diff;
pub(crate) mod edit;
mod inspect;
mod mirror;
mod offering;
mod registry;
mod report;
mod retain;
mod serve;
mod shared;
mod shell;
mod sides;
mod store;
pub(crate) mod tools;
mod transfer;
mod unpack;

use clap::{Command, CommandFactory as _, Parser, Subcommand};

pub(crate) use self::analyze::Analyze;
pub(crate) use self::archives::{Load, Save};
pub(crate) use self::command::format_names;
pub(crate) use self::common::{CommonArgs, ProgressKind, When};
pub(crate) use self::connection::RegistryArgs;
pub(crate) use self::delta::Delta;
pub(crate) use self::diff::Diff;
pub(crate) use self::inspect::{Blob, Cat, CheckBase, DocumentArgs, Files, History, Inspect};
pub(crate) use self::mirror::{Mirror, Shard, WatchTimes};
pub(crate) use self::registry::{Catalog, Delete, Limits, Login, Logout, Referrers};
pub(crate) use self::registry::{RepositoryOrder, TagOrder, Tags};
pub(crate) use self::report::Report;
pub(crate) use self::retain::Retain;
pub(crate) use self::serve::Serve;
pub(crate) use self::shared::{EditedPlatforms, OnePlatform, Writing};
pub(crate) use self::shell::{CompleteWord, ShellVerb};
pub(crate) use self::sides::SideOptions;
pub(crate) use self::store::{Df, ImageOrder, Images, Prune, Rm, Stats, StatsGroup, Tag, Verify};
pub(crate) use self::transfer::{ConversionArgs, Copy, DeltaMode, Pull, Push, TransferArgs};
pub(crate) use self::unpack::{Export, OverlayArgs, Unpack};

/// Returns the command line for clap.
pub(crate) fn command() -> Command {
    command::with_effective_options(Cli::command())
}

/// Pull, push and copy container images without a daemon, transferring only missing layers
#[derive(Debug, Parser)]
#[command(override_usage = "rpull [OPTIONS] <IMAGE>...\n       rpull [OPTIONS] <COMMAND>")]
#[command(name = "rpull", version, max_term_width = 100)]
#[command(after_help = "`rpull IMAGE` is short for `rpull pull IMAGE`.

Examples:
  rpull alpine:3.14                     pull into the local store
  rpull history ghcr.io/org/app:1.2     inspect without pulling
  rpull --plan debian:12                show what would be transferred and what is shared

Exit codes: 0 done, 1 other failure, 2 usage, 3 not found, 4 permission, 5 integrity,
            6 registry or network, 7 store or unpack, 130/143 interrupted or terminated")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Pull images into the local store
    #[command(after_help = "Examples:
  rpull alpine:3.14
  rpull pull --platform linux/arm64 alpine:3.14 debian:12
  rpull pull -o oci:./alpine alpine:3.14
  rpull pull -o docker-archive:alpine.tar alpine:3.14
  rpull pull --unpack ./root alpine:3.14
  rpull pull --plan --json ghcr.io/org/app:2")]
    Pull(Pull),
    /// Push an image to a registry, uploading only missing blobs
    #[command(
        override_usage = "rpull push [OPTIONS] [SRC] <IMAGE>",
        after_help = "Examples:
  rpull push localhost:5000/app:1                the image of that name in the store
  rpull push alpine:3.14 ghcr.io/org/base:3.14
  rpull push --plan oci:./image ghcr.io/org/app:2"
    )]
    Push(Push),
    /// Copy images between registries, layouts, archives and the store
    #[command(
        visible_alias = "cp",
        after_help = "Examples:
  rpull copy alpine:3.14 localhost:5000/alpine:3.14
  rpull copy --platform linux/arm64 debian:12 oci:./debian
  rpull copy oci:./image:1.2 store:app:1.2
  rpull copy --all-tags ghcr.io/org/app reg.local/mirror/app
  rpull copy --referrers --digest-tags ghcr.io/org/app:2 oci-archive:app.tar
  rpull copy alpine:3.14 docker-archive:alpine.tar
  rpull copy docker-root:/var/lib/docker:app oci:./app
  rpull copy docker-daemon:app:1 localhost:5000/app:1
  rpull copy --format docker ghcr.io/org/app:2 localhost:5000/app:2
  rpull copy --compression zstd alpine:3.14 localhost:5000/alpine:3.14-zstd

A plain reference names an image in a registry; the other locations are store:NAME,
oci:PATH[:NAME], oci-archive:FILE[:NAME] and docker-archive:FILE[:NAME]. Only to read from:
docker-root:DIR[:IMAGE] and containerd-root:DIR[:IMAGE], the files of an engine, without its
daemon; docker-daemon:IMAGE, a running docker by its socket (DOCKER_HOST).

--format oci|docker converts media types, --compression layers. The copy has another digest, which is
printed; signatures of the original are not valid for it. What a format cannot express is refused.
Layers are compressed into TMPDIR before they are sent, also with --plan."
    )]
    Copy(Box<Copy>),
    /// Keep registries, layouts and archives in step with a file
    #[command(
        override_usage = "rpull mirror [OPTIONS] <FILE>\n       rpull mirror [OPTIONS] --from-stdin",
        after_help = mirror::HELP
    )]
    Mirror(Box<Mirror>),
    /// Save images from the store to an archive for `rpull load` and `docker load`
    #[command(after_help = "Examples:
  rpull save alpine:3.14 debian:12 -o images.tar
  rpull save app:2 | ssh host rpull load
  rpull save app:2 --since inventory.txt -o update.tar
  rpull save app:2 --since app:1 --delta -o update.tar

--since accepts the output of `rpull inventory`, the index.json of a layout, an earlier archive, or
an image in the store. With --delta, changed gzip layers are replaced by what changed inside them,
as `rpull delta` does; `rpull load` completes them from the recipient's store.")]
    Save(Save),
    /// Load images from an OCI or Docker archive into the store
    #[command(
        after_help = "Examples:\n  rpull load images.tar\n  docker save app:2 | rpull load\n  rpull load --plan update.tar"
    )]
    Load(Load),
    /// Make deltas: what changed inside the layers of an image
    #[command(after_help = "Examples:
  rpull delta app:1 app:2 -o update.tar           for `rpull load` where app:1 is
  rpull delta reg.local/app:1 reg.local/app:2 --push
  rpull delta --level 19 app:1 app:2 -o update.tar

Each layer of NEW that OLD does not have is compared with the layers of OLD. With its delta and the
old layers, the very blob is rebuilt: digests and signatures stay. Layers for which that does not
pay are sent whole. --push attaches the deltas to the image in NEW's repository, where `rpull pull`
finds them. Only gzip layers can be rebuilt.

ENCODER is the model and its level: a and g for Go before 1.27, b for Go from 1.27 on, klauspost and
pgzip, z for zlib, gzip and pigz.")]
    Delta(Delta),
    /// List the digests of all referenced blobs, one per line
    #[command(
        after_help = "Examples:\n  rpull inventory > inventory.txt\n  rpull inventory | ssh host rpull save app:2 --since - | rpull load"
    )]
    Inventory,
    /// Print the digest that a reference resolves to
    #[command(
        after_help = "Examples:\n  rpull digest alpine:3.14\n  rpull digest --platform linux/arm64 alpine:3.14"
    )]
    Digest(DocumentArgs),
    /// Print a manifest or index, byte for byte
    #[command(
        after_help = "Examples:\n  rpull manifest alpine:3.14\n  rpull manifest --platform linux/amd64 alpine:3.14 | jq .layers"
    )]
    Manifest(DocumentArgs),
    /// Print an image's config, byte for byte
    #[command(
        after_help = "Examples:\n  rpull config alpine:3.14 | jq .config.Env\n  rpull config --platform linux/arm64 alpine:3.14"
    )]
    Config(DocumentArgs),
    /// Show an image's platforms, config and layers without pulling it
    #[command(after_help = "Examples:
  rpull inspect alpine:3.14
  rpull inspect --format '{{digest}} {{layers | length}}' alpine:3.14
  rpull inspect --format skopeo alpine:3.14
  rpull inspect --json store:alpine:3.14
  rpull inspect --encoder debian:12 oci-archive:app.tar      what compressed each layer

--encoder reads the manifest and at most 256 KiB of each layer, not the whole. It compares their
matches with models of Go's gzip, klauspost's (pgzip: skopeo, buildah, podman, umoci) and zlib's. A
short layer may fit several of them. With --json it prints an array, also for one image.")]
    Inspect(Inspect),
    /// Write one verified blob to stdout or a file
    #[command(
        after_help = "Examples:\n  rpull blob alpine@sha256:… | tar tz\n  rpull blob -o layer.tgz ghcr.io/org/app@sha256:…"
    )]
    Blob(Blob),
    /// List the tags of a repository
    #[command(
        after_help = "Examples:\n  rpull tags alpine\n  rpull tags --filter 'tag=3.*' --sort version --limit 5 alpine\n  rpull tags --json ghcr.io/org/app"
    )]
    Tags(Tags),
    /// List the repositories of a registry
    #[command(
        after_help = "Examples:\n  rpull catalog localhost:5000\n  rpull catalog --json registry.example.com

Many registries do not support this, among them Docker Hub, GHCR and GitLab."
    )]
    Catalog(Catalog),
    /// Show what a registry says of its limits
    #[command(
        after_help = "Examples:\n  rpull limits docker.io\n  rpull limits --json registry.example.com

Docker Hub counts pulls per address or account; asking does not count."
    )]
    Limits(Limits),
    /// List signatures, SBOMs and other referrers of an image
    #[command(after_help = "Examples:
  rpull referrers ghcr.io/org/app:1.2
  rpull referrers --artifact-type application/spdx+json ghcr.io/org/app@sha256:…
  rpull referrers --json localhost:5000/app:1 | jq -r '.referrers[].digest'")]
    Referrers(Referrers),
    /// Delete a tag or a manifest from a registry
    #[command(after_help = "Examples:
  rpull delete localhost:5000/app:old               only this tag
  rpull delete --yes localhost:5000/app@sha256:…    the manifest with all its tags

If a registry cannot delete a single tag, the manifest is deleted, unless it has other tags.")]
    Delete(Delete),
    /// Delete old tags from a repository, without breaking images that stay
    #[command(after_help = retain::HELP)]
    Retain(Retain),
    /// Show the build history of an image, newest step first, without pulling it
    #[command(
        after_help = "Examples:\n  rpull history alpine:3.14\n  rpull history --no-trunc --platform linux/arm64 debian:12\n  rpull history docker-root:/var/lib/docker:app"
    )]
    History(History),
    /// List the layers of an image, base first: kind, digests, sizes, command
    #[command(
        after_help = "Examples:\n  rpull layers alpine:3.14\n  rpull layers --json debian:12 | jq '.[].chain_id'\n  rpull layers docker-root:/var/lib/docker:app      which directory holds which layer"
    )]
    Layers(History),
    /// List the files that each layer adds (A), modifies (M) and deletes (D)
    #[command(after_help = "Examples:
  rpull files alpine:3.14                       every layer, base first
  rpull files --layer 1 ghcr.io/org/app:1.2 etc '*.pyc'
  rpull files --flat debian:12 /etc/apt         the files of all layers together
  rpull files --json debian:12 | jq -r 'select(.hidden > 0) | .path'

Layers that are not in the store are read from the registry and not kept.")]
    Files(Files),
    /// Print a file of an image
    #[command(after_help = "Examples:
  rpull cat alpine:3.14 /etc/os-release
  rpull cat --layer 0 debian:12 etc/passwd      as the base layer has it
  rpull cat oci:./image /usr/bin/env > env

Layers that are not in the store are read from the registry and not kept.")]
    Cat(Cat),
    /// Show what two images share, and what a pull of one costs a host that has the other
    #[command(after_help = "Examples:
  rpull diff alpine:3.19 alpine:3.20
  rpull diff store:app:1 docker://ghcr.io/org/app:2
  rpull diff --files --json app:1 oci:./build etc '*.so' | jq .files.pull.bytes
  rpull diff app:1 app:2 -o page.html

Manifests and configs are enough. A layer with the same content in another compression is named
as such, and a pull transfers it again. --files reads each layer once and lists added (A), changed
(M) and removed (D) paths; times are not compared. Layers of a registry are not kept. JSON has
then `files`: `added`, `changed` and `removed` with `paths` and `bytes`, `pull` with `files` and
`bytes`, and `changes` with `change`, `path`, `differs` and the metadata in `a` and `b`.")]
    Diff(Diff),
    /// Show what an image wastes, what should not be in it, and what helps
    #[command(after_help = "Examples:
  rpull analyze alpine:3.20
  rpull analyze --fail-under 0.95 --max-waste 20MB docker-archive:app.tar
  rpull analyze --ci --format sarif ghcr.io/org/app:2 > findings.sarif

Reads every layer once; layers of a registry are not kept. The efficiency is dive's score: the
sum of the smallest sizes of all paths, divided by the sum of their sizes in all layers. Wasted
are the files that later layers delete or replace; dive's waste, which --ci checks, is all versions
of paths that several layers have. Contents of files are never printed.")]
    Analyze(Analyze),
    /// Check whether an image is built on what the name of its base stands for today
    #[command(after_help = "Examples:
  rpull check-base ghcr.io/org/app:2
  rpull check-base --base debian:12 app:2 || docker build --pull -t app:2 .

The image names its base by the annotations org.opencontainers.image.base.name and .base.digest.
Without a digest, layers and history are compared. Exits with 1 if the base has changed, or if
neither the image nor --base names it.")]
    CheckBase(CheckBase),
    /// Write a page about images, for a browser: layers, files, waste, advice
    #[command(after_help = "Examples:
  rpull report alpine:3.20 -o page.html
  rpull report app:1 app:2 docker-archive:app.tar -o page.html   what they share
  rpull report --store -o page.html                              where the disk goes
  rpull report --stats app:2 > page.html

The page is one file, and needs neither network nor server. Every layer is read once; layers of a
registry are not kept. Without IMAGE the page is about the store.")]
    Report(Report),
    /// Unpack an image into a root file system
    #[command(after_help = "Examples:
  rpull unpack alpine:3.14 ./root
  rpull unpack --platform linux/arm64 oci:./image ./root
  rpull unpack docker-archive:app.tar /mnt/app && chroot /mnt/app
  rpull unpack --overlay app:2 /srv/layers --mount /mnt/app

The directory must be absent or empty. It appears once everything in it is verified; a mount point
is filled in place. Owners and devices are kept when run as root.
With --overlay the directory may hold layers of other images, and existing layers are reused. The
mount command is printed, and the store records the directory for `df` and `prune`.")]
    Unpack(Unpack),
    /// Export an image's root file system as a tar
    #[command(after_help = "Examples:
  rpull export alpine:3.14 -o root.tar
  rpull export app:2 | podman import - app:flat
  rpull export --platform linux/arm64 oci:./image | ssh host tar -xpf - -C /srv/root

The tar has the files that `unpack` creates as root, for any user: owners, devices, links, times and
attributes (extract them with `tar -xp --xattrs --xattrs-include='*'`). It is reproducible. Every
layer is verified before the first byte is written, and FILE appears once it is complete. An image
that is missing from the store is pulled into it.")]
    Export(Export),
    #[command(flatten)]
    Edit(edit::EditVerb),
    /// List the images in the store
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rpull images\n  rpull images --filter 'reference=ghcr.io/org/*' --sort created --limit 5\n  rpull images --format '{{reference}} {{size | filesizeformat}}'"
    )]
    Images(Images),
    /// Add a tag to an image, in the store or in its repository
    #[command(after_help = "Examples:
  rpull tag alpine:3.14 localhost:5000/base:1
  rpull tag store:alpine:3.14 base
  rpull tag docker://ghcr.io/org/app:1.2 docker://ghcr.io/org/app:stable

The last one adds the tag in the registry without transferring layers.")]
    Tag(Tag),
    /// Remove image names from the store; `prune` frees the space
    #[command(after_help = store::RM_HELP)]
    Rm(Rm),
    /// Show disk usage of the store and overlay directories
    #[command(after_help = "Examples:
  rpull df
  rpull df --json | jq .unreferenced
  rpull df docker-root:/var/lib/docker           which image and layer takes how much, and where
  rpull df containerd-root:/var/lib/containerd   the same of blobs and snapshots

Includes the directories that `unpack --overlay` recorded in this store. Their sizes are those of
files; the sizes of the store are those of compressed blobs. Nothing is changed in the data root
of an engine, and no daemon is asked.")]
    Df(Df),
    /// Delete unreferenced blobs and layers
    #[command(after_help = "Examples:
  rpull prune --plan
  rpull prune
  rpull prune --partials
  rpull prune --older-than 7d --filter min-size=10MB

Layers in overlay directories are deleted if no image in the same directory needs them, regardless
of the images in the store. Mounted layers are kept.")]
    Prune(Prune),
    /// Check the blobs in the store, or in another location
    #[command(
        alias = "validate",
        after_help = "Examples:
  rpull verify
  rpull verify --repair alpine:3.14
  rpull verify oci:./layout oci-archive:image.tar

Hashes the blobs, checks that all that the images need exists in the right size, and compares layers
with the diff_ids of their configs; the store records those that match. Exits with 5 if a bad blob
is left. --repair fetches only bad blobs, and replaces each in one step."
    )]
    Verify(Verify),
    /// Sum what runs transferred and shared
    #[command(after_help = "Examples:
  rpull stats
  rpull stats --since 7d --by day
  rpull stats --since 2026-11-01 --by registry --json

Every run that uses the store appends its receipt to `ledger.jsonl` in the store, unless
RPULL_LEDGER=off is set. Other runs do so with --ledger FILE.")]
    Stats(Stats),
    #[command(flatten)]
    Tool(tools::ToolVerb),
    /// Serve the store as a registry
    #[command(after_help = serve::EXAMPLES)]
    Serve(Serve),
    /// Show layer sharing with a local registry and two image versions
    #[command(
        after_help = "Examples:\n  rpull demo\n  rpull demo --progress plain\n\nThe demo needs no network and removes its files when done."
    )]
    Demo,
    /// Print what a word of a command line can become, for completion scripts
    #[command(hide = true)]
    CompleteWord(CompleteWord),
    #[command(flatten)]
    Shell(ShellVerb),
}
