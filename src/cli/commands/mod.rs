//! One file per command: reads the arguments, calls the library, prints the result.

pub(super) mod blob;
pub(super) mod catalog;
pub(super) mod copy;
pub(super) mod delete;
pub(super) mod demo;
pub(super) mod df;
pub(super) mod export;
pub(super) mod history;
pub(super) mod images;
pub(in crate::cli) mod inspect;
pub(super) mod inventory;
pub(super) mod layers;
pub(super) mod load;
pub(super) mod login;
mod overlay;
pub(super) mod pull;
pub(super) mod push;
pub(super) mod raw;
pub(super) mod referrers;
pub(super) mod save;
pub(super) mod serve;
pub(super) mod shell;
pub(super) mod store;
pub(super) mod tag;
pub(super) mod tags;
pub(super) mod unpack;
pub(super) mod verify;
