//! Support of the integration tests: servers with faults on demand, images, certificates, a real registry.

#![expect(dead_code, reason = "the tests of the client come with the client")]

pub(crate) mod assertions;
pub(crate) mod cache;
pub(crate) mod certs;
pub(crate) mod cli;
pub(crate) mod debian;
pub(crate) mod entries;
pub(crate) mod exchange;
pub(crate) mod fake_registry;
pub(crate) mod faulty_source;
pub(crate) mod fixtures;
pub(crate) mod flat;
pub(crate) mod http;
pub(crate) mod images;
pub(crate) mod layer_cases;
pub(crate) mod live;
pub(crate) mod memory;
pub(crate) mod mounted;
pub(crate) mod outside_guard;
pub(crate) mod peers;
pub(crate) mod placeholders;
pub(crate) mod real;
pub(crate) mod recorder;
pub(crate) mod samples;
pub(crate) mod serve_process;
pub(crate) mod served_store;
pub(crate) mod small;
pub(crate) mod sparse;
pub(crate) mod stack;
pub(crate) mod strace;
pub(crate) mod tar_item;
pub(crate) mod tars;
pub(crate) mod terminal;
pub(crate) mod tokens;
pub(crate) mod tree;
pub(crate) mod wait;
pub(crate) mod writing;
