"""Ray Data in both directions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import functions
import numpy as np
import pytest
import ray
from contracts import ints

import headrace as hr
from headrace.testing import check_resume

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def dataset(count: int, blocks: int = 10) -> Any:
    def add(row: dict[str, Any]) -> dict[str, Any]:
        return {"id": row["id"], "name": f"row {row['id']}", "image": np.full((4, 5, 3), row["id"] % 251, np.uint8)}

    return ray.data.range(count, override_num_blocks=blocks).map(add)


def test_a_dataset_as_a_flow_gives_each_row_once_and_in_order() -> None:
    flow = hr.from_ray_dataset(dataset(200))
    for _ in range(2):
        rows = list(flow)
        assert [row["id"] for row in rows] == list(range(200))
        assert rows[7]["name"] == "row 7"
        assert (rows[7]["image"] == 7).all()
        assert rows[7]["image"].shape == (4, 5, 3)
        rows[7]["image"][:] = 0  # writable, and nobody else's
        assert (rows[8]["image"] == 8).all()


def test_a_dataset_feeds_a_pipeline() -> None:
    images = hr.MapData(hr.from_ray_dataset(dataset(64)), lambda row: [row["image"], row["id"]])
    with hr.MultiProcessMapData(images, 2, lambda image, label: [image * 2, label]) as flow:
        batches = list(hr.BatchData(flow, 16))
    assert [batch[0].shape for batch in batches] == [(16, 4, 5, 3)] * 4
    assert batches[1][1].tolist() == list(range(16, 32))


def test_a_dataset_has_a_length_if_counting_costs_nothing() -> None:
    with pytest.raises(hr.NoLengthError, match="materialize"):
        len(hr.from_ray_dataset(dataset(20)))
    assert len(hr.from_ray_dataset(dataset(20).materialize())) == 20


def test_a_dataset_resumes_at_every_row() -> None:
    materialized = dataset(6, 2).materialize()
    check_resume(lambda: hr.MapData(hr.from_ray_dataset(materialized), lambda row: row["id"]))


def test_only_a_part_of_a_large_dataset_is_made(tmp_path: Any) -> None:
    """One of 200 blocks is wanted. What is made ahead is bounded, whatever the dataset's size."""

    def mark(batch: dict[str, Any]) -> dict[str, Any]:
        (tmp_path / str(batch["id"][0])).touch()
        return {"x": np.zeros((len(batch["id"]), 1 << 20), np.uint8)}

    ds = ray.data.range(2000, override_num_blocks=200).map_batches(mark, batch_size=None)
    rows = iter(hr.from_ray_dataset(ds))
    assert next(rows)["x"].nbytes == 1 << 20
    rows.close()
    assert len(list(tmp_path.iterdir())) < 150


def test_what_is_no_dataset_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be a ray.data.Dataset, got list"):
        hr.from_ray_dataset([1, 2])


# -- a flow as a dataset


class Images(hr.DataFlow):
    def __init__(self, count: int):
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        for n in range(self.count):
            yield [n, np.full((4, 5), n % 251, np.uint8), f"image {n}"]


def test_a_flow_as_a_dataset_has_its_datapoints_in_order() -> None:
    rows = hr.flow_to_ray_dataset(Images(600), names=["label", "image", "name"]).take_all()
    assert [row["label"] for row in rows] == list(range(600))
    assert all((row["image"] == row["label"] % 251).all() and row["image"].shape == (4, 5) for row in rows)
    assert rows[599]["name"] == "image 599"


def test_shares_are_exact_and_draw_the_same() -> None:
    def rows(shares: int) -> list[Any]:
        hr.seed(9)
        ds = hr.flow_to_ray_dataset(hr.MapData(ints(50), functions.draw), shares=shares)
        hr.seed(None)
        first, again = (sorted((row["0"], row["1"]) for row in ds.iter_rows()) for _ in range(2))
        assert first == again
        return first

    alone = rows(1)
    assert [n for n, _ in alone] == list(range(50))
    assert len({drawn for _, drawn in alone}) == 50
    assert rows(3) == alone


def test_columns_of_dicts_bare_objects_and_lists() -> None:
    dicts = [{"a": n, "b": [n, n]} for n in range(3)]
    assert hr.flow_to_ray_dataset(dicts).take_all() == dicts
    assert hr.flow_to_ray_dataset(ints(3)).take_all() == [{"item": n} for n in range(3)]
    assert hr.flow_to_ray_dataset([(1, "x"), (2, "y")]).take_all() == [{"0": 1, "1": "x"}, {"0": 2, "1": "y"}]


def test_arrays_of_several_shapes_stay_what_they_are() -> None:
    rows = [{"x": np.arange(n + 1)} for n in range(4)]
    got = hr.flow_to_ray_dataset(rows).take_all()
    assert [row["x"].tolist() for row in got] == [list(range(n + 1)) for n in range(4)]


def test_there_and_back() -> None:
    flow = hr.from_ray_dataset(hr.flow_to_ray_dataset(Images(20), names=["n", "image", "name"]))
    assert [row["n"] for row in flow] == list(range(20))


def test_bad_flows_and_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="names"):
        hr.flow_to_ray_dataset(ints(3), names="ab")
    with pytest.raises(ValueError, match="shares must be at least 1, got 0"):
        hr.flow_to_ray_dataset(ints(3), shares=0)
    lock = threading.Lock()
    with pytest.raises(hr.SerializationError, match="lock"):
        hr.flow_to_ray_dataset(hr.MapData(ints(3), lambda n: lock))
    with pytest.raises(ray.exceptions.RayTaskError, match=r"same columns"):
        hr.flow_to_ray_dataset([{"a": 1}, {"b": 2}]).take_all()
