//! Registries: authentication, tokens, TLS, proxies, redaction, lists, deletion, fixtures.
