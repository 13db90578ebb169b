//! Arguments of the commands that make images and artifacts.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::artifact::ArtifactVerb;
use super::shared::{EditedPlatforms, Writing, pair};

#[derive(Debug, Subcommand)]
pub(crate) enum EditVerb {
    /// Add a tar or the content of a directory to an image as a new layer
    #[command(after_help = "Examples:
  rpull append alpine:3.20 ./rootfs -t app:1
  rpull append --prefix /app debian:12 ./build -t docker://ghcr.io/org/app:2
  SOURCE_DATE_EPOCH=0 rpull append alpine:3.20 app.tar config/ -t oci:./app:1

Each PATH becomes a layer, in this order. Files of a directory belong to root; a tar keeps its
owners, and its bytes if it is compressed. With SOURCE_DATE_EPOCH the result is reproducible: it is
the creation time, and no file of a directory is later. Layers of IMAGE that NAME has already, or
can mount, do not move.")]
    Append(Append),
    /// Change the config or the annotations of an image
    #[command(after_help = "Examples:
  rpull mutate app:1 --env LOG=debug --cmd /app --cmd --serve -t app:debug
  rpull mutate app:1 --entrypoint '[\"/app\", \"--serve\"]' --port 8080 -t app:2
  rpull mutate docker://ghcr.io/org/app:1 --label team=web --user 1000 -t docker://ghcr.io/org/app:1
  rpull mutate ghcr.io/org/app:1 --all-platforms --env LOG=debug -t docker://ghcr.io/org/app:debug

Layers stay as they are, and so does everything in the config that no option names. An empty --cmd
or --entrypoint removes it; a new --entrypoint removes the command unless --cmd gives one.
Attestations of an index are left out: they are about the images before the change.")]
    Mutate(Box<Mutate>),
    /// Exchange the base of an image, without building it again
    #[command(after_help = "Examples:
  rpull rebase app:1 --old-base debian:12.1 --new-base debian:12.2 -t app:1-rebased
  rpull rebase docker://r.example/app:1 --old-base r.example/base@sha256:… --new-base r.example/base:2 -t docker://r.example/app:1

The layers of the new base take the place of those of the old one, which must be the lowest of the
image. Nothing is run: this is right only if the upper layers do not depend on what changed. The
config stays that of the image. The new base is noted in the image for `rpull check-base`.")]
    Rebase(Rebase),
    /// Merge all layers of an image into one
    #[command(after_help = "Examples:
  rpull flatten app:1 -t app:flat
  rpull flatten --compression zstd docker://ghcr.io/org/app:1 -t docker://ghcr.io/org/app:flat

Files that upper layers delete or replace are gone. The config stays, the history becomes one step.
The same image always gives the same result. Every layer is read twice.")]
    Flatten(Flatten),
    /// Make an index of images for several platforms, or change one
    #[command(subcommand)]
    Index(IndexVerb),
    /// Push, pull and attach files as artifacts
    #[command(subcommand)]
    Artifact(ArtifactVerb),
}

#[derive(Debug, Subcommand)]
pub(crate) enum IndexVerb {
    /// Make an index of images
    #[command(after_help = "Examples:
  rpull index create app:1 app:1-amd64 app:1-arm64
  rpull index create docker://ghcr.io/org/app:1 ghcr.io/org/app:1-amd64 ghcr.io/org/app:1-arm64

Of an IMAGE that is an index itself, all entries are taken. Platforms are those of the configs.")]
    Create(IndexImages),
    /// Add images to an index
    #[command(after_help = "Examples:
  rpull index add app:1 app:1-riscv64
  rpull index add docker://ghcr.io/org/app:1 ghcr.io/org/app:1-riscv64

An entry for the same platform is replaced, together with its attestations.")]
    Add(IndexImages),
    /// Remove entries from an index
    #[command(after_help = "Examples:
  rpull index remove app:1 linux/386
  rpull index remove docker://ghcr.io/org/app:1 sha256:…

Attestations of a removed entry are removed too. The manifests stay where they are.")]
    Remove(IndexRemove),
}

/// Where the new image goes.
#[derive(Debug, Args)]
pub(crate) struct NewImage {
    /// New image: a name in the store, or a location: docker://…, oci:…, oci-archive:…, docker-archive:…
    #[arg(short = 't', long = "tag", value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Debug, Args)]
pub(crate) struct Append {
    /// Image, or a location: store:…, docker://…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    /// Tars, possibly compressed, and directories; - for a tar from stdin
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<std::path::PathBuf>,
    /// Directory of the image to put the files into [default: /]
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Compression of the layers [default: gzip, or that of the tar]
    #[arg(long, value_name = "NAME", value_parser = compressions())]
    pub(crate) compression: Option<String>,
    #[command(flatten)]
    pub(crate) platforms: EditedPlatforms,
    #[command(flatten)]
    pub(crate) new: NewImage,
}

#[derive(Debug, Args)]
pub(crate) struct Mutate {
    /// Image, or a location: store:…, docker://…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    /// Set a variable of the environment (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// Set the command: one word (repeatable), or all as a JSON list
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) cmd: Option<Vec<String>>,
    /// Set the entry point: one word (repeatable), or all as a JSON list
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) entrypoint: Option<Vec<String>>,
    /// Set a label (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Set an annotation of the manifest (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) annotation: Vec<(String, String)>,
    /// Set the user, or user and group
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Set the working directory; a relative one is below that of the image
    #[arg(long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Add a port that the image serves: 80, 53/udp (repeatable)
    #[arg(long, value_name = "PORT", value_parser = port)]
    pub(crate) port: Vec<String>,
    /// Set the creation time: a date, a time, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    #[command(flatten)]
    pub(crate) platforms: EditedPlatforms,
    #[command(flatten)]
    pub(crate) new: NewImage,
}

#[derive(Debug, Args)]
pub(crate) struct Rebase {
    /// Image, or a location: store:…, docker://…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    /// Image whose layers are the lowest of IMAGE
    #[arg(long, value_name = "IMAGE")]
    pub(crate) old_base: String,
    /// Image whose layers take their place
    #[arg(long, value_name = "IMAGE")]
    pub(crate) new_base: String,
    #[command(flatten)]
    pub(crate) platforms: EditedPlatforms,
    #[command(flatten)]
    pub(crate) new: NewImage,
}

#[derive(Debug, Args)]
pub(crate) struct Flatten {
    /// Image, or a location: store:…, docker://…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    /// Compression of the layer
    #[arg(long, value_name = "NAME", value_parser = compressions(), default_value = "gzip")]
    pub(crate) compression: String,
    #[command(flatten)]
    pub(crate) platforms: EditedPlatforms,
    #[command(flatten)]
    pub(crate) new: NewImage,
}

#[derive(Debug, Args)]
pub(crate) struct IndexImages {
    /// Index: a name in the store, or a location: docker://…, oci:…, oci-archive:…
    pub(crate) name: String,
    /// Images, or locations: store:…, docker://…, oci:…, oci-archive:…
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Debug, Args)]
pub(crate) struct IndexRemove {
    /// Index: a name in the store, or a location: docker://…, oci:…
    pub(crate) name: String,
    /// Platforms or digests
    #[arg(required = true, value_name = "PLATFORM|DIGEST")]
    pub(crate) entries: Vec<String>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

fn compressions() -> PossibleValuesParser {
    PossibleValuesParser::new(["gzip", "zstd"])
}

/// Parses a port as in EXPOSE: `80` is `80/tcp`.
fn port(text: &str) -> Result<String, String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    match number.parse::<u16>() {
        Ok(number @ 1..) if ["tcp", "udp", "sctp"].contains(&protocol) => {
            Ok(format!("{number}/{protocol}"))
        }
        _ => Err("expected a port such as 80 or 53/udp".to_owned()),
    }
}
