//! One file per verb: read the arguments, call the library, show what came back.

pub(super) mod blob;
pub(super) mod catalog;
pub(super) mod copy;
pub(super) mod delete;
mod destination;
pub(super) mod history;
pub(super) mod images;
pub(super) mod inspect;
pub(super) mod layers;
pub(super) mod login;
pub(super) mod look;
mod moving;
pub(super) mod open;
mod plan;
pub(super) mod pull;
pub(super) mod push;
pub(super) mod referrers;
mod remote;
mod report;
pub(super) mod shell;
pub(super) mod store;
pub(super) mod tag;
pub(super) mod tags;
pub(super) mod verify;
