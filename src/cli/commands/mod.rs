//! One file per verb: read the arguments, call the library, show what came back.

mod archive;
pub(super) mod blob;
pub(super) mod copy;
mod destination;
pub(super) mod history;
pub(super) mod images;
pub(super) mod inspect;
pub(super) mod inventory;
pub(super) mod layers;
pub(super) mod load;
pub(super) mod look;
mod moving;
pub(super) mod open;
mod plan;
pub(super) mod pull;
pub(super) mod push;
mod report;
pub(super) mod save;
pub(super) mod shell;
mod since;
pub(super) mod store;
pub(super) mod tags;
pub(super) mod verify;
