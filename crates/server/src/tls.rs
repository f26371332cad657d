//! Certificate and key from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tessera_types::{Report, codes};

/// TLS settings for both ports; the PostgreSQL port and the HTTP port differ in `protocols`.
pub(crate) fn load(
    cert: &Path,
    key: &Path,
    protocols: &[&str],
) -> Result<Arc<ServerConfig>, Report> {
    let failed = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        let message = format!("cannot use the {what} {}", path.display());
        Report::error(codes::CONFIG_FILE_ERROR, message).with_detail(error.to_string())
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|error| failed("certificate", cert, &error))?;
    if chain.is_empty() {
        return Err(failed(
            "certificate",
            cert,
            &"there is no certificate in it",
        ));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| failed("key", key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed("certificate", cert, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| failed("certificate", cert, &error))?;
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Ok(Arc::new(config))
}
