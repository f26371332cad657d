//! Plain passwords, as HTTP and Redis send them.
//!
//! Computing a verifier takes milliseconds on purpose, which is much for every request of a
//! client that logs in by each. So a password that was right is remembered for a while: not
//! itself, but a keyed hash of it together with the user's verifier, so that a new password makes
//! the old one forgotten.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tessera_environment::Random;
use tessera_types::{Report, codes};
use tokio::sync::Semaphore;

use crate::engine::Engine;
use crate::scram::{PASSWORD_BYTES_MAX, Verifier, hmac};

/// Passwords remembered; beyond that the memory starts anew.
const REMEMBERED_MAX: usize = 1_024;
/// For so long after it was checked.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// Verifiers computed at one time: guessing must not take all threads.
const CHECKS_MAX: usize = 4;

/// Passwords that were right lately.
pub(super) struct Passwords {
    secret: [u8; 32],
    right: Mutex<HashMap<[u8; 32], Instant>>,
    checks: Semaphore,
}

impl Passwords {
    pub(super) fn new(random: &std::sync::Arc<dyn Random>) -> Passwords {
        let mut secret = [0; 32];
        random.fill(&mut secret);
        Passwords {
            secret,
            right: Mutex::default(),
            checks: Semaphore::new(CHECKS_MAX),
        }
    }

    fn fingerprint(&self, user: &str, verifier: &Verifier, password: &str) -> [u8; 32] {
        let mut message = Vec::with_capacity(64 + user.len() + password.len());
        message.extend_from_slice(&verifier.stored_key);
        message.extend_from_slice(&(user.len() as u64).to_be_bytes());
        message.extend_from_slice(user.as_bytes());
        message.extend_from_slice(password.as_bytes());
        hmac(&self.secret, &message)
    }

    fn knows(&self, fingerprint: &[u8; 32]) -> bool {
        let right = self.right.lock();
        let checked_at = right.get(fingerprint);
        checked_at.is_some_and(|at| at.elapsed() < REMEMBERED_FOR)
    }

    fn remember(&self, fingerprint: [u8; 32]) {
        let mut right = self.right.lock();
        if right.len() >= REMEMBERED_MAX {
            right.clear();
        }
        right.insert(fingerprint, Instant::now());
    }
}

impl Engine {
    /// Checks a plain password away from the network threads. Takes as long for unknown users as
    /// for wrong passwords.
    ///
    /// # Errors
    /// 28P01 unless the user exists, may log in, and the password is right.
    pub async fn authenticate(&self, user: &str, password: &str) -> Result<(), Report> {
        let wrong = || {
            Report::fatal(
                codes::INVALID_PASSWORD,
                format!("password authentication failed for user \"{user}\""),
            )
        };
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(wrong());
        }
        let passwords = &self.shared.models.passwords;
        let verifier = self.verifier(user);
        let fingerprint = passwords.fingerprint(user, &verifier, password);
        if passwords.knows(&fingerprint) {
            return Ok(());
        }
        let Ok(_place) = passwords.checks.acquire().await else {
            return Err(wrong());
        };
        let given = password.to_owned();
        let check = tokio::task::spawn_blocking(move || verifier.check_password(&given));
        let is_right = check
            .await
            .map_err(|_| Report::internal("checking a password was interrupted"))?;
        if !is_right {
            return Err(wrong());
        }
        passwords.remember(fingerprint);
        Ok(())
    }
}
