//! `rpull serve`: the store as a registry.
