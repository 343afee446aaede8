import pathlib

import pandas as pd
import pytest

from dsl_tf import recommend
from dsl_tf.errors import UserError

FRAME = pd.DataFrame(
    {
        "user": ["ä", "007"],
        "rank": [1, 1],
        "item": ["[i] long", "j,k"],
        "score": [0.5, -0.25],
    }
)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.csv", lambda path: pd.read_csv(path, dtype={"user": str})),
        ("a.parquet", pd.read_parquet),
        ("a.json", lambda path: pd.read_json(path, dtype={"user": str})),
    ],
)
def test_files_come_back_as_written(name, read, tmp_path):
    path = tmp_path / "new" / name
    recommend.write(FRAME, path)
    pd.testing.assert_frame_equal(read(path), FRAME, check_dtype=False)


def test_terminal(capsys):
    recommend.write(FRAME, None)
    printed = capsys.readouterr().out
    for expected in ("ä", "007", "[i] long", "-0.2500"):
        assert expected in printed


def test_what_is_printed_has_the_ids_as_they_are(capsys):
    """`:cat:` was printed as a cat, and a long id was cut in a pipe."""
    long = "https://example.org/" + "x" * 200
    ids = ["u:cat:1", "[bold]b[/]", long, "a  b"]
    frame = pd.DataFrame({"user": ids, "rank": 1, "item": ids[::-1], "score": 0.5})
    recommend.write(frame, None)
    printed = capsys.readouterr().out
    lines = [line.strip() for line in printed.splitlines()]
    for user, item in zip(ids, ids[::-1], strict=True):
        (line,) = [line for line in lines if line.startswith(f"{user} ")]
        assert line.endswith(f" {item}   0.5000")
    assert "…" not in printed


def test_another_ending_is_refused():
    with pytest.raises(UserError, match=r"Received: a\.txt"):
        recommend.write(FRAME, pathlib.Path("a.txt"))
