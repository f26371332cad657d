//! SCRAM-SHA-256 (RFC 5802, RFC 7677): verifiers, and the server's side of their arithmetic.
//!
//! A verifier is kept in PostgreSQL's text form,
//! `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>` (base64), so that one made by
//! `psql`'s `\password` or taken from a `pg_dumpall` works here.
//!
//! # Not here
//! The messages of the exchange (`tessera-postgres`), where verifiers are kept (`catalog`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Rounds of PBKDF2 in new verifiers; PostgreSQL's default.
pub const ITERATIONS: u32 = 4096;
/// Bytes of salt in new verifiers.
pub const SALT_BYTES: usize = 16;
/// Most rounds that a given verifier may ask for; more would let a user stall a login.
const ITERATIONS_MAX: u32 = 1_000_000;
/// Longest password in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

const MECHANISM: &str = "SCRAM-SHA-256";

/// What the server keeps instead of a password.
#[derive(Clone, PartialEq, Eq)]
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
    /// The verifier of a password. Takes milliseconds.
    pub fn new(password: &str, salt: &[u8], iterations: u32) -> Verifier {
        let salted = salted_password(password, salt, iterations);
        Verifier {
            iterations,
            salt: salt.to_vec(),
            stored_key: Sha256::digest(hmac(&salted, b"Client Key")).into(),
            server_key: hmac(&salted, b"Server Key"),
            accepts: true,
        }
    }

    /// What an unknown user is answered: the same salt for the same name every time, and no
    /// proof that fits, so that asking tells nothing about which users exist.
    pub fn mock(user: &str, secret: &[u8; 32]) -> Verifier {
        let salt = hmac(secret, user.as_bytes());
        Verifier {
            iterations: ITERATIONS,
            salt: salt[..SALT_BYTES].to_vec(),
            stored_key: hmac(secret, &salt),
            server_key: hmac(secret, b"Server Key"),
            accepts: false,
        }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Verifier> {
        let rest = text.strip_prefix(MECHANISM)?.strip_prefix('$')?;
        let (iterations, rest) = rest.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations = iterations.parse::<u32>().ok()?;
        let salt = BASE64.decode(salt).ok()?;
        if iterations == 0 || iterations > ITERATIONS_MAX || salt.is_empty() {
            return None;
        }
        Some(Verifier {
            iterations,
            salt,
            stored_key: BASE64.decode(stored_key).ok()?.try_into().ok()?,
            server_key: BASE64.decode(server_key).ok()?.try_into().ok()?,
            accepts: true,
        })
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        format!(
            "{MECHANISM}${}:{}${}:{}",
            self.iterations,
            BASE64.encode(&self.salt),
            BASE64.encode(self.stored_key),
            BASE64.encode(self.server_key)
        )
    }

    /// Checks the client's proof over the exchange's messages; gives the server's signature.
    /// Takes the same time whether the user exists or not.
    pub fn check_proof(&self, auth_message: &[u8], proof: &[u8]) -> Option<[u8; 32]> {
        let signature = hmac(&self.stored_key, auth_message);
        let proof: [u8; 32] = proof.try_into().ok()?;
        let mut client_key = [0; 32];
        for (out, (a, b)) in client_key.iter_mut().zip(proof.iter().zip(signature)) {
            *out = a ^ b;
        }
        let digest: [u8; 32] = Sha256::digest(client_key).into();
        let fits = bool::from(digest.ct_eq(&self.stored_key));
        (fits & self.accepts).then(|| hmac(&self.server_key, auth_message))
    }

    /// Whether the plain password is the right one. Takes milliseconds.
    pub fn check_password(&self, password: &str) -> bool {
        let salted = salted_password(password, &self.salt, self.iterations);
        let stored: [u8; 32] = Sha256::digest(hmac(&salted, b"Client Key")).into();
        bool::from(stored.ct_eq(&self.stored_key)) & self.accepts
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys stay out of logs.
        f.debug_struct("Verifier")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// HMAC-SHA-256.
pub fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// `SaltedPassword` of RFC 5802: PBKDF2 with HMAC-SHA-256, one block.
fn salted_password(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    // A password that SASLprep does not allow is taken as it is, as PostgreSQL does.
    let prepared = stringprep::saslprep(password);
    let mac = keyed(prepared.as_deref().unwrap_or(password).as_bytes());
    let mut first = mac.clone();
    first.update(salt);
    first.update(&1_u32.to_be_bytes());
    let mut block: [u8; 32] = first.finalize().into_bytes().into();
    let mut result = block;
    for _ in 1..iterations {
        let mut next = mac.clone();
        next.update(&block);
        block = next.finalize().into_bytes().into();
        for (out, byte) in result.iter_mut().zip(block) {
            *out ^= byte;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let verifier = Verifier::new("pencil", &salt, 4096);
        let auth_message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = BASE64
            .decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
            .expect("base64");
        let signature = verifier
            .check_proof(auth_message.as_bytes(), &proof)
            .expect("right proof");
        assert_eq!(
            BASE64.encode(signature),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        let mut wrong = proof;
        wrong[0] ^= 1;
        assert_eq!(verifier.check_proof(auth_message.as_bytes(), &wrong), None);
    }

    #[test]
    fn a_verifier_survives_its_text_form() {
        let verifier = Verifier::new("secret", b"0123456789abcdef", 4096);
        let text = verifier.to_text();
        assert_eq!(Verifier::parse(&text).as_ref(), Some(&verifier));
        assert!(verifier.check_password("secret"));
        assert!(!verifier.check_password("Secret"));
        for broken in [
            "",
            "md5abc",
            "SCRAM-SHA-256$0:YQ==$YQ==:YQ==",
            &text[..text.len() - 3],
        ] {
            assert_eq!(Verifier::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_mock_verifier_is_stable_and_accepts_nothing() {
        let secret = [7; 32];
        let mock = Verifier::mock("nobody", &secret);
        assert_eq!(mock, Verifier::mock("nobody", &secret));
        assert_ne!(mock.salt, Verifier::mock("somebody", &secret).salt);
        assert!(!mock.check_password(""));
    }
}
