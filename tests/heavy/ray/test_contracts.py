"""What every mapper and runner promises, over Ray actors: the very tests of ``tests/parallel``.

Actors take a second to start, so of each contract the cases named in ``CASES`` are run, or else the first one, and none
of what is decided in this process, whoever the workers are (``HERE``). All of them with ``HEADRACE_ALL_CASES=1``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

import test_deaths
import test_errors
import test_fidelity
import test_mappers
import test_nesting
import test_runners

MODULES = (test_mappers, test_runners, test_errors, test_deaths, test_fidelity, test_nesting)

ALL = "HEADRACE_ALL_CASES" in os.environ

FACES = {"mapper", "process_mapper", "any_mapper", "runner", "process_runner", "any_runner"}

NOT_ON_RAY = {
    "test_process_flows_add_no_python_thread": "Ray has threads",
    "test_workers_have_the_place_and_the_environment_of_their_parent": "that is what Ray's runtime_env is for",
    "test_the_pass_is_exact_whatever_ends_a_worker[SIGTERM]": "it does not end an actor that is busy",
    "test_the_fork_server_is_killed": "there is none",
    "test_leaky_workers_are_replaced_without_a_word": "57 actors take a minute to start; see test_ray_faces",
    "test_descriptors_go_with_the_workers_not_with_the_datapoints": "Ray's own connections come and go",
    "test_descriptors_stay_flat_over_thirty_flows": "the same; and sixty actors take a minute to start",
    "test_a_result_is_unpickled_when_its_turn_comes_and_no_earlier": "Ray's memory is not held until then",
    "test_memory_is_used_again": "it is about arenas; see test_ray_faces for the memory of this process",
    "test_repr_shows_the_tree": "it is about the names of the others",
    "test_copies_that_are_the_same_warn_once": "one actor may have done all before the other is up; see test_ray_faces",
}

HERE = {
    test_mappers: """
        after_the_end_next_goes_on_saying_so
        class_as_function_gives_its_objects
        datapoints_of_any_kind_pass_unchanged
        functions_of_several_arguments_are_given_the_components
        next_in_two_threads_at_once_raises_rather_than_corrupts
        none_is_data_in_the_input
        not_strict_over_nothing_ends
        not_strict_unordered_gives_every_input_at_least_once
        not_strict_without_a_length
        one_shot_iterator_says_so_on_the_second_pass
        reset_state_is_optional_and_harmless
        second_iterator_is_refused_while_the_first_is_alive
        sources_with_and_without_length_empty_and_short
        the_flow_lives_as_long_as_a_pass_over_it
        two_thousand_passes_of_three_datapoints
        what_is_empty_or_false_is_data
        what_the_source_gave_before_it_failed_is_delivered
        without_a_seed_random_numbers_differ_from_run_to_run
        workers_start_with_the_first_pass_not_before
        writing_into_the_datapoint_leaves_the_source_alone
        wrong_number_of_components_is_an_error_about_it
    """,
    test_runners: """
        a_seed_reproduces_one_copy
        close_under_a_live_iterator_is_no_end_of_data
        empty_flow_ends_at_once
        infinite_flow
        second_iterator_is_refused_while_the_first_is_alive
        shares_of_a_shuffled_flow_are_exact
        the_flow_lives_as_long_as_a_pass_over_it
        without_a_length_it_is_endless
        workers_are_kept_over_passes
    """,
    test_errors: """
        a_long_traceback_is_cut
        an_iterator_that_has_failed_is_at_its_end
        arguments_and_attributes_are_kept
        the_good_datapoints_of_a_failing_source_are_delivered
        too_many_bad_datapoints_are_an_error
    """,
}

CASES = {
    "test_hundreds_of_small_exact_passes_with_processes": ["3"],
    "test_nothing_is_left": ["in a pass-del"],
    "test_shares_are_exact_with_and_without_a_length": ["<lambda>0-2"],
    "test_shares_of_a_mapper_are_exact": ["3"],
    "test_the_input_is_read_at_most_buffer_size_ahead": ["2-8"],
    "test_the_pass_is_exact_whatever_ends_a_worker": ["SIGKILL", "os._exit(0)", "sys.exit"],
    "test_unordered_gives_each_datapoint_once": ["3"],
    "test_copies_run_a_bounded_way_ahead": ["8"],
}


def _contracts() -> dict[str, Callable[..., Any]]:
    found = {}
    for module in MODULES:
        here = {f"test_{name}" for name in HERE.get(module, "").split()}
        names = {
            name
            for name, test in inspect.getmembers(module, inspect.isfunction)
            if name.startswith("test_") and FACES & set(inspect.signature(test).parameters)
        }
        assert here <= names, here - names
        for name in names - set(NOT_ON_RAY) - (set() if ALL else here):
            found[f"{module.__name__}_{name.removeprefix('test_')}"] = getattr(module, name)
    return found


globals().update(sorted(_contracts().items()))


def wanted(items: list[Any]) -> list[Any]:
    """Those of these cases that are run; see the module."""
    items = [item for item in items if f"test_{item.name.partition('_')[2].partition('_')[2]}" not in NOT_ON_RAY]
    if ALL:
        return items
    kept: list[Any] = []
    seen = set()
    for item in items:
        contract = item.function.__name__
        if item.callspec.id in CASES[contract] if contract in CASES else item.originalname not in seen:
            kept.append(item)
        seen.add(item.originalname)
    return kept
