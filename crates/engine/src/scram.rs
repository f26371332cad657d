//! SCRAM-SHA-256 (RFC 5802, RFC 7677): verifiers, and the server's side of their arithmetic.

/// What the server keeps instead of a password.
#[derive(Clone)]
pub struct Verifier {
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// Salt.
    pub salt: Vec<u8>,
    /// H(HMAC(salted password, "Client Key")).
    pub stored_key: [u8; 32],
    /// HMAC(salted password, "Server Key").
    pub server_key: [u8; 32],
    /// False for users that do not exist or may not log in: no proof is accepted.
    pub accepts: bool,
}

impl Verifier {
    /// Whether the plain password is the right one.
    pub fn check_password(&self, _password: &str) -> bool {
        todo!()
    }
}
