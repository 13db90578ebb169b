//! Uploads: chunks, mounts, redirects, resume, referrers.
