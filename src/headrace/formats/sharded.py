"""Writing a flow into several files, in several processes."""

from __future__ import annotations

import errno
import functools
import os
import re
from typing import Any

from .._checks import check_count
from .._progress import progress_bar
from ..flow import as_flow
from ..parallel.mappers import MultiProcessMapData
from ..passes import plant
from ..seeding import global_seed
from ..sources.list import DataFromList
from ..stages.shard import check_same_order
from .registry import Format, format_of
from .urls import exists, is_url
from .writing import PathLike, Target

__all__ = ["save_shards", "shard_paths"]


def save_shards(
    df: Any,
    path: PathLike,
    shards: int,
    num_proc: int = 1,
    *,
    progress: bool = True,
    overwrite: bool = False,
    resume: bool = False,
    **how: Any,
) -> int:
    """Write one pass of a flow into several files, side by side in worker processes.

    Each worker runs a copy of the flow, and takes the datapoints of one file from it: every ``shards``-th, or a stretch
    where files are read in stretches. Where only maps lie between the source and the end, nothing else is read.

    Args:
        df: the flow.
        path: names the files: ``train.tar`` stands for ``train-000000.tar``, ``train-000001.tar`` and so on,
            ``train.parquet`` for ``train-00000-of-00008.parquet`` and so on, as is usual for each. The ending tells
            the format. Also a URL, for formats that are written there.
        shards: how many files.
        num_proc: how many worker processes.
        progress: whether there is a progress bar on stderr, which counts files.
        overwrite: whether files that exist are replaced.
        resume: whether files that exist are left as they are, and unfinished ones gone on with.
        **how: more arguments for the ``save`` of the format, such as ``codec``.

    Returns:
        How many datapoints were written; files that were there already do not count.

    Order and integrity: each datapoint is in exactly one file. Each file appears when it is complete. A worker that
    dies is replaced, and goes on with the file. Random numbers are those of `headrace.seed`, else of seed 0, so that
    all files are of the same pass.

    Raises:
        TypeError, ValueError: a bad argument; a flow whose order differs from process to process (a runner, or
            ``ordered=False``).
        FileExistsError: a file exists, and neither argument allows for that; or there is one of the same name that
            belongs to another number of shards, so that a pattern would find both. Nothing has been written.
        Exception: what ``save`` raises, with the worker's traceback as its cause. Files that are complete stay.

    Example:
        >>> import headrace as hr, os, tempfile
        >>> ds = hr.DataFromList([{"n": n} for n in range(5)], shuffle=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     hr.save_shards(ds, f"{folder}/numbers.jsonl", 2, progress=False)
        ...     sorted(os.listdir(folder))
        ...     list(hr.JSONLinesData(f"{folder}/numbers-*.jsonl"))
        5
        ['numbers-00000-of-00002.jsonl', 'numbers-00001-of-00002.jsonl']
        [{'n': 0}, {'n': 2}, {'n': 4}, {'n': 1}, {'n': 3}]
    """
    flow = as_flow(df)
    check_same_order(flow, "save_shards")
    form = format_of(path)
    paths = shard_paths(path, check_count("shards", shards))
    _refuse_others(path, paths)
    todo = [
        (index, path) for index, path in enumerate(paths) if _prepare(path, form, overwrite=overwrite, resume=resume)
    ]
    write = functools.partial(_write, flow, global_seed() or 0, len(paths), form, overwrite, how)
    workers = min(check_count("num_proc", num_proc), max(len(todo), 1))
    count = 0
    with (
        MultiProcessMapData(DataFromList(todo, shuffle=False), workers, write, ordered=False) as running,
        progress_bar(total=len(paths), initial=len(paths) - len(todo), disable=not progress, unit="file") as bar,
    ):
        for written in running:
            count += written
            bar.update()
    return count


def _refuse_others(path: PathLike, paths: list[PathLike]) -> None:
    folder, name = os.path.split(os.fspath(path))
    if is_url(path) or not os.path.isdir(folder or "."):
        return
    stem, suffix = map(re.escape, os.path.splitext(name))
    for other in sorted({*os.listdir(folder or ".")} - {os.path.basename(p) for p in paths}):
        if re.fullmatch(rf"{stem}-\d+(-of-\d+)?{suffix}", other):
            advice = "it is one of another number of files, and a pattern would mix both; remove these, or rename yours"
            raise FileExistsError(errno.EEXIST, advice, os.path.join(folder, other))


def _prepare(path: PathLike, form: Format, *, overwrite: bool, resume: bool) -> bool:
    """Whether there is something to write."""
    if not overwrite and _exists(path):
        if resume:
            return False
        advice = "it exists; overwrite=True replaces it, resume=True keeps it and writes the others"
        raise FileExistsError(errno.EEXIST, advice, os.fspath(path))
    if not is_url(path):
        with Target(path, overwrite=overwrite, resume=resume, folder=form.is_folder):
            pass  # it refuses, or throws away, what is there
    return True


def _write(
    flow: Any,
    seed: int,
    count: int,
    form: Format,
    overwrite: bool,
    how: dict[str, Any],
    task: tuple[int, PathLike],
) -> int:
    index, path = task
    if _exists(path) and not overwrite:  # since we looked: by a worker that died before it could say so
        return len(form.load(path))
    if form.resumes and not is_url(path):
        how = {"resume": True, **how}  # what there may be is of a worker that died
    plant(flow, seed, (), (index, count))
    return form.save(flow, path, progress=False, overwrite=overwrite, **how)


def _exists(path: PathLike) -> bool:
    return exists(path) if is_url(path) else os.path.lexists(path)


def shard_paths(path: PathLike, shards: int) -> list[PathLike]:
    """The names of the files that together are ``path``.

    Example:
        >>> shard_paths("s3://bucket/train.tar", 2)
        ['s3://bucket/train-000000.tar', 's3://bucket/train-000001.tar']
        >>> shard_paths("train.tfrecord", 2)
        ['train-00000-of-00002.tfrecord', 'train-00001-of-00002.tfrecord']
    """
    stem, suffix = os.path.splitext(os.fspath(path))
    of = "" if suffix.lower() == ".tar" else f"-of-{shards:05d}"
    digits = 6 if not of else 5
    return [f"{stem}-{index:0{digits}d}{of}{suffix}" for index in range(shards)]
