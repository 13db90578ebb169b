//! The contract of `Target`, `TargetWriter` and `BlobWriter`: one function for each line of the lifecycle, run on every
//! backend. A backend is accepted by these and nothing else.

mod blobs;
mod ends;
mod runs;

use bytes::Bytes;
use rpull::content::{OpenBlobOptions, Opened, TargetWriter};
use rpull::descriptor::Descriptor;
use rpull::media::MediaType;

use crate::support::images::{Family, Image, image, layer, random_blob};

macro_rules! contract {
    ($($backend:ident)*) => { $(mod $backend {
        contract! { $backend runs:
            begin_empty_plan_then_finish_succeeds
            plan_in_order_names_image
            begin_twice_succeeds_or_is_refused
            put_manifest_before_its_blobs_is_refused
            put_index_before_its_children_is_refused
            put_manifest_again_moves_name
            put_manifest_gives_several_names
            put_attached_before_its_image_keeps_both
            drop_without_finish_leaves_nothing_of_atomic_target
            calls_after_finish_are_refused
        }
        contract! { $backend blobs:
            open_blob_new_blob_starts_at_zero
            open_blob_after_drop_continues_where_bytes_are_kept
            open_blob_after_full_length_commits_without_more_bytes
            open_blob_after_commit_exists
            open_blob_twice_waits_or_writes_twice
            commit_with_proof_of_another_blob_is_refused
            commit_of_short_body_is_refused
            commit_of_long_body_is_refused
            commit_of_empty_blob_succeeds
            commit_of_sha512_blob_succeeds
            truncate_discards_written_bytes
            drop_before_commit_leaves_blob_absent
            abort_leaves_target_usable
        }
    })* };
    ($backend:ident $part:ident: $($line:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $line() {
            if let Some(end) = super::ends::$backend().await {
                super::$part::$line(end).await;
            }
        }
    )* };
}

contract! {
    memory own_backend layout synced_layout oci_archive docker_archive registry_in_memory served_layout debians_registry
}

fn app(seed: u64) -> Image {
    image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(3000, seed))])])
}

fn blob(size: usize, seed: u64) -> (Descriptor, Bytes) {
    let bytes = Bytes::from(random_blob(size, seed));
    (Descriptor::for_bytes(MediaType::from("x/y"), &bytes), bytes)
}

/// Whether the target has the blob, as [`TargetWriter::open_blob`] says.
async fn exists(writer: &dyn TargetWriter, descriptor: &Descriptor) -> bool {
    let opened = writer.open_blob(descriptor, &OpenBlobOptions::default()).await.unwrap();
    matches!(opened, Opened::Exists)
}
