//! The command line: arguments, JSON, terminals, signals, snapshots of help and messages.
