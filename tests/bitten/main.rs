//! What has bitten others who copied databases: each trap is an item with a schema of its own, and the clone must hold
//! it row by row and object by object, as psql and `pg_dump` see it.
//!
//! Items that cannot hide each other share a clone. When that clone fails, each is cloned alone, so that a failure names
//! its item.

#[path = "../support/mod.rs"]
mod support;

mod apart;
mod big;
mod refused;
mod rows;
mod schema;
mod shapes;
mod streamed;

use support::{Bench, METHODS, Outcome};

/// A trap: SQL that sets it, as production's owner in a schema of the item's name, and what the clone must answer.
struct Item {
    name: &'static str,
    sql: &'static str,
    /// Questions to the clone, asked as superuser, and the answers.
    clone: &'static [(&'static str, &'static str)],
}

const fn item(name: &'static str, sql: &'static str) -> Item {
    Item { name, sql, clone: &[] }
}

/// Sets the traps of `items` in a new production.
fn production(name: &str, options: &str, items: &[&Item]) -> Bench {
    let bench = Bench::bare(name, options);
    for Item { name, sql, .. } in items {
        let script = format!(
            "CREATE SCHEMA {name} AUTHORIZATION shop_owner;
             SET search_path = {name}, public, pg_temp;
             SET ROLE shop_owner;
             {sql}"
        );
        bench.psql(bench.production(), &script);
    }
    bench
}

/// All that is wrong with the clone of a production of `items`; nothing when it is right.
fn wrong(bench: &Bench, method: &str, more: &str, items: &[&Item]) -> Vec<String> {
    let Outcome { code, stdout, stderr } = bench.make_clone(method, more);
    if code != 0 {
        bench.nothing_left();
        return vec![format!("{method}: exit {code}\n{stdout}{stderr}")];
    }
    let mut found = bench.unlike();
    for (item, (question, answer)) in items.iter().flat_map(|item| item.clone.iter().map(|asked| (item.name, asked))) {
        let said = bench.psql(bench.clone_name(), &format!("SET search_path = {item}, public; {question}"));
        if said != *answer {
            found.push(format!("{item}: {question}\n  says {said}, and should say {answer}"));
        }
    }
    found
}

/// Clones a production of all `items` by every method; each alone when that is not right, to name the culprits.
#[track_caller]
fn cloned_right(name: &str, items: &[Item]) {
    cloned_right_by(METHODS, name, items);
}

fn cloned_right_by(methods: &[&str], name: &str, items: &[Item]) {
    for method in methods {
        let all: Vec<&Item> = items.iter().collect();
        let together = wrong(&production(name, "", &all), method, "", &all);
        if together.is_empty() {
            continue;
        }
        let alone = |item: &Item| {
            let found = wrong(&production(item.name, "", &[item]), method, "", &[item]);
            (!found.is_empty()).then(|| format!("=== {}\n{}", item.name, found.join("\n")))
        };
        let culprits: Vec<String> = items.iter().filter_map(alone).collect();
        panic!("{method}: together\n{}\n\n{}", together.join("\n"), culprits.join("\n"));
    }
}

/// The witnesses of this binary must see one changed row and one changed object, or all of it would mean nothing.
#[test]
fn the_witnesses_are_awake() {
    let bench = production("witnesses", "", &[&rows::ITEMS[0]]);
    bench.make_clone(METHODS[0], "").expect(0);
    assert_eq!(bench.unlike(), Vec::<String>::new());
    let changes = [
        ("UPDATE gap_pages.gone SET v = NULL WHERE id = 1", "rows of the clone: gap_pages.gone|"),
        ("ALTER TABLE gap_pages.gone ALTER v SET DEFAULT 'x'", "gap_pages / gone / TABLE"),
        ("CREATE SEQUENCE gap_pages.s", "only in the clone: gap_pages / s / SEQUENCE"),
        ("SELECT lo_from_bytea(77, 'x')", "rows of the clone: large object|77|1|"),
    ];
    for (change, wanted) in changes {
        bench.psql(bench.clone_name(), change);
        let found = bench.unlike();
        assert!(found.iter().any(|line| line.starts_with(wanted)), "{change}: {found:#?}");
    }
}
