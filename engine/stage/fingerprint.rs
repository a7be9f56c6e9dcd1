//! `fingerprint`: digests a target, and says whether it is what another stage saw.
//!
//! `take` reads a target, `since` compares it with what it was in an earlier stage, `watch` does so after each stage.

mod since;
mod take;
mod watch;

pub(super) use take::taken;
pub use watch::{Looks, look};

use super::{Cx, Done, Head, Kind, Parse, Recovery, Running, Stage, jobs, readings};
use crate::clock::{Stopwatch, show_ms};
use crate::diag::Diagnostic;
use crate::event::{Event, Exit, Failure, Moment};
use crate::fingerprint::{self, Compare, Comparison, Fingerprint, Level, Scope};
use crate::plan::Policy;
use crate::plan::keys::Keys;

/// The kind.
pub static KIND: Kind = Kind {
    name: "fingerprint",
    keys: &["level", "include", "exclude", "equals", "jobs"],
    recovery: Recovery::Repeatable,
    parse,
};

#[derive(Debug)]
struct FingerprintStage {
    head: Head,
    on: String,
    scope: Scope,
    equals: Option<Other>,
    policy: Policy,
    jobs: usize,
    /// Its target is a clone.
    of_clone: bool,
}

/// What it must be equal to.
#[derive(Debug)]
enum Other {
    /// The same target, earlier.
    Earlier(String),
    /// The source of a clone, at the clone's snapshot.
    Source(String),
}

fn parse(head: Head, mut keys: Keys, cx: &mut Parse<'_>) -> Option<Box<dyn Stage>> {
    let on = cx.needs_target(&head)?;
    let level = match keys.text("level", cx.out) {
        None => Level::Content,
        Some(word) => level_of(&word.value).unwrap_or_else(|| {
            cx.out.push(
                Diagnostic::new("fingerprint-level", format!("there is no level `{}`", word.value), word.place)
                    .label("not a level")
                    .help("levels are `schema`, `counts` and `content`"),
            );
            Level::Content
        }),
    };
    let names = |list: Option<Vec<crate::plan::Spot<String>>>| {
        list.unwrap_or_default()
            .into_iter()
            .map(|s| if s.value.contains('.') { s.value } else { format!("public.{}", s.value) })
            .collect()
    };
    let include = names(keys.texts("include", cx.out));
    let exclude = names(keys.texts("exclude", cx.out));
    let equals = keys.text("equals", cx.out).and_then(|other| {
        let (_, built) = cx.upstream_stages(std::slice::from_ref(&other)).pop()?;
        let same = built.head.on.as_deref() == Some(on.as_str());
        match built.head.kind {
            "fingerprint" if same => Some(Other::Earlier(other.value)),
            "clone" if same => Some(Other::Source(other.value)),
            _ => {
                cx.out.push(
                    Diagnostic::new(
                        "equals-what",
                        format!("`{}` took no fingerprint of `{on}`", other.value),
                        other.place,
                    )
                    .label("cannot be compared")
                    .help("name a `fingerprint` stage on the same target, or the `clone` stage that made it"),
                );
                None
            }
        }
    });
    let policy = cx.plan.target(&on).map_or(Policy::Attributed, |t| t.policy);
    let jobs = jobs::of(&mut keys, cx);
    keys.finish(&cx.known(&KIND), cx.out);
    let scope = Scope { level, include, exclude, ignore: Vec::new() };
    let of_clone = cx.plan.target(&on).is_some_and(|target| target.clone_of.is_some());
    Some(Box::new(FingerprintStage { head, on, scope, equals, policy, jobs, of_clone }))
}

fn level_of(word: &str) -> Option<Level> {
    [("schema", Level::Schema), ("counts", Level::Counts), ("content", Level::Content)]
        .into_iter()
        .find_map(|(known, level)| (known == word).then_some(level))
}

impl Stage for FingerprintStage {
    fn head(&self) -> &Head {
        &self.head
    }

    fn promise(&self) -> String {
        format!("{:?} {:?}", self.scope, self.equals)
    }

    fn sees_whole(&self) -> Option<(&str, &'static str)> {
        (self.scope == Scope::all(Level::Content) && !self.of_clone).then_some((self.on.as_str(), "own"))
    }

    fn run<'r>(&'r self, cx: &'r Cx) -> Running<'r> {
        Box::pin(self.go(cx))
    }
}

impl FingerprintStage {
    async fn go(&self, cx: &Cx) -> Result<Done, Failure> {
        let name = self.head.name.as_str();
        let before = readings::guards_outside(cx, &self.head).await?;
        cx.say(name, "reading");
        let watch = Stopwatch::start();
        let reader = cx.targets.reader(&self.on)?;
        let then = match &self.equals {
            Some(Other::Earlier(stage)) => Some(cx.stored_fingerprint(stage, "own")?),
            _ => None,
        };
        let purpose = format!("fingerprint `{name}`");
        let (print, looked) = take::taken_since(cx, &reader, &purpose, &self.scope, self.jobs, then.as_ref()).await?;
        cx.keep_fingerprint(name, &self.on, "own", &print, watch.ms())?;
        let mut words = Vec::new();
        if !self.head.guards.is_empty() {
            words.push(match self.head.guards.len() {
                1 => "1 guard holds".to_owned(),
                n => format!("{n} guards hold"),
            });
            words.extend(readings::shown(&self.head.guards, &before, &before).into_iter().take(4));
        }
        words.push(match &self.equals {
            None => format!("{} tables, {} rows", print.tables.len(), print.tables.iter().map(|t| t.rows).sum::<u64>()),
            Some(Other::Earlier(stage)) => {
                let then = then.expect("invariant: it was read above");
                self.against_earlier(cx, stage, (&then, &print), &looked)?
            }
            Some(Other::Source(stage)) => self.against_source(cx, stage, &print)?,
        });
        let wanted = cx.end_reads.get(name).into_iter().flatten().cloned().collect();
        let after = readings::read_probes(cx, &wanted, None).await?;
        readings::keep(cx, name, Moment::After, &after)?;
        Ok(Done { summary: words.join(" · ") })
    }

    /// A clone and its source at the snapshot: through the masks, which the evidence prints.
    fn against_source(&self, cx: &Cx, stage: &str, clone: &Fingerprint) -> Result<String, Failure> {
        let source = cx.stored_fingerprint(stage, "source")?;
        let compare = clone_compare(cx, &self.on);
        let Comparison { differences, masks } = fingerprint::differences(&source, clone, &compare);
        let lines: Vec<String> = differences.iter().map(|d| format!("{}: {}", d.what, d.detail)).collect();
        cx.record(Event::Compared {
            stage: self.head.name.clone(),
            label: "clone and production at the snapshot".into(),
            equal: lines.is_empty(),
            differences: lines.clone(),
            masks: masks.clone(),
        })?;
        if lines.is_empty() {
            return Ok(format!("equal to production at the snapshot · {} masks", masks.len()));
        }
        Err(self.unequal("production at the snapshot", lines))
    }

    fn unequal(&self, other: &str, lines: Vec<String>) -> Failure {
        let mut failure = Failure::new(Exit::StageFailed, format!("`{}` is not equal to {other}", self.on))
            .changed("nothing was changed by this stage; production was only read");
        let more = lines.len().saturating_sub(20);
        failure.facts = lines.into_iter().take(20).collect();
        if more > 0 {
            failure.facts.push(format!("and {more} more, in the dossier"));
        }
        failure
    }
}

/// How a clone is compared with its source: owners mapped, what was left out masked.
pub(super) fn clone_compare(cx: &Cx, clone: &str) -> Compare {
    let made = cx.with_state(|state| state.clones.get(clone).cloned());
    match made {
        Some(Event::CloneMade { owner, source_owners, left_out, .. }) => {
            Compare::Clone { owner_map: source_owners.into_iter().map(|o| (o, owner.clone())).collect(), left_out }
        }
        _ => Compare::Exact,
    }
}

/// `38.2 GB in 214 tables`.
pub(super) fn size_words(bytes: u64, tables: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // shown with one digit
    let shown = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..1_000_000 => format!("{:.1} kB in {tables} tables", shown(1_000)),
        1_000_000..1_000_000_000 => format!("{:.1} MB in {tables} tables", shown(1_000_000)),
        _ => format!("{:.1} GB in {tables} tables", shown(1_000_000_000)),
    }
}

/// For the evidence: how long production's snapshot was open.
pub(super) fn open_words(ms: u64) -> String {
    format!("snapshot open for {}", show_ms(ms))
}
