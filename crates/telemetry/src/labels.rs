//! The closed sets of label values.

/// One or more labels with all their possible values.
pub trait LabelSet: Copy {
    /// Label names.
    const NAMES: &'static [&'static str];
    /// Number of combinations.
    const COUNT: usize;
    /// Place of this combination, below `COUNT`.
    fn index(self) -> usize;
    /// Values of the combination at a place.
    fn values(index: usize) -> Vec<&'static str>;
}

/// A single label, so that tuples can put several together.
pub trait Label: Copy {
    /// Its name.
    const NAME: &'static str;
    /// Its values.
    const VALUES: &'static [&'static str];
    /// Place of this value.
    fn place(self) -> usize;
}

impl<A: Label> LabelSet for A {
    const NAMES: &'static [&'static str] = &[A::NAME];
    const COUNT: usize = A::VALUES.len();

    fn index(self) -> usize {
        self.place()
    }

    fn values(index: usize) -> Vec<&'static str> {
        vec![A::VALUES[index]]
    }
}

impl<A: Label, B: Label> LabelSet for (A, B) {
    const NAMES: &'static [&'static str] = &[A::NAME, B::NAME];
    const COUNT: usize = A::VALUES.len() * B::VALUES.len();

    fn index(self) -> usize {
        self.0.place() * B::VALUES.len() + self.1.place()
    }

    fn values(index: usize) -> Vec<&'static str> {
        vec![
            A::VALUES[index / B::VALUES.len()],
            B::VALUES[index % B::VALUES.len()],
        ]
    }
}

impl<A: Label, B: Label, C: Label> LabelSet for (A, B, C) {
    const NAMES: &'static [&'static str] = &[A::NAME, B::NAME, C::NAME];
    const COUNT: usize = A::VALUES.len() * <(B, C)>::COUNT;

    fn index(self) -> usize {
        self.0.place() * <(B, C)>::COUNT + (self.1, self.2).index()
    }

    fn values(index: usize) -> Vec<&'static str> {
        let mut values = vec![A::VALUES[index / <(B, C)>::COUNT]];
        values.extend(<(B, C)>::values(index % <(B, C)>::COUNT));
        values
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident $label:literal { $($value:ident $text:literal)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $value,)+
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const VALUES: &'static [&'static str] = &[$($text),+];

            fn place(self) -> usize {
                self as usize
            }
        }

        impl $name {
            /// The value as it is exposed.
            pub fn as_str(self) -> &'static str {
                Self::VALUES[self.place()]
            }
        }
    )+};
}

labels! {
    /// A front door.
    Protocol "protocol" { Postgres "postgres" Http "http" Redis "redis" }
    /// What a connection does.
    ConnectionState "state" { Starting "starting" Active "active" Idle "idle" InTransaction "idle_in_transaction" }
    /// How a connection attempt ended.
    ConnectionResult "result" { Accepted "accepted" Limit "limit" Rejected "rejected" Timeout "timeout" Broken "broken" }
    /// How a client proves who it is.
    AuthMethod "method" { Scram "scram" Trust "trust" Password "password" }
    /// Good or not.
    Outcome "result" { Ok "ok" Error "error" }
    /// To or from the client.
    Direction "direction" { In "in" Out "out" }
    /// Messages of the PostgreSQL protocol.
    Message "type" {
        Query "query" Parse "parse" Bind "bind" Describe "describe" Execute "execute" Sync "sync"
        Flush "flush" Close "close" Copy "copy" Password "password" Terminate "terminate" Other "other"
    }
    /// Paths of the HTTP port.
    Route "route" {
        Live "/health/live" Ready "/health/ready" Startup "/health/startup" Metrics "/metrics"
        Version "/api/v1/version" OpenApi "/api/v1/openapi.json" Keys "/api/v1/keys"
        Documents "/api/v1/documents" Sql "/api/v1/sql" Transactions "/api/v1/transactions"
        Tokens "/api/v1/tokens" Index "/" Other "other"
    }
    /// Groups of commands of the Redis protocol.
    CommandClass "class" {
        Generic "generic" String "string" Hash "hash" List "list" Set "set" SortedSet "sorted_set"
        Bitmap "bitmap" HyperLogLog "hyperloglog" Geo "geo" Stream "stream" PubSub "pubsub"
        Transaction "transaction" Connection "connection" Server "server" Other "other"
    }
    /// Methods of HTTP.
    HttpMethod "method" {
        Get "GET" Head "HEAD" Post "POST" Put "PUT" Patch "PATCH" Delete "DELETE" Other "other"
    }
    /// Classes of HTTP status codes.
    HttpCode "code" { Success "2xx" Redirect "3xx" Client "4xx" Server "5xx" }
    /// What a statement does.
    StatementKind "kind" {
        Select "select" Insert "insert" Update "update" Delete "delete" Copy "copy" Ddl "ddl"
        Transaction "transaction" Setting "setting" Other "other"
    }
    /// How a statement was run.
    Path "path" { Fast "fast" Vectorized "vectorized" }
    /// Why a statement was cancelled.
    CancelReason "reason" { Client "client" Timeout "timeout" Shutdown "shutdown" }
    /// How a transaction ended.
    TxnOutcome "outcome" { Committed "committed" RolledBack "rolled_back" Failed "failed" }
    /// What a transaction may see.
    Isolation "isolation" { ReadCommitted "read_committed" RepeatableRead "repeatable_read" Serializable "serializable" }
    /// Lock modes.
    LockMode "mode" { IntentShared "is" IntentExclusive "ix" Shared "s" SharedIntentExclusive "six" Update "u" Exclusive "x" }
    /// How a lock was had.
    LockPath "path" { Fast "fast" Slow "slow" }
    /// What came of a lock request.
    LockResult "result" { Granted "granted" Timeout "timeout" Deadlock "deadlock" Refused "refused" }
    /// What kind of thing is locked.
    ResourceClass "resource_class" { Database "database" Relation "relation" Range "range" Row "row" Advisory "advisory" }
    /// Why a transaction was the victim of a deadlock.
    Victim "policy" { Priority "priority" Cost "cost" Age "age" }
    /// Parts of the store on disk.
    StoragePart "kind" { Log "log" Base "base" Runs "runs" }
    /// Where a checksum did not match.
    ChecksumPlace "kind" { Log "log" Base "base" Run "run" }
    /// Why writers were slowed down.
    StallReason "reason" { RecentFull "recent_full" LogFull "log_full" BaseBusy "base_busy" }
    /// Levels of log records.
    Level "level" { Error "error" Warn "warn" Info "info" Debug "debug" Trace "trace" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_its_own_place() {
        type Set = (StatementKind, Path, Outcome);
        assert_eq!(Set::COUNT, 9 * 2 * 2);
        assert_eq!((StatementKind::Select, Path::Fast, Outcome::Ok).index(), 0);
        let last = (StatementKind::Other, Path::Vectorized, Outcome::Error).index();
        assert_eq!(last, Set::COUNT - 1);
        assert_eq!(Set::values(last), ["other", "vectorized", "error"]);
        let mut all: Vec<_> = (0..Set::COUNT).map(Set::values).collect();
        all.dedup();
        assert_eq!(all.len(), Set::COUNT);
    }
}
