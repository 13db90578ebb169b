//! The contract of everything that stores image content: registries, image layouts, archives.
//!
//! ```text
//! look     Lookup::{name, read, blob}           any time, any number of times; changes nothing; the caller says what it
//!                                               may cost
//! read     Source::{resolve, open_blob}         any time, concurrently
//! write    Target::begin(plan)                  once per run, before the first write: checks space and what cannot be
//!                                               stored; may refuse
//!            -> TargetWriter::open_blob         once per blob of the plan, concurrently; one at a time if `sequential`
//!                 -> Exists | Mounted           the target has it, nothing to send
//!                 -> BlobWriter                 [read_back] write* (truncate write*)* commit(proof), or abort(error),
//!                                               or drop: an interrupted write, kept if possible
//!            -> TargetWriter::put_manifest      after all blobs and children it references: children first;
//!                                               concurrently for different images
//!            -> TargetWriter::finish            once, last
//! ```
//!
//! - **Visibility.** Content that is not committed is visible neither through [`Lookup`] nor through [`Source`]. A name
//!   never points to a manifest whose blobs or children are missing. In an `atomic` target nothing has a name before
//!   `finish`, which names everything or nothing.
//! - **Drop.** Dropping a [`TargetWriter`] without `finish` is what an interrupted run does. Committed
//!   content stays if possible (a registry, a layout), but may not be synced; nothing is left of an `atomic` target.
//! - **Order.** A target refuses calls in the wrong order with [`ErrorKind::Unsupported`](crate::error::ErrorKind) or, for
//!   missing content, `MissingBlobs`, and damages nothing. Each backend documents what it checks.
//! - **Concurrency.** All methods take `&self` and may be called from several tasks. Two writers of one digest wait for
//!   each other or write twice; they never mix their bytes.
//! - **Blocking.** Files are touched when the returned future is polled, not when the method is called. Methods without a future
//!   (`read_back`, `file`, `advance`, and those of [`BlobRanges`]) touch them at once.
//! - **Retries.** A backend retries its requests for documents. The engine retries blobs: it opens them
//!   again at the position reached. It also sends missing content of a manifest again.
//! - **Memory.** A backend does not cache answers, and does not know the rest of the run; the engine does both.
//!
//! # Which trait to implement
//!
//! | a backend that       | implements                                                                                    |
//! |----------------------|-----------------------------------------------------------------------------------------------|
//! | can be asked         | [`Lookup`]: `endpoint`, `name`, `read`, `blob`                                                |
//! | can be read from     | also [`Source`]: `resolve`, `open_blob`                                                       |
//! | can be written to    | [`Lookup`], [`Target`]: `properties`, `begin`, and [`TargetWriter`]: `open_blob`, `put_manifest`, `finish` |
//! | takes bytes of blobs | [`BlobWriter`]: `offset`, `read_back`, `write`, `truncate`, `commit`                          |
//!
//! All other methods have defaults that answer "not known" or do nothing. A backend is opened once and bound to one
//! repository, directory or file. The traits are object-safe, because they are called per blob and never per byte.
//!
//! # What an answer may cost
//!
//! | question                              | on this machine            | a registry | what the engine does with `Unknown` |
//! |---------------------------------------|----------------------------|------------|-------------------------------------|
//! | [`name(_, Local)`](Lookup::name)      | `Present` or `Absent`      | `Unknown`  | resolves at the source              |
//! | [`name(_, Request)`](Lookup::name)    | the same                   | one HEAD   | resolves at the source              |
//! | [`read(_, _, Local)`](Lookup::read)   | reads a file, and verifies | `Unknown`  | reads at the source                 |
//! | [`read(_, _, Request)`](Lookup::read) | the same                   | one GET    | fails, and names the endpoint       |
//! | [`blob(_, Local)`](Lookup::blob)      | looks at the file's size   | `Unknown`  | offers the blob to the target       |
//! | [`blob(_, Request)`](Lookup::blob)    | the same                   | one HEAD   | shows it as missing in `--plan`     |
//!
//! Authentication, redirects and retries are not counted. `Unknown` is never treated as `Absent`: no run refuses to start
//! because of it. A registry that answers a HEAD with anything but a success or 404 is `Unknown`. If its HEAD of a blob
//! does not contain the size, one GET follows.

mod call_order;
mod lookup;
mod plan;
mod reader;
mod rebuilder;
mod source;
mod target;
mod writer;

pub use self::call_order::missing_content;
pub(crate) use self::call_order::{FinishGuard, check_content};
pub use self::lookup::{
    BlobPresence, Effort, Endpoint, EndpointKind, Lookup, Presence, RateLimit, RequestCounts,
    fetch_document, is_same_endpoint,
};
pub(crate) use self::lookup::{check_limit, over_limit};
pub use self::plan::TargetPlan;
pub(crate) use self::reader::reader_stream;
pub use self::rebuilder::Rebuilder;
pub use self::source::{BlobRequest, BlobStream, ByteStream, Provenance, Source, UnpackedLayer};
pub use self::target::{
    EmptyTarget, OpenBlobOptions, Role, Target, TargetProperties, TargetWriter,
};
pub use self::writer::{BlobRanges, BlobWriter, Opened, UploadStore};
