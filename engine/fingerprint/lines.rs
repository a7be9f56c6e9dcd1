//! The digest of a fingerprint: SHA-256 over sorted lines `kind \t identity \t digest`.

use super::print::{LargeObjects, SchemaObject, SequencePrint, TablePrint};
use crate::digest;

/// Everything but the name of the database and what is only physical.
pub(super) fn digest(
    objects: &[SchemaObject],
    tables: &[TablePrint],
    sequences: &[SequencePrint],
    large_objects: Option<&LargeObjects>,
) -> String {
    let schema = objects.iter().filter(|o| o.kind != "physical").map(|o| line(&o.kind, &o.identity, &o.definition));
    let rows = tables.iter().map(|t| line("rows", &t.name, &table(t)));
    let next = |s: &SequencePrint| s.next.map_or("none".to_owned(), |next| next.to_string());
    let values = sequences.iter().map(|s| line("next value", &s.name, &next(s)));
    let large = large_objects
        .iter()
        .map(|l| line("rows", "large objects", &format!("{} {}", l.count, l.sum.as_deref().unwrap_or_default())));
    let mut lines: Vec<String> = schema.chain(rows).chain(values).chain(large).collect();
    lines.sort_unstable();
    digest::hex(lines.concat().as_bytes())
}

fn table(t: &TablePrint) -> String {
    let left_out: Vec<String> = t.left_out.iter().map(|name| escaped(name)).collect();
    format!("{} {} {}\t{}", t.rows, t.bytes, t.sum.as_deref().unwrap_or_default(), left_out.join("\t"))
}

fn line(kind: &str, identity: &str, value: &str) -> String {
    format!("{}\t{}\t{}\n", kind, escaped(identity), digest::hex(value.as_bytes()))
}

/// Names may hold anything; two lists of lines must not run into each other.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, identity: &str, definition: &str) -> SchemaObject {
        SchemaObject { kind: kind.into(), identity: identity.into(), parent: None, definition: definition.into() }
    }

    fn of(objects: &[SchemaObject]) -> String {
        digest(objects, &[], &[], None)
    }

    #[test]
    fn order_is_free_and_physical_order_does_not_count() {
        let (a, b) = (object("table", "table a", "x"), object("table", "table b", "y"));
        assert_eq!(of(&[a.clone(), b.clone()]), of(&[b.clone(), a.clone()]));
        assert_eq!(of(&[a.clone(), object("physical", "column order of a", "x, y")]), of(std::slice::from_ref(&a)));
        assert_ne!(of(std::slice::from_ref(&a)), of(&[a, b]));
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        let inner = line("table", "b", "y");
        let forged = object("table", &format!("a\t{}\n{}", digest::hex(b"x"), inner.trim_end()), "y");
        assert_ne!(of(&[forged]), of(&[object("table", "a", "x"), object("table", "b", "y")]));
    }
}
