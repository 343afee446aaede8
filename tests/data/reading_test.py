import gzip

import pytest

from dsl_tf.data import reading
from dsl_tf.errors import UserError


def test_plain_and_gzip_are_found_and_read_alike(write, tmp_path):
    write("a.txt", "1 2\n")
    write("b.txt.gz", "1 2\n")
    for name in ("a.txt", "b.txt"):
        assert reading.read_bytes(reading.existing(tmp_path, name)) == b"1 2\n"
    assert reading.existing(tmp_path, "c.txt") is None


@pytest.mark.parametrize("keep", [5, -4], ids=["head", "no-end"])
def test_truncated_gzip_is_one_line(tmp_path, keep):
    path = tmp_path / "train.txt.gz"
    path.write_bytes(gzip.compress(b"1 2\n" * 1000)[:keep])
    for read in (reading.read_bytes, lambda p: list(reading.nonblank_lines(p))):
        with pytest.raises(UserError, match=r"must be whole.*train\.txt\.gz\.$"):
            read(path)


def test_text_under_a_gzip_name_is_one_line(tmp_path):
    path = tmp_path / "train.txt.gz"
    path.write_bytes(b"0 1 2\n")
    with pytest.raises(UserError, match="must be whole"):
        reading.read_bytes(path)


def test_missing_and_empty_files(write, tmp_path):
    with pytest.raises(UserError, match=r"No such file.*none\.txt"):
        reading.read_bytes(tmp_path / "none.txt")
    for content in ("", " \n\n"):
        with pytest.raises(UserError, match=r"must not be empty.*e\.txt"):
            reading.read_bytes(write("e.txt", content))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_nonblank_lines_are_counted(write, name, end):
    lines = ["user,item", "", *["1,2"] * 400_000, "", "", "last"]
    assert reading.count_nonblank_lines(write(name, end.join(lines))) == 400_002


def test_messages_quote_a_short_part_of_a_value():
    assert reading.shown("it's") == '"it\'s"'
    assert reading.shown(None) == "None"
    assert reading.shown("x" * 60) == repr("x" * 60)
    assert reading.shown("x" * 61) == repr("x" * 59 + "…")
    assert reading.shown("a\nb") == r"'a\nb' (is a quote unclosed?)"


def test_nonblank_lines_are_numbered_as_in_the_file(write):
    path = write("a.csv", "\ufeffuser,item\r\n\r\n1,2\r\n")
    assert list(reading.nonblank_lines(path)) == [(1, "user,item"), (3, "1,2")]
