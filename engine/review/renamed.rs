//! Stages that only have another name: the same content, and nothing else of that content on either side. The old facts get
//! the new name, so that what else became of such a stage is told as of any other.

use super::facts::{Facts, Value};
use super::section::Section;
use super::{Class, Finding, Risk};
use crate::diag::{Place, Source};
use crate::sql::{Name, Predicate};
use std::collections::BTreeMap;

/// New names by old ones.
pub(super) type Names = BTreeMap<String, String>;

/// What a resume does, in the words of its refusal.
const RESUME: &str = "a journal keeps stages by their names: a run that has done it already is not resumed with this plan (62), \
                      others are with --accept-changes";

/// Stages renamed at once that name each other in a longer chain are told as gone and new: each link is a look at all of them.
const LINKS: usize = 20;

/// Finds them, and gives the old facts the new names; again and again, for a stage that names one of them is the same only then.
pub(super) fn carry_over(before: &mut Facts<'_>, after: &Facts<'_>) -> Names {
    let mut all = Names::new();
    for _ in 0..LINKS {
        let found = names(before, after);
        if found.is_empty() {
            break;
        }
        rename(before, &found);
        all.extend(found);
    }
    all
}

fn names(before: &Facts<'_>, after: &Facts<'_>) -> Names {
    let stages = |here: &Facts<'_>, there: &Facts<'_>| -> BTreeMap<String, Vec<String>> {
        let only = here.owners.keys().filter(|address| !there.owners.contains_key(*address));
        let mut by_content: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in only.filter_map(|address| address.strip_prefix("stage.")) {
            by_content.entry(content(here, name)).or_default().push(name.to_owned());
        }
        by_content
    };
    let (gone, new) = (stages(before, after), stages(after, before));
    let pairs = gone.into_iter().filter_map(|(content, old)| {
        let ([old], [new]) = (old.as_slice(), new.get(&content)?.as_slice()) else { return None };
        Some((old.clone(), new.clone()))
    });
    pairs.collect()
}

/// Everything of a stage that it is known by. Needs, times and words for people may change with the name, and are told.
fn content(facts: &Facts<'_>, stage: &str) -> String {
    let prefix = format!("stage.{stage}.");
    let own = facts.all.range(prefix.clone()..format!("stage.{stage}/"));
    let told = |section| {
        matches!(section, Section::Needs | Section::Timeout | Section::Retry | Section::Doc | Section::Reason)
    };
    let lines = own.filter(|(_, fact)| !told(fact.section));
    lines.map(|(address, fact)| format!("{} {:?}\n", &address[prefix.len()..], fact.value)).collect()
}

/// Gives the old facts the new names, wherever a name stands.
fn rename(before: &mut Facts<'_>, names: &Names) {
    let facts = std::mem::take(&mut before.all);
    before.all = facts
        .into_iter()
        .map(|(address, mut fact)| {
            let renamed = match &fact.value {
                Value::Predicate(text) => in_predicate(text, names).map(Value::Predicate),
                // `equals`, `baseline`: a stage by its name.
                Value::Word(word) if fact.section == Section::Proof => names.get(word).cloned().map(Value::Word),
                _ => None,
            };
            if let Some(renamed) = renamed {
                let old = std::mem::replace(&mut fact.value, renamed);
                fact.was.get_or_insert(old);
            }
            (in_address(&address, names), fact)
        })
        .collect();
    let owners = std::mem::take(&mut before.owners);
    before.owners = owners.into_iter().map(|(address, owner)| (in_address(&address, names), owner)).collect();
}

/// `stage.OLD.needs.OLD` with both names new; `of.OLD` of a packet.
fn in_address(address: &str, names: &Names) -> String {
    let Some(rest) = address.strip_prefix("stage.") else { return address.to_owned() };
    let mut parts: Vec<&str> = rest.split('.').collect();
    for at in 0..parts.len() {
        let names_a_stage = at == 0 || at == 2 && parts.len() == 3 && matches!(parts[1], "needs" | "of" | "to");
        if let Some(new) = names.get(parts[at]).filter(|_| names_a_stage) {
            parts[at] = new;
        }
    }
    format!("stage.{}", parts.join("."))
}

/// `OLD.gap` as `NEW.gap`; `None`: it reads no stage of these.
fn in_predicate(text: &str, names: &Names) -> Option<String> {
    let source = Source::new("", text);
    let predicate = Predicate::parse(text, &Place::new(&source, 0..text.len())).ok()?;
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    for each in &predicate.uses {
        let Name::At { stage, probe } = &each.name else { continue };
        let Some(new) = names.get(stage) else { continue };
        out.push_str(&predicate.text[done..each.span.start]);
        out.push_str(&format!("{new}.{probe}"));
        done = each.span.end;
    }
    (done > 0).then(|| out + &predicate.text[done..])
}

/// One finding for each.
pub(super) fn findings(names: &Names, before: &Facts<'_>, after: &Facts<'_>) -> Vec<Finding> {
    let one = |(old, new): (&String, &String)| {
        let address = format!("stage.{new}");
        let (old_place, new_place) = (before.place(&address), after.place(&address));
        Finding {
            risk: Risk::Differs,
            class: Class::Renamed,
            what: Section::Stage.word(),
            stage: Some(new.clone()),
            address,
            old: Some(old.clone()),
            new: Some(new.clone()),
            old_place,
            new_place,
            notes: vec![RESUME.to_owned()],
            diff: None,
            section: Section::Stage,
            rank: Section::Stage,
        }
    };
    names.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_another_only_where_it_names_the_stage() {
        let names = Names::from([("seed".to_owned(), "sow".to_owned())]);
        for (old, new) in [
            ("gap = seed.gap AND seed.gap > 1", Some("gap = sow.gap AND sow.gap > 1")),
            ("a = 'seed.x' OR reseed.gap = wrote.seed", None),
            ("wrote.\"seed.items\" = 1 OR wrote.\"x\"\"seed.a\" = 2", None),
            ("wrote.\"seed.items\" = seed . gap", Some("wrote.\"seed.items\" = sow.gap")),
            ("seed = 1 AND (seed.b) = 2", Some("seed = 1 AND (sow.b) = 2")),
        ] {
            assert_eq!(in_predicate(old, &names).as_deref(), new, "{old}");
        }
        for (old, new) in [
            ("stage.seed.writes.seed", "stage.sow.writes.seed"),
            ("stage.look.needs.seed", "stage.look.needs.sow"),
            ("stage.g_packet.of.seed", "stage.g_packet.of.sow"),
            ("target.seed.gate.seed", "target.seed.gate.seed"),
        ] {
            assert_eq!(in_address(old, &names), new);
        }
    }
}
