import pytest

from dsl_tf.files import replacing, size


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
