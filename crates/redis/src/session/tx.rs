//! TX.BEGIN and its kin: a transaction that stays open between commands, and that sessions of any
//! protocol may join.

use tessera_transactions::{Isolation, Status, Transaction};

use super::{Commit, Flow, Hashes, Result, Session};
use crate::fault::{Fault, SYNTAX};
use crate::reply::Reply;
use crate::request::Request;

const NO_TRANSACTION: Fault = Fault::Static("ERR no transaction is open");

/// The transaction that a client's commands belong to.
pub(super) struct Open {
    txn: Transaction,
    /// The client began it: it ends with the connection.
    is_own: bool,
}

impl Open {
    /// The transaction, unless an error has made it useless.
    pub(super) fn usable(&self) -> Result<Transaction> {
        if self.txn.is_failed() {
            return Err(Fault::Static(
                "ERR current transaction is aborted, commands ignored until TX.ROLLBACK \
                 (SQLSTATE 25P02)",
            ));
        }
        Ok(self.txn.clone())
    }

    /// The client is gone.
    pub(super) fn abandon(self) {
        if self.is_own {
            self.txn.rollback();
        }
    }
}

impl Session {
    /// A statement of the open transaction failed and is undone. One that lost a conflict cannot
    /// go on; one that was ended elsewhere is forgotten.
    pub(super) fn note_failure(&mut self, txn: &Transaction, fault: &Fault) {
        if fault.is_retryable() {
            txn.set_failed(true);
        }
        if txn.status() != Status::Active {
            self.open = None;
        }
    }

    /// A lost conflict in the words of the schema: the other side may be at another door.
    pub(super) fn explained(&self, txn: &Transaction, fault: Fault) -> Fault {
        match (fault, &self.login) {
            (Fault::Transaction(error), Some(login)) => {
                Fault::Report(self.hub.door.explain(login, txn, error.report()))
            }
            (fault, _) => fault,
        }
    }

    fn check_none_open(&self) -> Result<()> {
        match &self.open {
            Some(open) if open.txn.status() == Status::Active => {
                Err(Fault::Static("ERR a transaction is already open"))
            }
            _ => Ok(()),
        }
    }

    /// TX.BEGIN [READ COMMITTED | REPEATABLE READ | SERIALIZABLE]
    pub(super) fn tx_begin(&mut self, request: &Request, reply: &mut Reply) -> Result<()> {
        self.check_none_open()?;
        let words: Vec<String> = request
            .from(1)
            .iter()
            .map(|word| String::from_utf8_lossy(word).to_lowercase())
            .collect();
        let isolation = match words.join(" ").replace(['-', '_'], " ").as_str() {
            "" => None,
            "read committed" => Some(Isolation::ReadCommitted),
            "repeatable read" => Some(Isolation::RepeatableRead),
            "serializable" => Some(Isolation::Serializable),
            _ => return Err(SYNTAX),
        };
        let login = self.login.as_ref().ok_or(super::login::NO_AUTH)?;
        let txn = self.hub.door.begin(login, isolation)?;
        self.open = Some(Open { txn, is_own: true });
        reply.ok();
        Ok(())
    }

    /// TX.JOIN token
    pub(super) fn tx_join(&mut self, request: &Request, reply: &mut Reply) -> Result<()> {
        self.check_none_open()?;
        let login = self.login.as_ref().ok_or(super::login::NO_AUTH)?;
        let token = std::str::from_utf8(request.arg(1)).unwrap_or_default();
        let txn = self.hub.door.join(login, token)?;
        self.open = Some(Open { txn, is_own: false });
        reply.ok();
        Ok(())
    }

    /// TX.TOKEN
    pub(super) fn tx_token(&mut self, reply: &mut Reply) -> Result<()> {
        let open = self.open.as_ref().ok_or(NO_TRANSACTION)?;
        let login = self.login.as_ref().ok_or(super::login::NO_AUTH)?;
        reply.bulk(self.hub.door.token(login, &open.txn)?);
        Ok(())
    }

    /// TX.COMMIT
    pub(super) fn tx_commit(&mut self, reply: &mut Reply) -> Result<Flow> {
        let open = self.open.take().ok_or(NO_TRANSACTION)?;
        let txn = open.txn;
        if txn.is_failed() {
            txn.rollback();
            return Err(Fault::Static(
                "EXECABORT Transaction rolled back because of previous errors.",
            ));
        }
        reply.ok();
        Ok(Flow::Commit(Commit {
            work: Box::pin(async move { txn.commit().await }),
            keys: Hashes::new(),
            is_alone: true,
        }))
    }

    /// TX.ROLLBACK
    pub(super) fn tx_rollback(&mut self, reply: &mut Reply) -> Result<()> {
        let open = self.open.take().ok_or(NO_TRANSACTION)?;
        open.txn.rollback();
        reply.ok();
        Ok(())
    }
}
