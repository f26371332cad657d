//! What the health routes ask the rest of the program.

/// Answer of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Pass,
    /// It works, but somebody should look. The text is for the log and for signed-in users.
    Warn(String),
    /// It does not work.
    Fail(String),
}

impl Status {
    /// The word of the health+json draft.
    pub fn as_str(&self) -> &'static str {
        match self {
            Status::Pass => "pass",
            Status::Warn(_) => "warn",
            Status::Fail(_) => "fail",
        }
    }

    /// What the metric `tessera_health_status_ratio` shows.
    pub fn ratio(&self) -> f64 {
        match self {
            Status::Pass => 1.0,
            Status::Warn(_) => 0.5,
            Status::Fail(_) => 0.0,
        }
    }
}

/// Knows how the server is. Implementations answer at once, from what they know already.
pub trait HealthSource: Send + Sync {
    /// Whether statements that write are accepted.
    fn ready(&self) -> Status;

    /// Whether the start, with its recovery, is over.
    fn started(&self) -> Status;
}
