//! TLS of the server.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, ErrorKind, Result};

/// Returns an acceptor for this certificate chain and key.
pub(super) fn acceptor(chain: &Path, key: &Path) -> Result<TlsAcceptor> {
    let invalid_pem = |path: &Path| {
        let error = Error::new(ErrorKind::InvalidInput, "certificate");
        error.at(path.display().to_string())
    };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| invalid_pem(chain).with_source(error))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| invalid_pem(key).with_source(error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, private))
        .map_err(|error| invalid_pem(chain).with_source(error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
