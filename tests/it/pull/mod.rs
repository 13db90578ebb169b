//! Downloads: resume, retry, timeout, integrity, platforms, plans, concurrency.
