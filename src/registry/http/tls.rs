//! TLS trust and client certificates.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::error::{Error, ErrorKind, Result};

/// TLS settings for one host.
#[derive(Default)]
pub(in crate::registry) struct TlsOptions {
    /// Trusted in addition to the system's roots.
    pub(in crate::registry) roots: Vec<CertificateDer<'static>>,
    /// The client's chain and key.
    pub(in crate::registry) client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// Accept any certificate.
    pub(in crate::registry) insecure: bool,
    /// Offer HTTP/2 besides HTTP/1.1.
    pub(in crate::registry) http2: bool,
}

/// Builds the client configuration.
///
/// # Errors
/// If a root or the client's pair is unusable, or if the system has no roots and none were given.
pub(in crate::registry) fn config(options: TlsOptions) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let trust = CertVerifier {
        algorithms: provider.signature_verification_algorithms,
        verifier: if options.insecure {
            None
        } else {
            Some(system_and(&options.roots, &provider)?)
        },
        user_roots: options.roots,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust));
    let mut config = match options.client {
        Some((chain, key)) => config.with_client_auth_cert(chain, key)?,
        None => config.with_no_client_auth(),
    };
    if options.http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(config)
}

fn system_and(
    roots: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Verifier, rustls::Error> {
    Verifier::new_with_extra_roots(roots.to_vec(), Arc::clone(provider))
}

/// Every certificate of a PEM file.
pub(in crate::registry) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| invalid_pem(path).with_source(error))?;
    if all.is_empty() {
        Err(invalid_pem(path).with_reason("contains no certificate"))
    } else {
        Ok(all)
    }
}

/// The first private key of a PEM file.
pub(in crate::registry) fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| invalid_pem(path).with_source(error))
}

fn invalid_pem(path: &Path) -> Error {
    Error::new(ErrorKind::Denied, "certificate or key").at(path.display().to_string())
}

/// Verifies with the system's verifier, but also accepts a server certificate that the user listed as a root.
#[derive(Debug)]
struct CertVerifier {
    /// `None` accepts every certificate.
    verifier: Option<Verifier>,
    user_roots: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for CertVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(verifier) = &self.verifier else { return Ok(ServerCertVerified::assertion()) };
        let judged =
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match judged {
            // The self-signed certificate of Docker's own instructions (`openssl req -x509`) is its own authority.
            // webpki rejects it after checking the dates; the name is still to be compared.
            Err(error)
                if is_ca(&error)
                    && self.user_roots.iter().any(|user_root| user_root == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether the only fault is a CA certificate used as a server certificate. Only the text tells: the error is webpki's,
/// whose type rustls does not expose.
pub(super) fn is_ca(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::Other(inner))
        if inner.to_string() == "CaUsedAsEndEntity")
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    /// A self-signed certificate that is its own authority.
    fn user_root(until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["registry.test".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn judge(trusted: &CertificateDer<'static>, shown: &CertificateDer<'_>, host: &str) -> bool {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let user_roots = vec![trusted.clone()];
        let trust = CertVerifier {
            algorithms: provider.signature_verification_algorithms,
            verifier: Some(system_and(&user_roots, &provider).unwrap()),
            user_roots,
        };
        let name = ServerName::try_from(host.to_owned()).unwrap();
        trust.verify_server_cert(shown, &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn tls_self_signed_ca_is_trusted_for_its_name_only() {
        let (good, other, expired) = (user_root(2100), user_root(2100), user_root(2001));
        assert!(judge(&good, &good, "registry.test"));
        assert!(!judge(&good, &good, "elsewhere.test"));
        assert!(!judge(&good, &other, "registry.test"));
        assert!(!judge(&expired, &expired, "registry.test"));
    }
}
