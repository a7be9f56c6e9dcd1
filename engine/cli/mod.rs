//! The command line: clap definitions, and a verb's exit code. What a verb does is in `command`.

use crate::command::{self, PlanArgs, ended};
use crate::event::Exit;
use crate::fingerprint::Level;
use crate::run::Resumption;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A declarative workflow engine for PostgreSQL: clone, prove, rehearse, seal, ask.
#[derive(Debug, Parser)]
#[command(name = "engine", version, about, max_term_width = 100)]
struct Cli {
    /// Keep and find runs in this PostgreSQL database, which several machines can share: env:NAME or file:PATH, where
    /// the connection string is, or the string itself [default: the variable ENGINE_JOURNAL, else .engine/runs]
    #[arg(long, global = true, value_name = "URL")]
    journal: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check plans offline: parse, types, names, DAG, templates, SQL, lock; all problems in one go
    Check {
        /// Plan files
        #[arg(required = true)]
        plans: Vec<PathBuf>,
        #[command(flatten)]
        vars: Vars,
        /// How problems are told: drawn, as JSON lines, as annotations of GitHub Actions, as one SARIF log
        #[arg(long, value_enum, default_value = "text")]
        format: command::check::Form,
        /// The same as --format json
        #[arg(long, conflicts_with = "format")]
        json: bool,
    },
    /// Show, read-only, what a plan would do now: identities, readings, guards as they stand
    Plan {
        #[command(flatten)]
        plan: PlanArg,
        /// The preview as one JSON document on stdout
        #[arg(long)]
        json: bool,
        /// Keep the preview in this file; `engine apply FILE` runs exactly that, or says what moved (exit 62)
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// What this probe reads must be the same when the file is applied
        #[arg(long, value_name = "PROBE", requires = "output")]
        pin: Vec<String>,
        /// The same for all probes that can be read before the run
        #[arg(long, requires = "output", conflicts_with = "pin")]
        pin_all: bool,
    },
    /// Write the lock: the exact SQL of every stage under sql/<plan>/
    Render {
        #[command(flatten)]
        plan: PlanArg,
        /// Only say whether the lock is fresh (exit 11 when it is not)
        #[arg(long)]
        check: bool,
    },
    /// Lay plan files out in the one layout; comments and order stay
    Fmt {
        /// Plan files
        #[arg(required = true)]
        plans: Vec<PathBuf>,
        /// Only say which are not laid out (exit 11)
        #[arg(long)]
        check: bool,
        /// Print the one plan laid out, and write nothing: a `textconv` for git
        #[arg(long, conflicts_with = "check")]
        stdout: bool,
    },
    /// What a change of plans means, riskiest first (exit 21 when the risk is raised, 20 when they differ)
    Diff {
        /// The old plan or folder of plans; or a revision of git, `REVISION:PATH`, or `A..B`; with --staged the path
        old: String,
        /// The new one; beside a revision or `A..B` the path in it
        #[arg(required_unless_present = "staged", conflicts_with = "staged")]
        new: Option<String>,
        /// Compare what is staged in git with HEAD
        #[arg(long)]
        staged: bool,
        #[command(flatten)]
        vars: Vars,
        /// What to draw it as
        #[arg(long, value_enum, default_value = "text")]
        format: command::diff::Form,
        /// The same as --format json
        #[arg(long)]
        json: bool,
    },
    /// Draw the plan's graph
    Graph {
        #[command(flatten)]
        plan: PlanArg,
        /// What to draw it as
        #[arg(long, value_enum, default_value = "text")]
        format: command::graph::Form,
        /// Colour what became of each stage since this plan: a file, or a revision of git
        #[arg(long, value_name = "OLD")]
        diff: Option<String>,
    },
    /// Examine the targets: reachable, as whom, with which powers, and the GRANTs that make it right
    Doctor {
        #[command(flatten)]
        plan: PlanArg,
    },
    /// Apply a plan, or a preview that `engine plan -o FILE` kept
    Apply {
        #[command(flatten)]
        plan: PlanArg,
        /// Stop after this stage (and all it needs)
        #[arg(long, value_name = "STAGE")]
        until: Option<String>,
        /// Refuse unless the lock under sql/<plan>/ is what would run (exit 11) [default where nobody is at a terminal]
        #[arg(long)]
        locked: bool,
        /// Run without a lock, or with one that is stale, where nobody is at a terminal
        #[arg(long, conflicts_with = "locked")]
        unlocked: bool,
        /// Most stages at work at a time
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
        jobs: u16,
        /// Do not ask (nothing asks today; for scripts that will outlive that)
        #[arg(long)]
        yes: bool,
        /// Drop this plan's own unused clone of that name first
        #[arg(long)]
        replace: bool,
        /// Run on a throw-away PostgreSQL with the sample production
        #[arg(long)]
        sandbox: bool,
        /// Events as JSON lines on stdout
        #[arg(long)]
        json: bool,
    },
    /// Continue a run from its journal
    Resume {
        /// Any unique prefix of a run id, or `latest`
        #[arg(default_value = "latest")]
        run: String,
        /// Stages that are not committed yet may differ from what the run began with
        #[arg(long)]
        accept_changes: bool,
        /// The shared journal may be elsewhere than its last line was written: no line was lost
        #[arg(long)]
        accept_journal: bool,
        /// Stop before anything that depends on this stage
        #[arg(long, value_name = "STAGE")]
        until: Option<String>,
        /// Most stages at work at a time
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
        jobs: u16,
        /// Events as JSON lines on stdout
        #[arg(long)]
        json: bool,
    },
    /// Undo a run's committed stages on its clone, last one first; never on a target that is no clone
    Rollback {
        /// Any unique prefix of a run id, or `latest`
        run: String,
        /// Back to this stage, and not over it
        #[arg(long, value_name = "STAGE")]
        to: Option<String>,
        /// Stages that are not committed may differ from what the run began with
        #[arg(long)]
        accept_changes: bool,
        /// The shared journal may be elsewhere than its last line was written: no line was lost
        #[arg(long)]
        accept_journal: bool,
        /// Events as JSON lines on stdout
        #[arg(long)]
        json: bool,
    },
    /// Show where a run stands
    Status {
        /// Any unique prefix of a run id, or `latest`
        #[arg(default_value = "latest")]
        run: String,
    },
    /// List the runs of this directory, or of the shared journal
    Runs {
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Show a run, or one of its stages: SQL, readings, proofs, timings
    Show {
        /// Any unique prefix of a run id, or `latest`
        run: String,
        /// A stage of it
        stage: Option<String>,
        /// Its events as JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Verify a run's journal and files, or a sealed packet
    Verify {
        /// A run, a packet's id or its folder
        what: String,
    },
    /// Take the fingerprint of a database, read-only; compare it with a stored one or another database
    Fingerprint(Box<FingerprintArg>),
    /// Which tables cannot have changed since an earlier look, at about the price of `count(*)`, read-only
    Watermark {
        /// The database: env:NAME or file:PATH, where the connection string is, or the string itself
        url: String,
        /// What the watermark in this file proves now (exit 20 when something may have changed)
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// Keep a new watermark in this file
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Findings as JSON lines on stdout
        #[arg(long)]
        json: bool,
    },
    /// Drop the databases a run made (and no other), or the golden copies of a plan
    Drop {
        /// Any unique prefix of a run id, or `latest`
        #[arg(required_unless_present = "golden")]
        run: Option<String>,
        /// Drop the golden copies that this plan names instead, and their states
        #[arg(long, value_name = "PLAN", conflicts_with = "run")]
        golden: Option<PathBuf>,
        #[command(flatten)]
        vars: Vars,
    },
    /// Drop clones that have expired and that nobody uses, on the servers where a plan makes its clones
    Gc {
        #[command(flatten)]
        plan: PlanArg,
        /// Only say what would be dropped
        #[arg(long)]
        dry_run: bool,
        /// JSON lines on stdout
        #[arg(long)]
        json: bool,
    },
    /// A throw-away local PostgreSQL with the sample productions; it vanishes with this process
    Sandbox {
        /// Run this with the sandbox's environment, and end with it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Clone, Debug, Args)]
struct FingerprintArg {
    /// The database: env:NAME or file:PATH, where the connection string is, or the string itself
    url: String,
    /// Compare with this: a stored fingerprint, or another database (exit 20 when they differ)
    #[arg(long, value_name = "FILE|URL")]
    against: Option<String>,
    /// How deep to look [default: that of the stored fingerprint, else content]
    #[arg(long, value_enum)]
    level: Option<Depth>,
    /// Sessions that read at a time; two databases share them [default: the number of processors]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Read the rows of this table, and of no table that is not named so
    #[arg(long, value_name = "TABLE")]
    include: Vec<String>,
    /// Do not read the rows of this table
    #[arg(long, value_name = "TABLE")]
    exclude: Vec<String>,
    /// Keep the fingerprint in this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// List up to N differing rows of each table, against another database. Rows can hold personal data
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rows: Option<u16>,
    /// URL is a clone of `--against`: compare through the masks a clone needs
    #[arg(long)]
    clone: bool,
    /// With --clone: whose objects belong to whom in the clone [default: as its run wrote down, or all to one role]
    #[arg(long = "owner", value_name = "FROM=TO", value_parser = owner)]
    owners: Vec<(String, String)>,
    /// With --clone: what the clone does without, as in "extension x" or "table public.t"
    #[arg(long = "left-out", value_name = "OBJECT")]
    left_out: Vec<String>,
    /// Findings as JSON lines on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Depth {
    Schema,
    Counts,
    Content,
}

fn owner(text: &str) -> Result<(String, String), String> {
    let (from, to) = text.split_once('=').ok_or("write PRODUCTION_ROLE=CLONE_ROLE")?;
    Ok((from.to_owned(), to.to_owned()))
}

impl From<FingerprintArg> for command::fingerprint::Args {
    fn from(arg: FingerprintArg) -> command::fingerprint::Args {
        let level = arg.level.map(|depth| match depth {
            Depth::Schema => Level::Schema,
            Depth::Counts => Level::Counts,
            Depth::Content => Level::Content,
        });
        let FingerprintArg { url, against, jobs, include, exclude, output, clone, owners, left_out, json, .. } = arg;
        let rows = arg.rows.map(usize::from);
        let processors = || std::thread::available_parallelism().map_or(1, usize::from).min(64);
        let jobs = jobs.unwrap_or_else(|| u16::try_from(processors()).unwrap_or(1));
        command::fingerprint::Args {
            url,
            against,
            level,
            jobs,
            include,
            exclude,
            output,
            rows,
            clone,
            owners,
            left_out,
            json,
            journal: None,
        }
    }
}

#[derive(Clone, Debug, Args)]
struct PlanArg {
    /// The plan file, as in plans/clone_a_to_g.toml
    plan: PathBuf,
    #[command(flatten)]
    vars: Vars,
}

#[derive(Clone, Debug, Args)]
struct Vars {
    /// A variable's value
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair)]
    vars: Vec<(String, String)>,
    /// A TOML file of variables
    #[arg(long, value_name = "FILE")]
    vars_file: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl From<PlanArg> for PlanArgs {
    fn from(arg: PlanArg) -> PlanArgs {
        PlanArgs { plan: arg.plan, vars: arg.vars.vars, vars_file: arg.vars.vars_file, date: None }
    }
}

/// Parses the command line, runs the verb, answers the exit code.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            command::tell(&format!("failed: no runtime could be started: {error}\n"));
            return Exit::Io;
        }
    };
    let exit = command::written(runtime.block_on(run(cli.verb, cli.journal)));
    // A blocking child of the sandbox must not hold the process back.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    exit
}

async fn run(verb: Verb, journal: Option<String>) -> Exit {
    let home = || command::home(journal.as_deref());
    match verb {
        Verb::Check { plans, vars, format, json } => {
            let plans: Vec<PlanArgs> = plans
                .into_iter()
                .map(|plan| PlanArgs { plan, vars: vars.vars.clone(), vars_file: vars.vars_file.clone(), date: None })
                .collect();
            let form = if json { command::check::Form::Json } else { format };
            ended(command::check::run(&plans, form), form == command::check::Form::Json)
        }
        Verb::Plan { plan, json, output, pin, pin_all } => {
            let args = command::plan::Args { plan: plan.into(), json, output, pin, pin_all };
            ended(Box::pin(command::plan::run(&args)).await, json)
        }
        Verb::Fmt { plans, stdout: true, .. } => {
            ended(plans.iter().try_fold(Exit::Ok, |_, plan| command::fmt::show(plan)), false)
        }
        Verb::Fmt { plans, check, .. } => ended(command::fmt::run(&plans, check), false),
        Verb::Render { plan, check } => ended(command::render::run(&plan.into(), check, false), false),
        Verb::Diff { old, new, staged: _, vars, format, json } => {
            let form = if json { command::diff::Form::Json } else { format };
            let vars = PlanArg { plan: PathBuf::new(), vars }.into();
            let args = command::diff::Args { old, new, vars, form, journal };
            ended(command::diff::run(&args), form == command::diff::Form::Json)
        }
        Verb::Graph { plan, format, diff } => ended(command::graph::run(&plan.into(), format, diff.as_deref()), false),
        Verb::Doctor { plan } => ended(command::doctor::run(&plan.into()).await, false),
        Verb::Apply { plan, until, locked, unlocked, jobs, yes: _, replace, sandbox, json } => {
            let (plan, jobs) = (plan.into(), jobs.into());
            let locked = command::apply::Locked::of(locked, unlocked);
            let args = command::apply::Args { plan, until, locked, jobs, replace, sandbox, json, journal };
            ended(Box::pin(command::apply::run(&args)).await, json)
        }
        Verb::Resume { run, accept_changes, accept_journal, until, jobs, json } => {
            let how = Resumption { accept_changes, accept_journal };
            let args = command::resume::Args { run, how, until, jobs: jobs.into(), json, journal };
            ended(Box::pin(command::resume::run(&args)).await, json)
        }
        Verb::Rollback { run, to, accept_changes, accept_journal, json } => {
            let how = Resumption { accept_changes, accept_journal };
            let args = command::rollback::Args { run, to, how, json, journal };
            ended(Box::pin(command::rollback::run(&args)).await, json)
        }
        Verb::Status { run } => ended(home().and_then(|home| command::status::run(&home, &run)), false),
        Verb::Runs { json } => ended(home().and_then(|home| command::runs::run(&home, json)), json),
        Verb::Show { run, stage, json } => {
            ended(home().and_then(|home| command::show::run(&home, &run, stage.as_deref(), json)), json)
        }
        Verb::Verify { what } => match home() {
            Ok(home) => ended(Box::pin(command::verify::run(&home, &what)).await, false),
            Err(failure) => ended(Err(failure), false),
        },
        Verb::Fingerprint(arg) => {
            let json = arg.json;
            let args = command::fingerprint::Args { journal, ..(*arg).into() };
            ended(Box::pin(command::fingerprint::run(&args)).await, json)
        }
        Verb::Watermark { url, against, output, json } => {
            let args = command::watermark::Args { url, against, output, json };
            ended(command::watermark::run(&args).await, json)
        }
        Verb::Drop { run: Some(run), .. } => match home() {
            Ok(home) => ended(command::drop::run(&home, &run).await, false),
            Err(failure) => ended(Err(failure), false),
        },
        Verb::Drop { run: None, golden, vars } => {
            let plan = PlanArg { plan: golden.unwrap_or_default(), vars };
            ended(command::drop::golden(&plan.into()).await, false)
        }
        Verb::Gc { plan, dry_run, json } => ended(command::gc::run(&plan.into(), dry_run, json).await, json),
        Verb::Sandbox { command } => ended(command::sandbox::run(&command).await, false),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "engine", &mut std::io::stdout());
            Exit::Ok
        }
    }
}
