import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.export.vocabulary import read_ids, write_ids, write_vocabulary

raw_ids = st.lists(
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))
)


@hypothesis.given(raw_ids)
def test_round_trip(tmp_path_factory, raw_ids):
    path = tmp_path_factory.mktemp("ids") / "items.txt"
    write_ids(raw_ids, path)
    assert read_ids(path).tolist() == raw_ids


def test_file_has_one_id_a_line(tmp_path):
    write_ids(np.array(["7", "ä b", "c\x85d"], dtype=object), tmp_path / "items.txt")
    assert (tmp_path / "items.txt").read_bytes() == "7\nä b\nc\x85d\n".encode()


@pytest.mark.parametrize("raw_id", ["a\nb", "\r"])
def test_line_breaks_are_refused_before_anything_is_written(tmp_path, raw_id):
    with pytest.raises(UserError, match="must not contain a line break") as error:
        write_ids(["fine", raw_id], tmp_path / "items.txt")
    assert repr(raw_id) in str(error.value)
    assert not list(tmp_path.iterdir())


def test_names_of_the_files(tmp_path, tied):
    paths = write_vocabulary(tied.split, tmp_path)
    assert paths == [tmp_path / "vocabulary" / f"{n}.txt" for n in ("users", "items")]
    assert read_ids(paths[1]).tolist() == ["i0", "i1", "i2", "i3", "i4"]
