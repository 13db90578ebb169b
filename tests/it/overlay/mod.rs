//! Overlay directories: one directory per layer, and mounts of them.
