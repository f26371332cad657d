//! Encryption by the rules of libpq's `sslmode`.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{ClientError, Stream, broken};
use crate::connection::{SslMode, Target};

/// Asks for TLS where the mode wants it; the flag tells whether it was had.
pub(super) async fn encrypt(
    mut stream: TcpStream,
    target: &Target,
) -> Result<(Box<dyn Stream>, bool), ClientError> {
    if target.sslmode == SslMode::Disable {
        return Ok((Box::new(stream), false));
    }
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    let mut answer = [0];
    let asked = async {
        stream.write_all(&request).await?;
        stream.read_exact(&mut answer).await
    };
    asked.await.map_err(|error| broken(target, error))?;
    match (answer[0], target.sslmode) {
        (b'S', _) => {}
        (b'N', SslMode::Prefer) => return Ok((Box::new(stream), false)),
        (b'N', _) => {
            return Err(ClientError::Tls(
                "the server has it switched off".to_owned(),
            ));
        }
        _ => {
            return Err(ClientError::Protocol(
                "this is not a PostgreSQL server".to_owned(),
            ));
        }
    }
    let name = ServerName::try_from(target.host.clone())
        .map_err(|_| ClientError::Tls(format!("{} is not a host name", target.host)))?;
    let connector = TlsConnector::from(Arc::new(configuration(target)?));
    match connector.connect(name, stream).await {
        Ok(stream) => Ok((Box::new(stream), true)),
        Err(error) => Err(ClientError::Tls(error.to_string())),
    }
}

fn configuration(target: &Target) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Tls(error.to_string()))?;
    let Some(path) = &target.tls_ca else {
        if target.sslmode == SslMode::VerifyFull {
            return Err(ClientError::Tls(
                "verify-full needs --tls-ca FILE".to_owned(),
            ));
        }
        let verifier = Arc::new(AnyCertificate(provider));
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth());
    };
    let fault = |error: String| ClientError::Tls(format!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| fault(error.to_string()))?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Encrypts without knowing to whom, which is what `prefer` and `require` mean in libpq.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
