//! A production of a handful of rows, and plans over it that are put together in a test.

use super::{Bench, Outcome};
use engine::sandbox::Server;

/// What is there, owned by `shop_owner`, who also rolls out; `ok` is the gate's table and only a superuser's.
const TABLES: &str = "
CREATE TABLE ok (id int);
GRANT SELECT ON ok TO shop_owner;
SET ROLE shop_owner;
CREATE SCHEMA gov;
CREATE TABLE gov.approvals (id int);
INSERT INTO gov.approvals VALUES (1);
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT n, 'v' FROM generate_series(1, 5) AS n;
CREATE TABLE u (id int PRIMARY KEY, v text);
";

const GRANTS: &str = "
RESET ROLE;
GRANT USAGE ON SCHEMA gov TO engine_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public, gov TO engine_reader;
";

/// The plan that [`Bench::mini_plan`] writes.
pub const MINI: &str = "plans/mini.toml";

/// What rolls its packets out.
pub const MINI_ROLLOUT: &str = "plans/mini_rollout.toml";

/// A rehearsal after `needs`, a look at production and a packet of `of`.
pub fn to_the_packet(needs: &str, of: &str, done_when: &str) -> String {
    format!(
        r#"
[stage.r]
kind = "rehearse"
on = "clone"
needs = [{needs}]
baseline = "base"
no_guard = "none"
[stage.impact]
kind = "fingerprint"
on = "production"
needs = ["r"]
equals = "pre"
no_guard = "none"
[stage.pk]
kind = "packet"
for = "production"
needs = ["impact"]
of = [{of}]
done_when = "{done_when}"
no_guard = "none"
"#
    )
}

/// A rehearsal after `needs`, with more keys.
pub fn to_the_rehearsal(needs: &str, more: &str) -> String {
    format!(
        "[stage.r]\nkind = \"rehearse\"\non = \"clone\"\nneeds = [{needs}]\nbaseline = \"base\"\nno_guard = \"none\"\n{more}\n"
    )
}

impl Bench {
    /// A bench with the tables above and what `more` makes, as `shop_owner`.
    pub fn mini(name: &str, more: &str) -> Bench {
        let bench = Bench::shop(name);
        bench.psql(bench.production(), "DROP SCHEMA shop CASCADE");
        bench.with_mini(more)
    }

    /// The same on a server of one's own.
    pub fn mini_on(server: &'static Server, name: &str, more: &str) -> Bench {
        Bench::bare_on(server, server, name, "").with_mini(more)
    }

    fn with_mini(mut self, more: &str) -> Bench {
        let bench = &mut self;
        bench.psql(bench.production(), &format!("{TABLES}{more};{GRANTS}"));
        bench.set("MINI_WRITER_URL", &bench.url("shop_owner", bench.production()));
        for target in ["production", "elsewhere"] {
            let file = if target == "production" { MINI_ROLLOUT.to_owned() } else { format!("plans/{target}.toml") };
            let plan = format!(
                r#"engine = 1
[var.packet]
type = "packet"
default = "latest"
[target.{target}]
url = "env:MINI_WRITER_URL"
access = "write"
gate.open = "oks >= 1"
[probe.oks]
on = "{target}"
sql = "SELECT count(*) FROM public.ok"
[stage.go_{target}]
kind = "rollout"
on = "{target}"
needs = []
packet = "{{{{ packet }}}}"
no_guard = "the packet brings its own"
"#
            );
            bench.write(&file, &plan);
        }
        self
    }

    /// Writes a plan that makes a clone and fingerprints both (`pre`, `clone`, `base`); `stages` and probes follow.
    pub fn mini_plan(&self, stages: &str) {
        self.mini_plan_with("", "", stages);
    }

    /// The same with more keys of the two targets.
    pub fn mini_plan_with(&self, production: &str, clone: &str, stages: &str) {
        let database = self.clone_name();
        let plan = format!(
            r#"engine = 1
[plan]
name = "mini"
search_path = "public, gov"
[target.production]
url = "env:SHOP_PRODUCTION_URL"
access = "read"
never = ["approvals"]
gate.open = "oks >= 1"
{production}
[target.clone]
clone_of = "production"
database = "{database}"
url = "env:SHOP_CLONE_URL"
maker_url = "env:SHOP_CLONE_MAKER_URL"
{clone}
[probe.oks]
on = "production"
sql = "SELECT count(*) FROM public.ok"
[probe.ts]
on = "clone"
sql = "SELECT count(*) FROM public.t"
[probe.us]
on = "clone"
sql = "SELECT count(*) FROM public.u"
[defaults]
timeout = "2m"
lock_timeout = "1m"
[stage.pre]
kind = "fingerprint"
on = "production"
needs = []
no_guard = "none"
[stage.clone]
kind = "clone"
on = "clone"
needs = ["pre"]
no_guard = "none"
[stage.base]
kind = "fingerprint"
on = "clone"
needs = ["clone"]
equals = "clone"
no_guard = "none"
{stages}"#
        );
        self.write(MINI, &plan);
    }

    /// Writes the templates of a `sql` stage; the stage itself, with the keys of `more` and what follows them.
    pub fn mini_stage(&self, name: &str, needs: &str, more: &str, sql: &str, rollback: Option<&str>) -> String {
        self.write(&format!("templates/mini/{name}.sql"), &format!("{sql};\n"));
        let back = rollback.map_or("no_rollback = \"none\"".to_owned(), |text| {
            self.write(&format!("templates/mini/{name}.rollback.sql"), &format!("{text};\n"));
            format!("rollback = \"mini/{name}.rollback.sql\"")
        });
        let guard = if more.contains("guard.") { "" } else { "no_guard = \"none\"" };
        format!(
            "[stage.{name}]\non = \"clone\"\nneeds = [{needs}]\nfile = \"mini/{name}.sql\"\n{back}\n{guard}\n{more}\n"
        )
    }

    /// Applies that plan.
    pub fn mini_apply(&self, more: &[&str]) -> Outcome {
        self.engine(&[&["apply", MINI], more].concat())
    }
}
