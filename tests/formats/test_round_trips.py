"""What every format promises: what goes in comes out, in order, once, from any point on, in any process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kinds import FORMATS, Format, every_format

import headrace as hr
from headrace.testing import check_resume, same


def numbers(flow: hr.DataFlow, expected: list[Any]) -> list[int]:
    """The datapoints of a flow, as numbers of those that went in."""
    return [next(n for n, e in enumerate(expected) if same(dp, e)) for dp in flow]


@every_format
def test_what_was_saved_comes_back_in_order(form: Format, tmp_path: Path) -> None:
    path = form.write(tmp_path)

    flow = form.load(path, shuffle=False)

    assert len(flow) == 20
    for dp, expected in zip(flow, form.expected(20), strict=True):
        assert same(dp, expected)


@every_format
def test_only_the_file_itself_is_there_in_the_end(form: Format, tmp_path: Path) -> None:
    form.write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [form.name]


@every_format
def test_shuffled_passes_are_permutations_that_the_seed_decides(form: Format, tmp_path: Path) -> None:
    path, expected = form.write(tmp_path), form.expected(20)
    hr.seed(3)
    flow = form.load(path, shuffle=True)
    first, second = numbers(flow, expected), numbers(flow, expected)
    hr.seed(3)

    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert numbers(form.load(path, shuffle=True), expected) == first


@every_format
@pytest.mark.parametrize("shuffle", [False, True])
def test_resumes_at_any_point(form: Format, shuffle: bool, tmp_path: Path) -> None:
    path = form.write(tmp_path, 5)
    check_resume(lambda: form.load(path, shuffle=shuffle))


@every_format
def test_resumes_a_mapper_by_the_numbers_of_its_records(form: Format, tmp_path: Path) -> None:
    path = form.write(tmp_path)
    hr.seed(1)
    flow = hr.MultiThreadMapData(form.load(path, shuffle=True), 2, lambda dp: dp, buffer_size=8)
    with flow:
        running = iter(flow)
        taken = [next(running) for _ in range(7)]
        saved = flow.state_dict()
        rest = list(running)
    again = hr.MultiThreadMapData(form.load(path, shuffle=True), 3, lambda dp: dp, buffer_size=5)
    again.load_state_dict(saved)
    with again:
        assert same(list(again), rest)
    assert len(taken) + len(rest) == 20


@every_format
def test_an_empty_file_is_an_empty_flow(form: Format, tmp_path: Path) -> None:
    path = form.write(tmp_path, 0)
    flow = form.load(path, shuffle=True)
    assert (len(flow), list(flow)) == (0, [])


@every_format
@pytest.mark.parametrize("shuffle", [False, True])
def test_shards_of_runner_copies_and_ranks_are_exact(form: Format, shuffle: bool, tmp_path: Path) -> None:
    path, expected = form.write(tmp_path, 13), form.expected(13)
    hr.seed(5)
    seen: list[int] = []
    for rank in range(2):
        part = hr.Shard(form.load(path, shuffle=shuffle), rank, 2, uneven="drop")
        with hr.MultiThreadRunner(lambda part=part: part, 8, 1, shard=True) as alone:
            assert len(numbers(alone, expected)) == 6
        make = lambda rank=rank: hr.Shard(form.load(path, shuffle=shuffle), rank, 2, uneven="drop")  # noqa: E731
        with hr.MultiThreadRunner(make, 8, 3, shard=True) as flow:
            seen += numbers(flow, expected)
    assert len(seen) == len(set(seen)) == 12


@every_format
def test_many_flows_and_passes_share_a_file(form: Format, tmp_path: Path) -> None:
    path = form.write(tmp_path, 3)
    one, two = form.load(path, shuffle=False), form.load(path, shuffle=False)
    assert same(list(zip(one, two, one, strict=True)), [(e, e, e) for e in form.expected(3)])
    one.close()
    assert same(list(two), list(one))


def test_worker_processes_open_the_files_themselves(tmp_path: Path) -> None:
    paths = [(form, form.write(tmp_path, 4)) for form in FORMATS]
    for form, path in paths:
        len(form.load(path, shuffle=False))  # open here, too
    flow = hr.ConcatData([form.load(path, shuffle=False) for form, path in paths])
    with hr.MultiProcessRunner(flow, 8, 1) as running:
        got = list(running)
    assert same(got, [e for form, _ in paths for e in form.expected(4)])


@every_format
def test_a_forked_child_reads_what_its_parent_is_reading(form: Format, tmp_path: Path) -> None:
    path = form.write(tmp_path)
    flow = form.load(path, shuffle=False)
    running = iter(flow)
    next(running)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            again = [same(list(f), form.expected(20)) for f in (flow, form.load(path, shuffle=False))]
            os.write(write, repr(again).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == "[True, True]"
    assert os.waitpid(child, 0)[1] == 0
    assert same(list(running), form.expected(20)[1:])


def test_readers_of_old_projects_have_rng(tmp_path: Path) -> None:
    class Own(hr.LMDBData):
        def __iter__(self) -> Iterator[Any]:
            order = [int(key) for key, _ in super().__iter__()]
            self.rng.shuffle(order)
            yield from order

    flow = Own(next(f for f in FORMATS if f.name == "x.lmdb").write(tmp_path), shuffle=False)
    assert isinstance(flow, hr.RNGDataFlow)
    hr.seed(3)
    first, second = list(flow), list(flow)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(20))
    with hr.MultiProcessRunner(flow, 8, 1) as running:
        assert sorted(running) == list(range(20))


@every_format
def test_paths_may_hold_any_character(form: Format, tmp_path: Path) -> None:
    folder = tmp_path / "Ünïcode 数据 [x] *"
    folder.mkdir()
    path = form.write(folder, 3)
    assert same(list(form.load(str(path), shuffle=False)), form.expected(3))


@every_format
def test_a_missing_file_is_refused_at_construction(form: Format, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        form.load(tmp_path / "nothing")
