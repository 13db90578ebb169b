//! One file per verb: read the arguments, call the library, show what came back.

pub(super) mod blob;
mod destination;
pub(super) mod history;
pub(super) mod images;
pub(super) mod inspect;
pub(super) mod layers;
pub(super) mod look;
pub(super) mod open;
mod plan;
pub(super) mod pull;
mod report;
pub(super) mod shell;
pub(super) mod store;
pub(super) mod tags;
pub(super) mod verify;
