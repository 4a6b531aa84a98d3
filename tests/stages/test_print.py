import numpy as np
import pytest

import headrace as hr
from headrace.testing import check_resume


def test_shows_the_first_datapoints_and_changes_nothing(capsys):
    rows = [[np.array([[1, 2]], "uint8"), "a cat", {"boxes": [1.5, 2.5, 3.5, 4.5]}, None], [1]]
    flow = hr.PrintData(hr.DataFromList(rows, shuffle=False), max_list=4, max_depth=2)
    first, _ = flow
    assert first is rows[0]
    shown = capsys.readouterr().out
    assert "DataFromList, datapoint 0: list of 4" in shown
    assert "[0] ndarray uint8 (1, 2), 1 to 2" in shown
    assert "[1] str 'a cat'" in shown
    assert "['boxes'] list of 4" in shown
    assert "1.5" not in shown  # deeper than max_depth
    list(flow)
    assert capsys.readouterr().out == ""


def test_num_name_and_max_list(capsys):
    list(hr.PrintData([[1, 2, 3, 4, 5]] * 3, num=2, name="here", max_list=2))
    shown = capsys.readouterr().out
    assert shown.count("here, datapoint") == 2
    assert shown.count("... 3 more") == 2


def test_strange_datapoints(capsys):
    rows = [np.array([]), np.array(["a"]), np.zeros(()), {}, (), "x" * 1000, b"\xff", object(), True]
    assert len(list(hr.PrintData(hr.DataFromList(rows, shuffle=False), num=100))) == len(rows)
    assert all(len(line) < 120 for line in capsys.readouterr().out.splitlines())


def test_bad_input():
    with pytest.raises(ValueError, match="num must be at least 0, got -1"):
        hr.PrintData([1], num=-1)


def test_resumes(capsys):
    check_resume(lambda: hr.PrintData(hr.DataFromList([1, 2, 3])))
