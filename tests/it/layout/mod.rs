//! The store and other layouts: index, prune, verify, journal, locks, damage, full disks.
