//! How `inspect --encoder` shows a layer.

use serde_json::{Value, json};

use super::origin::Origin;
use crate::cli::size::{plural, size};
use crate::cli::table::Column;
use crate::descriptor::Descriptor;
use crate::layer::UnsupportedFormat;
use crate::rebuild::{Encoder, Family, Features, Fit};

/// The columns of a [`row`].
pub(super) fn columns() -> [Column<'static>; 6] {
    [
        Column::whole("LAYER"),
        Column::whole("DIGEST").optional(1),
        Column::whole("SIZE"),
        Column::cut("ENCODER", 34),
        Column::cut("USED BY", 12).optional(2),
        Column::cut("FEATURES", 20).optional(3),
    ]
}

pub(super) fn row(index: usize, layer: &Descriptor, origin: &Origin) -> [String; 6] {
    let (encoder, users, features) = match origin {
        Origin::Gzip(fit, features) => (in_words(fit), users(fit), in_short(features)),
        Origin::Zstd => ("zstd".to_owned(), "", String::new()),
        Origin::Plain => ("not compressed".to_owned(), "", String::new()),
        Origin::Unsupported(UnsupportedFormat::CompressedWith(name)) => {
            ((*name).to_owned(), "", String::new())
        }
        Origin::Unsupported(UnsupportedFormat::NotATar(what)) => {
            ((*what).to_owned(), "", String::new())
        }
        Origin::Twice { outer, inner } => {
            (format!("compressed twice: {} in {}", inner.name(), outer.name()), "", String::new())
        }
    };
    let digest = layer.digest.short().to_owned();
    [index.to_string(), digest, size(layer.size), encoder, users.to_owned(), features]
}

fn in_words(fit: &Fit) -> String {
    let encoder = fit.encoder();
    match encoder.family {
        Family::Unknown => format!("unknown, closest to {}", fit.closest),
        _ if fit.is_ambiguous => format!("{encoder}, or another (short)"),
        _ => encoder.to_string(),
    }
}

/// Programs that are known to write layers with an encoder.
fn users(fit: &Fit) -> &'static str {
    let encoder = fit.encoder();
    match (encoder.family, encoder.level, encoder.piece) {
        _ if fit.is_ambiguous => "",
        (Family::B, _, Some(0x10_0000)) => "skopeo, buildah, podman",
        (Family::B, _, Some(0x4_0000)) => "umoci",
        (Family::B, 1, None) => "crane, ko",
        (Family::G, 6, None) => "BuildKit, containerd, Docker",
        (Family::Z, _, None) => "GNU gzip, Python, Java (Jib)",
        _ => "",
    }
}

/// `time 0x886e0900, OS 255, blocks of 65.5 kB, flush at 262.1 kB, matches from 4, distances to 32.8 kB`
fn in_short(features: &Features) -> String {
    let mut parts = Vec::new();
    if features.time > 0 {
        parts.push(format!("time {:#010x}", features.time));
    }
    if features.extra_flags > 0 {
        parts.push(format!("XFL {}", features.extra_flags));
    }
    parts.push(format!("OS {}", features.os));
    if features.members > 1 {
        parts.push(plural(features.members, "member"));
    }
    let mut add = |before: &str, value: Option<String>| {
        parts.extend(value.map(|value| format!("{before} {value}")));
    };
    add("blocks of", features.block_tokens.map(|count| plural(count, "token")));
    add("blocks of", features.block_bytes.map(size));
    add("flush at", features.first_flush.map(size));
    add("matches from", features.shortest_match.map(|length| length.to_string()));
    add("distances to", features.longest_distance.map(|distance| size(distance.into())));
    parts.join(", ")
}

pub(super) fn json_of(index: usize, layer: &Descriptor, origin: &Origin) -> Value {
    let (compression, fit, features) = match origin {
        Origin::Gzip(fit, features) => ("gzip", Some(fit), Some(features)),
        Origin::Zstd => ("zstd", None, None),
        Origin::Plain => ("none", None, None),
        Origin::Unsupported(UnsupportedFormat::CompressedWith(name)) => (*name, None, None),
        Origin::Unsupported(_) => ("unknown", None, None),
        Origin::Twice { outer, .. } => (outer.name(), None, None),
    };
    let mut value = json!({
        "index": index,
        "digest": layer.digest,
        "media_type": layer.media_type,
        "size": layer.size,
        "compression": compression,
    });
    if let (Origin::Twice { inner, .. }, Some(object)) = (origin, value.as_object_mut()) {
        object.insert("inner_compression".to_owned(), inner.name().into());
    }
    if let (Some(fit), Some(features), Some(object)) = (fit, features, value.as_object_mut()) {
        let known = fit.encoder();
        let names = |encoder: Encoder| {
            json!({
                "family": encoder.family.name(),
                "level": (encoder.level > 0).then_some(encoder.level),
                "piece": encoder.piece,
            })
        };
        if let Value::Object(own) = names(known) {
            object.extend(own);
        }
        object.insert("encoder".to_owned(), known.to_string().into());
        object.insert("ambiguous".to_owned(), fit.is_ambiguous.into());
        object.insert("closest".to_owned(), names(fit.closest));
        object.insert("predictions".to_owned(), fit.predictions.into());
        object.insert("wrong".to_owned(), fit.wrong.into());
        object.insert("features".to_owned(), json!(features));
    }
    value
}
