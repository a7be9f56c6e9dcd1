//! A target that is no clone: may its role read all of it, and nothing else?

use super::{graded, place, print, settings, typed, way};
use crate::event::{Failure, Identity};
use crate::name::quote::ident;
use crate::plan::{Access, ReaderPolicy, Target};
use crate::target::{Door, Grade, Isolation, Power, Reader, Tx, Unseen, Url, identify, powers, secured, unseen};

/// A rollout may not write the approvals, so it cannot lock them; this function only locks.
const HOLD: &str =
    "  approvals cannot be held while a packet is applied; once, as their owner (APPROVALS is their table):
    CREATE SCHEMA engine_gate;
    CREATE FUNCTION engine_gate.hold() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
        AS 'BEGIN LOCK TABLE public.APPROVALS IN SHARE MODE; END';
    REVOKE ALL ON FUNCTION engine_gate.hold() FROM PUBLIC;
    GRANT USAGE ON SCHEMA engine_gate TO ROLLOUT_ROLE;
    GRANT EXECUTE ON FUNCTION engine_gate.hold() TO ROLLOUT_ROLE;
";

/// To whom CONNECT is granted besides the roles that somebody named.
const OPEN: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_database AS d, \
    pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) AS a \
    WHERE d.datname = pg_catalog.current_database() AND a.grantee = 0 AND a.privilege_type = 'CONNECT')";

/// Looked up in the catalog: to name a function of a schema one needs a right on the schema.
const CAN_HOLD: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc AS p \
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace \
    WHERE n.nspname = 'engine_gate' AND p.proname = 'hold' AND p.pronargs = 0)";

/// Prints all about it. Is it right as it is?
pub(super) async fn examined(target: &Target) -> Result<bool, Failure> {
    let name = &target.name.value;
    let reader = Reader::new(Door::new(name, &Url::of(target)?, None, &settings(true))?);
    let tx = reader.begin("examination", Isolation::Snapshot).await?;
    let (seen, tls) = (Seen::read(&tx).await?, secured(&tx).await?);
    tx.finish().await?;
    print(&format!("  {}\n", place(&seen.identity)));
    print(&way(tls.as_deref(), reader.door()));
    let standby = if seen.identity.in_recovery { ", on a standby, where nobody can write" } else { "" };
    print(&format!("  as {}{standby}\n", seen.identity.session_user));
    let right = match target.access {
        Access::Read => seen.as_reader(target.reader),
        Access::Write => seen.as_writer(!target.gates.is_empty()),
    };
    Ok(seen.shut() && right)
}

/// What the catalog says of a target and our role there.
struct Seen {
    identity: Identity,
    powers: Vec<Power>,
    unseen: Vec<Unseen>,
    open: bool,
    can_hold: bool,
}

impl Seen {
    async fn read(tx: &Tx) -> Result<Seen, Failure> {
        let identity = identify(tx).await?;
        let powers = powers(tx, &identity.session_user).await?;
        Ok(Seen {
            identity,
            powers,
            unseen: unseen(tx).await?,
            open: tx.query_one(OPEN, &[]).await?.get(0),
            can_hold: tx.query_one(CAN_HOLD, &[]).await?.get(0),
        })
    }

    fn as_reader(&self, policy: ReaderPolicy) -> bool {
        graded(&self.powers);
        for Unseen { kind, name, .. } in &self.unseen {
            print(&format!("  cannot read {name} ({kind})\n"));
        }
        let (listed, refused): (Vec<&Power>, Vec<&Power>) =
            self.powers.iter().partition(|power| power.grade == Grade::Listed);
        if refused.iter().any(|power| power.what.starts_with("owns database ") && power.remedy.is_none()) {
            self.another_role();
        } else {
            let taken = refused.iter().filter_map(|power| power.remedy.as_ref());
            let given = self.unseen.iter().filter_map(|found| found.remedy.as_ref());
            typed(
                "to make it a reader, as the owner of each or a superuser; then ask doctor again:",
                taken.chain(given),
            );
            // Given to another owner, a view or such a function would work with that owner's rights for whoever may use it.
            for power in refused.iter().filter(|power| power.remedy.is_none()) {
                print(&format!("  by hand, after a look at what it does: it {}\n", power.what));
            }
        }
        let closing = listed.iter().filter_map(|power| power.remedy.as_ref());
        typed("what is only listed is taken away by (from PUBLIC: from everybody else as well):", closing);
        if !refused.is_empty() && policy == ReaderPolicy::Attested {
            print("  the plan says reader = \"attested\": the run goes on, and its evidence lists these powers\n");
        }
        refused.is_empty() && self.unseen.is_empty()
    }

    /// The owner of a database, or of all in it, cannot be made a reader: somebody else has to read.
    fn another_role(&self) {
        let database = ident(&self.identity.database).unwrap_or_default();
        print(&format!(
            "  the owner of a database is no reader of it; as a superuser, make one and name it in the connection string:
    CREATE ROLE engine_reader LOGIN;
    GRANT pg_read_all_data TO engine_reader;
    GRANT CONNECT ON DATABASE {database} TO engine_reader;
"
        ));
    }

    fn as_writer(&self, gated: bool) -> bool {
        let (above, rest): (Vec<&Power>, Vec<&Power>) =
            self.powers.iter().partition(|power| power.grade == Grade::Above);
        graded(&above.iter().copied().cloned().collect::<Vec<Power>>());
        print(&format!("  that role may write here: {} powers, which a rollout needs some of\n", rest.len()));
        typed(
            "a writer needs no power above all rights; as a superuser:",
            above.iter().filter_map(|p| p.remedy.as_ref()),
        );
        let unheld = gated && !self.can_hold;
        if unheld {
            print(HOLD);
        }
        above.is_empty() && !unheld
    }

    /// In one server everybody may connect to every database, unless somebody says no.
    fn shut(&self) -> bool {
        if self.open {
            let database = ident(&self.identity.database).unwrap_or_default();
            print(&format!(
                "  everybody may connect; once, as the owner of {database} (then GRANT it to your own roles that need it):
    REVOKE CONNECT ON DATABASE {database} FROM PUBLIC;
"
            ));
        }
        !self.open
    }
}
