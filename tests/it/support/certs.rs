//! A test certificate authority: valid, expired, misnamed and client certificates as PEM files.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Certificates as `NAME.pem` and `NAME.key`; dropping it removes them.
pub(crate) struct Certs {
    dir: TempDir,
}

/// Whether a server requests a client certificate of [`Certs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientCert {
    NotAsked,
    /// Requested, but not required.
    Asked,
    Required,
}

impl Certs {
    /// The authority that signed the others.
    pub(crate) const CA: &str = "ca";
    /// For `127.0.0.1`, `::1` and `localhost`.
    pub(crate) const SERVER: &str = "server";
    /// For the same names; expired in 2001.
    pub(crate) const EXPIRED: &str = "expired";
    /// For another host.
    pub(crate) const WRONG_HOST: &str = "wrong-host";
    /// For the hosts of Docker Hub.
    pub(crate) const DOCKER_HUB: &str = "docker-hub";
    /// A client certificate.
    pub(crate) const CLIENT: &str = "client";

    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let certs = Self { dir: tempfile::tempdir().unwrap() };
        certs.write(Self::CA, &ca.pem(), &ca.key().serialize_pem());
        let loopback = ["127.0.0.1", "::1", "localhost"];
        for (name, hosts) in [
            (Self::SERVER, &loopback[..]),
            (Self::EXPIRED, &loopback[..]),
            (Self::WRONG_HOST, &["elsewhere.test"]),
            (Self::DOCKER_HUB, &["registry-1.docker.io", "auth.docker.io"]),
            (Self::CLIENT, &["client.test"]),
        ] {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            let mut params = CertificateParams::new(hosts).unwrap();
            if name == Self::EXPIRED {
                params.not_before = date_time_ymd(2000, 1, 1);
                params.not_after = date_time_ymd(2001, 1, 1);
            }
            let usage = if name == Self::CLIENT {
                ExtendedKeyUsagePurpose::ClientAuth
            } else {
                ExtendedKeyUsagePurpose::ServerAuth
            };
            params.extended_key_usages.push(usage);
            let key = KeyPair::generate().unwrap();
            let cert = params.signed_by(&key, &ca).unwrap();
            certs.write(name, &cert.pem(), &key.serialize_pem());
        }
        certs
    }

    fn write(&self, name: &str, cert: &str, key: &str) {
        std::fs::write(self.cert(name), cert).unwrap();
        std::fs::write(self.key(name), key).unwrap();
    }

    pub(crate) fn cert(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.pem"))
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.key"))
    }

    /// Returns the TLS configuration of a server with this certificate.
    pub(crate) fn server_config(&self, name: &str, client: ClientCert) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match client {
            ClientCert::NotAsked => builder.with_no_client_auth(),
            asked => {
                let mut roots = RootCertStore::empty();
                roots.add(self.read(Self::CA)).unwrap();
                let provider = Arc::new(default_provider());
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if asked == ClientCert::Asked {
                    verifier = verifier.allow_unauthenticated();
                }
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::from_pem_file(self.key(name)).unwrap();
        Arc::new(builder.with_single_cert(vec![self.read(name)], key).unwrap())
    }

    fn read(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.cert(name)).unwrap()
    }
}
