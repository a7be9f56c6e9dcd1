//! Which relations hold rows, and how a row of each is framed.

use super::print::TableKind;
use crate::event::Failure;
use crate::target::{Row, Tx};

/// A relation that holds rows of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Oid.
    pub oid: i64,
    /// `schema.table`, quoted where SQL needs it.
    pub name: String,
    /// The partitioned table it is a leaf of.
    pub root: Option<String>,
    /// Names it answers to: its own and those of the partitioned tables above it, quoted and as they are.
    pub answers: Vec<String>,
    /// What it is, or why it is not read: `foreign table`, `access method x`, ...
    pub kind: Result<TableKind, String>,
    /// Its columns by name, so that their physical order does not count.
    pub columns: Vec<LeafColumn>,
}

/// A column of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafColumn {
    /// Name as it is.
    pub name: String,
    /// Name as SQL wants it.
    pub quoted: String,
    /// How it goes into a row.
    pub form: Form,
}

/// How a column goes into a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In its own binary form.
    Binary,
    /// As text, since its binary form has oids in it, or there is none.
    Text,
    /// Not at all: it is computed from the others.
    Generated,
}

/// Lists the leaves of user schemas, by name. Tables that belong to extensions are among them, temporary ones not.
///
/// # Errors
/// The server's.
pub async fn leaves(tx: &Tx) -> Result<Vec<Leaf>, Failure> {
    let rows = tx.query(include_str!("../../sql/engine/fingerprint/leaves.sql"), &[]).await?;
    Ok(rows.iter().map(leaf).collect())
}

fn leaf(row: &Row) -> Leaf {
    let (names, forms, quoted): (Vec<String>, Vec<String>, Vec<String>) = (row.get(5), row.get(6), row.get(7));
    let columns = names.into_iter().zip(forms).zip(quoted).map(|((name, form), quoted)| LeafColumn {
        name,
        quoted,
        form: match form.as_str() {
            "binary" => Form::Binary,
            "text" => Form::Text,
            _ => Form::Generated,
        },
    });
    let kind = match row.get::<_, String>(4).as_str() {
        "p" => Ok(TableKind::Table),
        "u" => Ok(TableKind::Unlogged),
        "m" => Ok(TableKind::MaterializedView),
        why => Err(why.to_owned()),
    };
    Leaf { oid: row.get(0), name: row.get(1), root: row.get(2), answers: row.get(3), kind, columns: columns.collect() }
}

impl Leaf {
    /// Is it, or does it belong to, one of the tables named?
    pub fn is_one_of(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.answers.contains(name))
    }

    /// Columns that are not in its rows, given those to ignore (table, column).
    pub fn left_out(&self, ignore: &[(String, String)]) -> Vec<String> {
        self.columns.iter().filter(|c| !self.keeps(c, ignore)).map(|c| c.name.clone()).collect()
    }

    /// The query that yields its framed rows, quoted by the server itself. A condition may be added.
    pub fn select(&self, ignore: &[(String, String)]) -> String {
        let kept = self.columns.iter().filter(|c| self.keeps(c, ignore)).map(|column| match column.form {
            Form::Text => as_text(&column.quoted),
            Form::Binary | Form::Generated => column.quoted.clone(),
        });
        format!("SELECT {} FROM ONLY {}", kept.collect::<Vec<_>>().join(", "), self.name)
    }

    /// `table (columns)` for a plain COPY that yields the same rows; only tables have one, and nothing may go as text.
    pub fn plain(&self, kind: TableKind, ignore: &[(String, String)]) -> Option<String> {
        let kept: Vec<&LeafColumn> = self.columns.iter().filter(|c| self.keeps(c, ignore)).collect();
        let as_it_is = kind != TableKind::MaterializedView && kept.iter().all(|c| c.form == Form::Binary);
        let names: Vec<&str> = kept.iter().map(|c| c.quoted.as_str()).collect();
        (as_it_is && !names.is_empty()).then(|| format!("{} ({})", self.name, names.join(", ")))
    }

    fn keeps(&self, column: &LeafColumn, ignore: &[(String, String)]) -> bool {
        column.form != Form::Generated
            && !ignore.iter().any(|(table, name)| *name == column.name && self.answers.contains(table))
    }
}

/// By the type's output function, never by a cast that someone may have made. `IS NULL` is also true of ROW(NULL).
fn as_text(column: &str) -> String {
    format!("CASE pg_catalog.num_nulls({column}) WHEN 0 THEN pg_catalog.format('%s', {column}) END")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Leaf {
        let column = |name: &str, form| LeafColumn { name: name.into(), quoted: format!("\"{name}\""), form };
        Leaf {
            oid: 1,
            name: "public.\"L1\"".into(),
            root: Some("public.l".into()),
            answers: vec!["public.\"L1\"".into(), "public.L1".into(), "public.l".into()],
            kind: Ok(TableKind::Table),
            columns: vec![column("a", Form::Binary), column("b", Form::Text), column("c", Form::Generated)],
        }
    }

    #[test]
    fn rows_leave_out_what_is_computed_or_ignored() {
        let leaf = sample();
        let b = "CASE pg_catalog.num_nulls(\"b\") WHEN 0 THEN pg_catalog.format('%s', \"b\") END";
        assert_eq!(leaf.select(&[]), format!("SELECT \"a\", {b} FROM ONLY public.\"L1\""));
        assert_eq!(leaf.left_out(&[]), ["c"]);
        let ignore = [("public.l".to_owned(), "a".to_owned()), ("public.other".to_owned(), "b".to_owned())];
        assert_eq!(leaf.select(&ignore), format!("SELECT {b} FROM ONLY public.\"L1\""));
        assert_eq!(leaf.left_out(&ignore), ["a", "c"]);
    }

    #[test]
    fn a_plain_copy_says_the_same_as_the_query_or_is_not_used() {
        let leaf = sample();
        let ignore = [("public.l".to_owned(), "b".to_owned())];
        assert_eq!(leaf.plain(TableKind::Table, &[]), None, "b goes as text");
        assert_eq!(leaf.plain(TableKind::Table, &ignore).as_deref(), Some("public.\"L1\" (\"a\")"));
        assert_eq!(leaf.plain(TableKind::MaterializedView, &ignore), None);
        let none = Leaf { columns: Vec::new(), ..leaf };
        assert_eq!(none.plain(TableKind::Table, &[]), None);
    }

    #[test]
    fn a_leaf_answers_to_its_root() {
        assert!(sample().is_one_of(&["public.l".into()]));
        assert!(sample().is_one_of(&["public.L1".into()]));
        assert!(!sample().is_one_of(&["public.x".into()]));
    }
}
