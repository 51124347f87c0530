"""Tables of vectors keep what every table promises; what a snapshot does otherwise is in test_versions.py."""

from __future__ import annotations

from tests.tables.test_contract import (  # noqa: F401  (collected by their names)
    test_a_carried_row_with_another_answer_than_the_tables_replaces_its_cost,
    test_a_first_publish_is_what_readers_see_and_what_last_tells,
    test_a_staged_file_with_fewer_rows_than_the_run_counted_is_not_published,
    test_a_table_that_does_not_exist_has_no_last_and_no_head,
    test_a_type_that_the_column_cannot_hold_is_refused_before_anything_changes,
    test_an_empty_run_makes_an_empty_table,
    test_answered_gives_exactly_the_wanted_answers_with_their_provenance,
    test_head_is_in_key_order,
    test_hostile_strings_come_back_exactly_as_keys_and_as_answers,
    test_nothing_is_answered_by_a_missing_table_or_one_without_the_column,
    test_nulls_nested_values_decimals_and_times_come_back_as_they_were,
    test_publishing_the_same_run_again_changes_nothing,
    test_vectors_come_back_exactly,
)
