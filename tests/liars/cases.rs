//! A test for each half of each pair; what `cases/` holds and this does not name fails the first one.

use super::tell;

/// Every file in `cases/`.
macro_rules! pairs {
    ($($name:ident)*) => {
        const NAMED: &[&str] = &[$(stringify!($name)),*];
        $(mod $name {
            #[test]
            fn lie() {
                super::tell(stringify!($name), false);
            }
            #[test]
            fn honest() {
                super::tell(stringify!($name), true);
            }
        })*
    };
}

pairs! {
    accident_expected
    another_definition
    another_forward
    another_partition
    attempts
    cascade
    child_before_parent
    clock_of_the_run
    column_at_another_place
    comment
    common_table_expression
    control_fails
    cursor_dips
    default
    deferred_key
    deferred_refusal
    deferred_trigger
    definition_beside_a_temporary
    dependency_beside_a_temporary
    detached_partition
    dropped_and_added_again
    emptied_and_back
    emptied_first
    first_of_each
    function
    generated_id
    grant
    index
    index_of_a_leaf
    limit_behind_a_filter
    limit_by_index
    limit_over_what_was_looked_at
    limit_without_order
    never_by_a_trigger
    no_row
    nothing_twice
    now_in_one_transaction
    only_a_sequence
    order_of_an_aggregate
    policy
    random
    refused_by_another
    refused_for_a_typo
    rewrite
    rollback_by_a_saved_copy
    rollback_of_somebody_elses
    rollback_takes_too_much
    rows_that_policies_hide
    rule
    scratch_both_ways
    sequence_set_back
    slow_workers
    swallowed
    swallowed_and_logged
    table_called_temp
    temporary_in_code
    temporary_survives
    time_is_up
    trigger
    trigger_left_off
    truncate_within_the_bound
    two_workers
    update_trigger
    validity
}

#[test]
fn every_pair_is_told() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/liars/cases");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .expect("cases")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    there.sort();
    assert_eq!(there, NAMED);
    assert!(NAMED.len() >= 30);
}
