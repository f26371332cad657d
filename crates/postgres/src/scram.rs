//! The SCRAM-SHA-256 exchange (RFC 5802, RFC 7677), the server's side, without channel binding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tessera_engine::scram::Verifier;
use tessera_types::{Report, codes};

/// The one mechanism offered.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";
/// Bytes of randomness in the server's part of the nonce.
const NONCE_BYTES: usize = 18;

/// An exchange after the client's first message.
#[derive(Debug)]
pub(crate) struct Exchange {
    gs2_header: String,
    client_first_bare: String,
    server_first: String,
    nonce: String,
}

impl Exchange {
    /// Reads the client's first message; gives the exchange and the server's first message.
    ///
    /// The user name in it is ignored: the start-up message's counts, as in PostgreSQL.
    pub(crate) fn begin(client_first: &str, verifier: &Verifier) -> Result<Exchange, Report> {
        let (flag, rest) = client_first.split_once(',').ok_or_else(malformed)?;
        match flag {
            // `y`: the client would bind the channel, but thinks that we cannot. It is right.
            "n" | "y" => {}
            flag if flag.starts_with("p=") => {
                return Err(violation(
                    "client selected channel binding, which is not offered",
                ));
            }
            _ => return Err(malformed()),
        }
        let (authzid, bare) = rest.split_once(',').ok_or_else(malformed)?;
        if !authzid.is_empty() {
            return Err(Report::fatal(
                codes::FEATURE_NOT_SUPPORTED,
                "client uses authorization identity, but it is not supported",
            ));
        }
        let mut attributes = bare.split(',');
        let user = attributes.next().ok_or_else(malformed)?;
        let client_nonce = attributes.next().and_then(|text| text.strip_prefix("r="));
        let client_nonce = client_nonce
            .filter(|nonce| is_printable(nonce))
            .ok_or_else(malformed)?;
        if !user.starts_with("n=") {
            return Err(malformed());
        }
        let mut random = [0; NONCE_BYTES];
        getrandom::fill(&mut random).map_err(|_| {
            Report::fatal(codes::INTERNAL_ERROR, "could not generate a random nonce")
        })?;
        let nonce = format!("{client_nonce}{}", BASE64.encode(random));
        Ok(Exchange {
            gs2_header: format!("{flag},,"),
            client_first_bare: bare.to_owned(),
            server_first: format!(
                "r={nonce},s={},i={}",
                BASE64.encode(&verifier.salt),
                verifier.iterations
            ),
            nonce,
        })
    }

    /// The server's first message.
    pub(crate) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Reads the client's final message. `Some` is the server's final message; `None` means that
    /// the proof is wrong.
    pub(crate) fn finish(
        &self,
        client_final: &str,
        verifier: &Verifier,
    ) -> Result<Option<String>, Report> {
        let (without_proof, proof) = client_final.rsplit_once(",p=").ok_or_else(malformed)?;
        let proof = BASE64.decode(proof).map_err(|_| malformed())?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|text| text.strip_prefix("c="));
        let binding = binding
            .and_then(|text| BASE64.decode(text).ok())
            .ok_or_else(malformed)?;
        if binding != self.gs2_header.as_bytes() {
            return Err(violation(
                "unexpected SCRAM channel-binding attribute in client-final-message",
            ));
        }
        let nonce = attributes.next().and_then(|text| text.strip_prefix("r="));
        if nonce != Some(self.nonce.as_str()) {
            return Err(violation("invalid SCRAM response: nonce does not match"));
        }
        let auth_message = format!(
            "{},{},{without_proof}",
            self.client_first_bare, self.server_first
        );
        let signature = verifier.check_proof(auth_message.as_bytes(), &proof);
        Ok(signature.map(|signature| format!("v={}", BASE64.encode(signature))))
    }
}

fn is_printable(nonce: &str) -> bool {
    !nonce.is_empty()
        && nonce
            .bytes()
            .all(|byte| (0x21..=0x7e).contains(&byte) && byte != b',')
}

fn malformed() -> Report {
    violation("malformed SCRAM message")
}

fn violation(message: &'static str) -> Report {
    Report::fatal(codes::PROTOCOL_VIOLATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_engine::scram::hmac;

    fn verifier() -> Verifier {
        Verifier::new("pencil", b"0123456789abcdef", 4096)
    }

    #[test]
    fn messages_that_are_not_scram_are_refused() {
        for message in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=,r=",
            "n,,r=abc",
            "x,,n=,r=abc",
            "p=tls-unique,,n=,r=a",
            "n,a=bob,n=,r=a",
            "n,,n=,r=a\u{7}",
        ] {
            assert!(Exchange::begin(message, &verifier()).is_err(), "{message}");
        }
        let exchange = Exchange::begin("n,,n=,r=abc", &verifier()).expect("well-formed");
        for message in [
            "",
            "c=biws",
            "c=biws,r=abc,p=AAAA",
            "c=eSws,r=x,p=AAAA",
            "c=biws,r=abc,p=*",
        ] {
            assert!(exchange.finish(message, &verifier()).is_err(), "{message}");
        }
    }

    #[test]
    fn a_wrong_proof_is_no_error_but_no_entry() {
        let verifier = verifier();
        let exchange = Exchange::begin("n,,n=,r=abc", &verifier).expect("well-formed");
        let proof = BASE64.encode(hmac(b"wrong", b"proof"));
        let message = format!("c=biws,r={},p={proof}", exchange.nonce);
        assert_eq!(
            exchange.finish(&message, &verifier).expect("well-formed"),
            None
        );
    }
}
