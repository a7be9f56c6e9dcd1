//! Productions that cannot be cloned faithfully by this reader or into this owner: a clear error, and nothing is left.

use super::{METHODS, item, production};

/// Half a table is worse than none.
#[test]
fn a_reader_under_row_security_is_refused_by_name_of_the_table() {
    let trap = item(
        "half_a_table",
        "CREATE TABLE whole (id int);
         INSERT INTO whole SELECT generate_series(1, 10);
         CREATE TABLE half (id int);
         INSERT INTO half SELECT generate_series(1, 10);
         CREATE POLICY odd_ones ON half USING (id % 2 = 1);
         ALTER TABLE half ENABLE ROW LEVEL SECURITY;",
    );
    for method in METHODS {
        let mut bench = production(trap.name, "", &[&trap]);
        let role = format!("half_blind_{method}");
        bench.psql("postgres", &format!("CREATE ROLE {role} LOGIN IN ROLE pg_read_all_data"));
        bench.psql(bench.production(), &format!("GRANT CONNECT ON DATABASE {} TO {role}", bench.production()));
        bench.set("SHOP_PRODUCTION_URL", &bench.url(&role, bench.production()));
        bench.make_clone(method, "").expect(40).says(&[
            "row level security",
            "half_a_table.half",
            "BYPASSRLS",
            "nothing was created",
        ]);
        bench.nothing_left();
    }
}

#[test]
fn tables_and_large_objects_that_cannot_be_read_are_named() {
    let trap = item(
        "unreadable",
        "CREATE TABLE \"se cret\" (id int); CREATE SEQUENCE hidden; CREATE TABLE open (id int);
         SELECT lo_create(5), lo_create(6);
         GRANT USAGE ON SCHEMA unreadable TO engine_reader; GRANT SELECT ON open TO engine_reader;",
    );
    for method in METHODS {
        let mut bench = production(trap.name, "", &[&trap]);
        bench.psql(bench.production(), &format!("GRANT CONNECT ON DATABASE {} TO engine_reader", bench.production()));
        bench.set("SHOP_PRODUCTION_URL", &bench.url("engine_reader", bench.production()));
        bench.make_clone(method, "").expect(40).says(&[
            "unreadable.\"se cret\"",
            "unreadable.hidden",
            "large object  2",
            "nothing was created",
        ]);
        bench.nothing_left();
    }
}

/// Base types are made by superusers; the clone's owner is none.
#[test]
fn a_type_that_only_a_superuser_can_make_ends_in_an_error_that_names_it() {
    let trap = item(
        "base_type",
        "RESET ROLE;
         CREATE TYPE two;
         CREATE FUNCTION two_in(cstring) RETURNS two IMMUTABLE STRICT LANGUAGE internal AS 'int4in';
         CREATE FUNCTION two_out(two) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'int4out';
         CREATE TYPE two (INPUT = two_in, OUTPUT = two_out, LIKE = int4);
         CREATE TABLE t (v two);
         INSERT INTO t VALUES ('7');",
    );
    for method in METHODS {
        let bench = production(trap.name, "", &[&trap]);
        bench.make_clone(method, "").expect(40).says(&["base_type.two", "what only a superuser can create"]);
        bench.nothing_left();
    }
}

/// The clone is read by its owner, whom policies would blind.
#[test]
fn policies_forced_upon_the_owner_are_refused_with_what_to_type() {
    let trap = item(
        "forced",
        "CREATE TABLE f (id int, who name);
         INSERT INTO f SELECT n, 'somebody' FROM generate_series(1, 30) AS n;
         CREATE POLICY own ON f USING (who = current_user) WITH CHECK (false);
         ALTER TABLE f ENABLE ROW LEVEL SECURITY;
         ALTER TABLE f FORCE ROW LEVEL SECURITY;",
    );
    for method in METHODS {
        let bench = production(trap.name, "", &[&trap]);
        bench.make_clone(method, "").expect(40).says(&["forced.f", "ALTER ROLE engine_owner BYPASSRLS"]);
        bench.nothing_left();
    }
}

/// A `regclass` that names what is only made after the rows.
#[test]
fn a_name_of_what_comes_later_is_an_error_that_names_the_table() {
    let trap = item(
        "reg_later",
        "CREATE TABLE z (id int PRIMARY KEY);
         CREATE TABLE a (k regclass);
         INSERT INTO a VALUES ('z_pkey'), ('z');",
    );
    let bench = production(trap.name, "", &[&trap]);
    bench.make_clone("stream", "").expect(40).says(&["reg_later.z_pkey", "copying reg_later.a"]);
    bench.nothing_left();
}
