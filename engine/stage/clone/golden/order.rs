//! In which order tables are brought up to date: those that are referred to before those that refer.

use crate::event::Failure;
use crate::target::Tx;
use std::collections::BTreeMap;

/// A foreign key that refers to a table that is to change.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// Oid of the table referred to.
    pub to: i64,
    /// Oid of the table that refers.
    pub from: i64,
    /// Its name.
    pub name: String,
    /// Columns that refer, and those referred to.
    pub columns: (Vec<String>, Vec<String>),
    /// An update over there changes rows here; so does a delete.
    pub on_update: bool,
    pub on_delete: bool,
}

/// Foreign keys that refer to any of the tables.
pub(super) async fn references(tx: &Tx, oids: &[i64]) -> Result<Vec<Reference>, Failure> {
    let rows = tx.query(include_str!("../../../../sql/engine/source/referring.sql"), &[&oids]).await?;
    let reference = |row: &crate::target::Row| Reference {
        to: row.get(0),
        from: row.get(1),
        name: row.get(2),
        columns: (row.get(3), row.get(4)),
        on_update: row.get(5),
        on_delete: row.get(6),
    };
    Ok(rows.iter().map(reference).collect())
}

/// A rank for each table: higher than that of every table it refers to, where keys go in no circle.
pub(super) fn ranks(oids: &[i64], references: &[Reference]) -> BTreeMap<i64, usize> {
    let mut ranks: BTreeMap<i64, usize> = oids.iter().map(|oid| (*oid, 0)).collect();
    for _ in 0..oids.len() {
        let mut moved = false;
        for reference in references.iter().filter(|reference| reference.from != reference.to) {
            let above = ranks.get(&reference.to).copied().unwrap_or(0);
            if let Some(rank) = ranks.get_mut(&reference.from)
                && *rank <= above
                && above < oids.len()
            {
                (*rank, moved) = (above + 1, true);
            }
        }
        if !moved {
            break;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refers(from: i64, to: i64) -> Reference {
        let (name, columns) = (String::new(), (Vec::new(), Vec::new()));
        Reference { to, from, name, columns, on_update: false, on_delete: false }
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        let found = ranks(&[1, 2, 3, 4], &[refers(1, 2), refers(2, 3), refers(1, 1), refers(9, 4)]);
        assert_eq!(found, BTreeMap::from([(3, 0), (4, 0), (2, 1), (1, 2)]));
    }

    #[test]
    fn a_circle_ends() {
        assert_eq!(ranks(&[1, 2], &[refers(1, 2), refers(2, 1)]).len(), 2);
    }
}
