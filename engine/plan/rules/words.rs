//! The questions all tables ask: is this a name, is it known, is it one of these words, is it missing?

use super::super::keys::Keys;
use super::super::stray::{self, near, quoted};
use super::super::{Spot, UrlRef};
use crate::diag::{Diagnostic, Diagnostics, Place};
use crate::name::Refused;
use std::time::Duration;

/// Checks the form of a name; `rule` says which form.
pub(super) fn name(name: &Spot<String>, what: &str, rule: fn(&str) -> Result<(), Refused>, out: &mut Diagnostics) {
    let Err(why) = rule(&name.value) else { return };
    let code = match why {
        Refused::Form | Refused::Long => "name-form",
        Refused::Reserved | Refused::Ours | Refused::Lock => "name-reserved",
    };
    let found = Diagnostic::new(code, format!("{} is no name for {what}", quoted(&name.value)), name.place.clone());
    let help = match why {
        Refused::Form => format!("rename it, as in `{}`", proposal(&name.value)),
        Refused::Long => "choose a shorter name".to_owned(),
        Refused::Reserved | Refused::Ours | Refused::Lock => format!("rename it, as in `the_{}`", name.value),
    };
    out.push(found.label(why.to_string()).help(help));
}

/// A name of the right form that is near to what was written.
fn proposal(word: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let all: String = word.chars().take(40).map(plain).collect();
    let head = all.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('_');
    if head.is_empty() { "name".to_owned() } else { head.to_owned() }
}

/// Reports a reference to something that is not there.
pub(super) fn known<'k>(
    what: &str,
    word: &Spot<String>,
    names: impl IntoIterator<Item = &'k str>,
    out: &mut Diagnostics,
) {
    let code = if what == "stage" { "unknown-stage" } else { "unknown-target" };
    let found = Diagnostic::new(code, format!("there is no {what} {}", quoted(&word.value)), word.place.clone());
    let help = match near(&word.value, names, out) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("write a table `[{what}.NAME]` of that name, or name one that is there"),
    };
    out.push(found.label(format!("not a {what} of this plan")).help(help));
}

/// Takes a key that is one of some words.
pub(super) fn one_of<T: Clone>(keys: &mut Keys, key: &str, words: &[(&str, T)], out: &mut Diagnostics) -> Option<T> {
    let written = keys.text(key, out)?;
    let found = words.iter().find(|(word, _)| *word == written.value);
    if found.is_none() {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("{} is no value for `{key}` of `{}`", quoted(&written.value), keys.path());
        let help = match near(&written.value, all.iter().copied(), out) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("write one of {}", stray::list(&all)),
        };
        let label = format!("none of {}", stray::list(&all));
        out.push(Diagnostic::new("unknown-value", message, written.place).label(label).help(help));
    }
    found.map(|(_, value)| value.clone())
}

/// Reports a key that must be written.
pub(super) fn missing(keys: &Keys, key: &str, help: &str, out: &mut Diagnostics) {
    let found = Diagnostic::new("missing-key", format!("`{}` has no `{key}`", keys.path()), keys.place());
    out.push(found.label(format!("`{key}` is missing")).help(help));
}

/// Takes a duration that is more than nothing and at most `longest`.
pub(super) fn positive(keys: &mut Keys, key: &str, longest: Duration, out: &mut Diagnostics) -> Option<Duration> {
    let written = keys.duration(key, out)?;
    if written.value.is_zero() {
        let found = Diagnostic::new("out-of-range", format!("`{key}` of `{}` is zero", keys.path()), written.place);
        out.push(found.label("not a span of time").help("write a positive duration, as in `10m`"));
        return None;
    }
    if written.value > longest {
        let days = longest.as_secs() / 86_400;
        let message = format!("`{key}` of `{}` is longer than {days} days", keys.path());
        out.push(
            Diagnostic::new("out-of-range", message, written.place)
                .label("too long")
                .help(format!("write at most `{days}d`")),
        );
        return None;
    }
    Some(written.value)
}

/// Takes a connection string's origin. The value itself is never shown.
pub(super) fn url(keys: &mut Keys, key: &str, out: &mut Diagnostics) -> Option<Spot<UrlRef>> {
    let written = keys.filled(key, out)?;
    let example =
        format!("write `{key} = \"env:NAME\"` or `{key} = \"file:PATH\"`, and put the connection string there");
    let value = match (UrlRef::parse(&written.value), written.value.split_once(':')) {
        (Some(reference), _) => reference,
        (None, Some(("env" | "file", _))) => {
            let found =
                Diagnostic::new("url-form", format!("`{key}` of `{}` names nothing", keys.path()), written.place);
            out.push(found.label("not the name of an environment variable or a file").help(example));
            return None;
        }
        _ => {
            let message = format!("`{key}` of `{}` is written into the plan", keys.path());
            let found = Diagnostic::new("literal-secret", message, written.place);
            out.push(found.label("a connection string does not belong in a plan").help(example));
            return None;
        }
    };
    Some(Spot { value, place: written.place })
}

/// Reports a word that does not look like a table's name: `orders`, `shop.orders`, `"Odd Name"`.
pub(super) fn table_name(word: &Spot<String>, out: &mut Diagnostics) {
    let parts = identifiers(&word.value, '.');
    if !parts.is_some_and(|count| (1..=2).contains(&count)) {
        let found =
            Diagnostic::new("table-name", format!("{} is no name of a table", quoted(&word.value)), word.place.clone());
        out.push(
            found
                .label("not `table` or `schema.table`")
                .help("write it as SQL does, odd names in double quotes: `shop.\"Orders\"`"),
        );
    }
}

/// Checks a search path; a wrong one is reported and becomes `public`.
pub(super) fn search_path(path: Spot<String>, out: &mut Diagnostics) -> String {
    let temporary = path.value.split(',').any(|part| part.trim().trim_matches('"') == "pg_temp");
    let label = match identifiers(&path.value, ',') {
        Some(_) if temporary => "`pg_temp` is always added last",
        Some(_) => return path.value,
        None => "not a list of schemas",
    };
    let found = Diagnostic::new("search-path", format!("{} is no search path", quoted(&path.value)), path.place);
    out.push(found.label(label).help("write schemas with commas between them, as in `shop, public`"));
    "public".to_owned()
}

/// How many identifiers with `separator` between them the text is; `None` when it is something else.
fn identifiers(text: &str, separator: char) -> Option<usize> {
    let mut rest = text.trim();
    let mut count = 0;
    loop {
        rest = identifier(rest)?;
        count += 1;
        rest = rest.trim_start();
        match rest.strip_prefix(separator) {
            Some(next) => rest = next.trim_start(),
            None => return rest.is_empty().then_some(count),
        }
    }
}

/// What follows the identifier that the text begins with.
fn identifier(text: &str) -> Option<&str> {
    if let Some(mut rest) = text.strip_prefix('"') {
        let start = rest.len();
        loop {
            let quote = rest.find('"')?;
            rest = &rest[quote + 1..];
            match rest.strip_prefix('"') {
                Some(next) => rest = next,
                None => return (rest.len() + 1 < start && !text.contains('\0')).then_some(rest),
            }
        }
    }
    let head = text.chars().next().filter(|c| c.is_alphabetic() || *c == '_')?;
    let tail = &text[head.len_utf8()..];
    Some(tail.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_' || c == '$'))
}

/// Reports the second of two equal words in a list.
pub(super) fn doubled(words: &[Spot<String>], key: &str, out: &mut Diagnostics) {
    let mut seen: std::collections::HashMap<&str, &Place> = std::collections::HashMap::new();
    for word in words {
        if let Some(first) = seen.get(word.value.as_str()) {
            let message = format!("{} stands twice in `{key}`", quoted(&word.value));
            let found = Diagnostic::new("doubled", message, word.place.clone()).label("again");
            out.push(found.related((*first).clone(), "first here").help("remove one of the two"));
        } else {
            seen.insert(&word.value, &word.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_counted_as_sql_reads_them() {
        for (text, count) in [("orders", 1), ("shop.orders", 2), ("\"A b\".\"c\"\"d\"", 2), ("größe", 1), ("a.b.c", 3)]
        {
            assert_eq!(identifiers(text, '.'), Some(count), "{text}");
        }
        for text in ["", "a.", ".a", "a b", "\"\"", "\"a", "2a", "a;b", "a-b", "{{ x }}"] {
            assert_eq!(identifiers(text, '.'), None, "{text}");
        }
    }

    #[test]
    fn proposals_have_the_right_form() {
        assert_eq!(proposal("2 Load-Orders!"), "load_orders");
        assert_eq!(proposal("--"), "name");
    }
}
