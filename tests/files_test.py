import json

import pytest

from dsl_tf.files import replacing, size, write_json


def test_a_folder_replaces_the_one_before(tmp_path):
    for text in ("old", "new"):
        with replacing(tmp_path / "model") as partial:
            partial.mkdir()
            (partial / text).write_text(text)
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "new"]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), replacing(path) as partial:  # noqa: PT012
        partial.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_attempt_are_cleared(tmp_path):
    with replacing(tmp_path / "model") as partial:
        partial.mkdir()
    leftover = tmp_path / ".model.partial"
    leftover.mkdir()
    (leftover / "variables").write_text("half")
    with replacing(tmp_path / "model") as partial:
        assert partial == leftover
        assert not partial.exists()
        partial.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_size_sums_a_folder(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x").write_bytes(b"123")
    (tmp_path / "a" / "b" / "y").write_bytes(b"4567")
    assert size(tmp_path / "a") == 7
    assert size(tmp_path / "a" / "x") == 3


def test_a_folder_comes_back_if_its_successor_cannot_take_its_place(
    tmp_path, monkeypatch
):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("old")

    def replace(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", replace)
    with (
        pytest.raises(OSError, match="disk full"),
        replacing(tmp_path / "model") as new,
    ):
        new.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "weights").read_text() == "old"


def test_json_is_utf_8_and_exact(tmp_path):
    write_json(tmp_path / "x.json", {"name": "Zoë", "value": 0.1 + 0.2})
    content = json.loads((tmp_path / "x.json").read_text("utf-8"))
    assert content == {"name": "Zoë", "value": 0.1 + 0.2}
