"""What every mapper and runner promises, over Ray actors: the very tests of ``tests/parallel``."""

from __future__ import annotations

import inspect

import test_deaths
import test_errors
import test_fidelity
import test_mappers
import test_nesting
import test_runners

FACES = {"mapper", "process_mapper", "any_mapper", "runner", "process_runner", "any_runner"}

NOT_ON_RAY = {
    "test_process_flows_add_no_python_thread": "Ray has threads",
    "test_workers_have_the_place_and_the_environment_of_their_parent": "that is what Ray's runtime_env is for",
    "test_the_pass_is_exact_whatever_ends_a_worker": "Ray does not say by which signal; see test_nodes",
    "test_the_fork_server_is_killed": "there is none",
    "test_stopped_workers_can_be_closed": "they are killed, but Ray collects its dead when it likes",
    "test_workers_that_die_while_starting_are_a_clear_error": "WorkerDied says what Ray says, which is no exit code",
    "test_leaky_workers_are_replaced_without_a_word": "57 actors take a minute to start; see test_ray_faces",
    "test_descriptors_go_with_the_workers_not_with_the_datapoints": "Ray's own connections come and go",
    "test_descriptors_stay_flat_over_thirty_flows": "the same; and sixty actors take a minute to start",
    "test_memory_is_used_again": "it is about arenas; see test_ray_faces for the memory of this process",
    "test_repr_shows_the_tree": "it is about the names of the others",
    "test_copies_that_are_the_same_warn_once": "one actor may have done all before the other is up; see test_ray_faces",
    "test_global_generators_differ_between_workers_and_passes": "one actor may have done all before the other is up",
}

for module in (test_mappers, test_runners, test_errors, test_deaths, test_fidelity, test_nesting):
    for name, test in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("test_") and FACES & set(inspect.signature(test).parameters) and name not in NOT_ON_RAY:
            globals()[f"{module.__name__}_{name.removeprefix('test_')}"] = test
