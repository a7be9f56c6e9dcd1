//! What others write between forward and rollback must survive the rollback.
//!
//! Traffic on the baseline, and forward, traffic, rollback, must come to the same content. Sequences are not compared:
//! in the second case the stages drew from them before.

use super::steps::{Steps, committed};
use crate::event::{Event, Exit, Failure};
use crate::fingerprint::{self, Fingerprint};
use crate::proof::{Script, forward, measure};
use crate::target::WriteTx;

impl Steps<'_> {
    /// What the copy would hold, had only the traffic been there. Rolled back.
    pub(super) async fn traffic_alone(&self, traffic: &Script) -> Result<Fingerprint, Failure> {
        self.say("the traffic alone");
        let before = self.sequences().await?;
        let tx = self.copy.writer.session("traffic on the baseline").await?;
        let found = match self.traffic(&tx, traffic, "on the baseline").await {
            Ok(()) => fingerprint::take(&tx, &self.stage.scope()).await,
            Err(failure) => Err(failure),
        };
        tx.rollback().await;
        self.put_back(&measure::moved(&before, &self.sequences().await?)).await?;
        Ok(Fingerprint { sequences: Vec::new(), ..found? })
    }

    /// Traffic after the way forward, the way back, and what is left of it.
    pub(super) async fn traffic_and_back(&self, traffic: &Script, undisturbed: &Fingerprint) -> Result<(), Failure> {
        self.say("the traffic, then the way back");
        let tx = self.copy.writer.session("traffic before the rollback").await?;
        let sent = self.traffic(&tx, traffic, "before the rollback").await;
        let xid = match sent {
            Ok(()) => tx.xid().await,
            Err(failure) => Err(failure),
        };
        let xid = match xid {
            Ok(xid) => xid,
            Err(failure) => {
                tx.rollback().await;
                return Err(failure);
            }
        };
        committed("COMMIT of the traffic in the rehearsal", tx.commit(xid.as_deref()).await)?;
        self.back(false).await?;
        let tx = self.copy.writer.session("what is left of the traffic").await?;
        tx.begin(self.stage.head.timeout, self.stage.head.lock_timeout).await?;
        let found = fingerprint::take(&tx, &self.stage.scope()).await;
        tx.rollback().await;
        let found = Fingerprint { sequences: Vec::new(), ..found? };
        let label = "what the traffic wrote before the rollback, and the same traffic without any stage";
        self.compare(undisturbed, &found, label).map_err(|mut failure| {
            "the rollback does not leave what others wrote meanwhile as it is".clone_into(&mut failure.what);
            failure.next("either", "a rollback that only takes back what its stage wrote")
        })
    }

    async fn traffic(&self, tx: &WriteTx, traffic: &Script, when: &str) -> Result<(), Failure> {
        tx.begin(self.stage.head.timeout, self.stage.head.lock_timeout).await?;
        forward::settle(tx, &self.cx.settings()).await?;
        let before = measure::before(tx, true).await?;
        let ran = forward::run(tx, traffic, &before, None).await.map_err(|mut failure| {
            failure.what = format!("the traffic {when} failed: {}", failure.what);
            failure.exit = Exit::ProofFailed;
            failure
        })?;
        if ran.delta.is_nothing() {
            return Err(Failure::new(Exit::ProofFailed, format!("the traffic {when} wrote nothing"))
                .fact(format!("{}, {} statements, 0 row changes", traffic.template, ran.statements.len()))
                .fact("nothing that could be lost is no proof that nothing is lost"));
        }
        let (stage, purpose) = (self.stage.head.name.clone(), format!("rehearsal: traffic {when}"));
        let writes = crate::proof::bounds::Resolved::default().writes(&ran.delta);
        self.cx.record(ran.measured(&stage, &purpose, writes))?;
        self.cx.record(Event::Statements { stage, purpose, statements: ran.statements })
    }
}
