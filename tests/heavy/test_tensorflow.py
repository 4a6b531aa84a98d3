"""TensorFlow: flows as tf.data datasets. TensorFlow starts threads that it never ends, so each test is a process."""

from __future__ import annotations

import subprocess
import sys
import textwrap

HEAD = """
import numpy as np
import tensorflow as tf
import headrace as hr
from headrace.integrations.tensorflow import to_tf

def L(*values):
    return hr.DataFromList(list(values), shuffle=False)
"""


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(code)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr


def test_signatures_passes_structures_and_errors() -> None:
    run("""
    # the signature is that of the first datapoint, but for the size of the batch
    flow = hr.BatchData(L(*[{"x": np.full((2, 3), n, np.float16), "y": [n, "ab"]} for n in range(5)]), 2, True)
    dataset = to_tf(flow)
    assert dataset.element_spec == {
        "x": tf.TensorSpec((None, 2, 3), tf.float16),
        "y": (tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.string)),
    }
    for _ in range(2):
        assert [d["y"][0].numpy().tolist() for d in dataset] == [[0, 1], [2, 3], [4]]
        assert all((d["x"][:, 0, 0].numpy() == d["y"][0].numpy()).all() for d in dataset)

    # bare datapoints, shapes that are fixed, a signature of one's own
    assert [int(v) for v in to_tf(L(1, 2, 3))] == [1, 2, 3]
    assert to_tf(L(np.zeros((4, 5))), batched=False).element_spec == tf.TensorSpec((4, 5), tf.float64)
    read = []
    def numbers():
        read.append(1)
        yield from range(3)
    dataset = to_tf(hr.DataFromGenerator(numbers), signature=tf.TensorSpec((), tf.int64))
    assert not read
    assert [int(v) for v in dataset] == [0, 1, 2]

    # nothing of a source that can be read once is lost
    assert [int(v) for v in to_tf(iter([5, 6, 7]))] == [5, 6, 7]

    # shuffled flows: each iteration is a pass
    hr.seed(3)
    flow = hr.DataFromList(list(range(9)))
    first, second = list(flow), list(flow)
    hr.seed(3)
    dataset = to_tf(hr.DataFromList(list(range(9))))
    assert [int(v) for v in dataset] == first
    assert [int(v) for v in dataset] == second

    try:
        to_tf(L())
    except hr.EmptySourceError as error:
        assert "DataFromList gives nothing" in str(error)
    else:
        raise AssertionError
    """)


def test_the_state_covers_what_was_given_also_with_workers() -> None:
    run("""
    def make():
        ds = hr.MultiProcessMapData(hr.DataFromList(list(range(40))), 2, lambda n: np.full(3000, n))
        return hr.BatchData(ds, 4)

    hr.seed(1)
    with make() as flow:
        expected = [int(b.sum()) for b in flow]
    with make() as flow:
        running = iter(to_tf(flow))
        got = [int(tf.reduce_sum(next(running))) for _ in range(3)]
        state = flow.state_dict()
        del running
    hr.seed(None)
    with make() as flow:
        flow.load_state_dict(state)
        got += [int(tf.reduce_sum(b)) for b in to_tf(flow)]
    assert got == expected, (got, expected)
    """)
