//! The contract of everything that holds image content: registries, image layouts, archives.
//!
//! ```text
//! look     Lookup::{name, read, blob}          any time, any number; changes nothing; the caller says what it may cost
//! read     Source::{resolve, open_blob}        any time, concurrently
//! write    Target::begin(plan)                 once per run, before the first write; may refuse
//!            -> TargetWriter::open_blob        once per blob of the plan, concurrently (one at a time if `sequential`)
//!                 -> Exists | Mounted | BlobWriter: [read_back] write* (truncate write*)* -> commit(proof)
//!                                       or abort(error), or drop: an interrupted write, kept where it can be kept
//!            -> TargetWriter::put_manifest     after every blob and child that it names; children first
//!            -> TargetWriter::finish           once, last
//! ```
//!
//! Content that is not committed is never visible through [`Lookup`] or [`Source`]. A name never stands for a manifest
//! before the blobs and children of that manifest are there.
//!
//! # Which trait to implement
//!
//! A backend that is only read from implements [`Lookup`] and [`Source`]; one that is only written to [`Lookup`] and
//! [`Target`]; one that is both, all three. A backend is opened once and bound to one repository, directory or file. The
//! traits are object-safe because they are called per blob, never per byte. Blocking work (files) runs when the future is
//! polled, not when the method is called.
//!
//! # What an answer may cost
//!
//! | question                                    | on this machine           | a registry | what the engine does with `Unknown`      |
//! |---------------------------------------------|---------------------------|------------|------------------------------------------|
//! | [`name(_, Local)`](Lookup::name)            | `Present` or `Absent`     | `Unknown`  | resolves at the source                   |
//! | [`name(_, Request)`](Lookup::name)          | the same                  | one HEAD   | resolves at the source                   |
//! | [`read(_, _, Local)`](Lookup::read)         | reads the file, verified  | `Unknown`  | reads at the source                      |
//! | [`read(_, _, Request)`](Lookup::read)       | the same                  | one GET    | fails, and names the endpoint            |
//! | [`blob(_, Local)`](Lookup::blob)            | looks at the file's size  | `Unknown`  | offers the blob                          |
//! | [`blob(_, Request)`](Lookup::blob)          | the same                  | one HEAD   | `--plan` shows the blob as missing       |
//!
//! Authentication, redirects and retries are not counted. A backend does not remember answers; the engine does.

mod lookup;
mod order;
mod plan;
mod source;
mod target;
mod writer;

pub use self::lookup::{
    BlobPresence, Effort, Endpoint, EndpointKind, Lookup, Presence, RequestCounts, document,
    is_same,
};
pub use self::order::missing_content;
pub(crate) use self::order::{FinishGuard, check_content};
pub use self::plan::TargetPlan;
pub use self::source::{BlobRequest, BlobStream, ByteStream, Provenance, Source};
pub use self::target::{
    EmptyTarget, Incoming, OpenBlob, Role, Target, TargetProperties, TargetWriter,
};
pub use self::writer::{BlobWriter, Opened, UploadStore};
