import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsl_tf.data import adjacency
from dsl_tf.errors import UserError
from dsl_tf.types import Interactions


def pairs(part):
    return list(zip(part.users.tolist(), part.items.tolist(), strict=True))


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_read_adjacency(write, name):
    text = "\ufeff2 5 0\r\n\r\n0 1\n7\n2\t3  4 "
    interactions = adjacency.read_adjacency(write(name, text))
    assert pairs(interactions) == [(2, 5), (2, 0), (0, 1), (2, 3), (2, 4)]
    assert interactions.users.dtype == interactions.items.dtype == np.int32


@pytest.mark.parametrize(
    ("text", "token", "line"),
    [
        ("0 1 2\n1 3 x7 4\n", "x7", 2),
        ("0 1 2\n\n1 -3\n", "-3", 3),
        ("0 1.5\n", "1.5", 1),
        ("0 1\n1 é\n", "é", 2),
        ("0 1\n1 1234567890", "1234567890", 2),
        ("user,item\n1,2\n", "user,item", 1),
    ],
)
def test_bad_token_names_file_and_line(write, text, token, line):
    path = write("train.txt", text)
    with pytest.raises(UserError) as error:
        adjacency.read_adjacency(path)
    assert str(error.value).endswith(f"Received: {token!r} in {path}, line {line}.")


def test_a_long_token_is_cut_in_a_message(write):
    with pytest.raises(UserError, match=r"Received: 'x{59}…' in .*line 2\.$"):
        adjacency.read_adjacency(write("train.txt", f"0 1\n1 {'x' * 5000}\n"))


def test_read_counted(write):
    path = write("users.dat.gz", "2 7 5 \n0\n1 3\n\n")
    assert pairs(adjacency.read_counted(path)) == [(0, 7), (0, 5), (2, 3)]


@pytest.mark.parametrize("text", ["1 4\n3 1 2\n", "1 4\n\n1 2\n"])
def test_wrong_count_names_file_and_line(write, text):
    with pytest.raises(UserError, match=r"number of items.*users\.dat, line 2\.$"):
        adjacency.read_counted(write("users.dat", text))


@given(st.sets(st.tuples(st.integers(0, 99), st.integers(0, 10**9 - 1)), min_size=1))
def test_write_then_read(tmp_path_factory, rows):
    users, items = np.array(sorted(rows)).T.astype(np.int32)
    path = tmp_path_factory.mktemp("lists") / "a.txt"
    adjacency.write_adjacency(Interactions(users, items), path)
    assert pairs(adjacency.read_adjacency(path)) == sorted(rows)


def test_write_adjacency_to_the_byte(tmp_path, make_interactions):
    path = tmp_path / "a.txt"
    adjacency.write_adjacency(make_interactions((0, 2), (0, 10), (3, 1)), path)
    assert path.read_bytes() == b"0 2 10\n3 1\n"


def test_folder_keeps_row_numbers_and_counts_gaps(write, tmp_path):
    write("train.txt", "0 1 4\n3 1\n")
    write("test.txt.gz", "0 2\n")
    write("validation.txt", "3 4\n")
    dataset = adjacency.load_folder(tmp_path, "sample", "theirs")
    assert dataset.user_ids.tolist() == ["0", "1", "2", "3"]
    assert dataset.item_ids.tolist() == ["0", "1", "2", "3", "4"]
    assert pairs(dataset.train) == [(0, 1), (0, 4), (3, 1)]
    assert pairs(dataset.test) == [(0, 2)]
    assert pairs(dataset.validation) == [(3, 4)]
    assert dataset.split_label == "theirs"
    assert dataset.warnings == (
        "2 user ids never occur (gaps in ids: kept as empty rows).",
        "2 item ids never occur (gaps in ids: kept as empty rows).",
    )


def test_raw_ids_are_not_taken_for_row_numbers(write, tmp_path):
    write("train.txt", "0 1\n1 990000001\n")
    write("test.txt", "0 0\n")
    with pytest.raises(UserError, match=r"raw ids go into a csv.*item 990000001 in"):
        adjacency.load_folder(tmp_path, "sample", "theirs")


def test_a_list_of_ids_in_another_encoding(write, tmp_path):
    write("train.txt", "0 0\n")
    (tmp_path / "item_list.txt").write_bytes(
        "org_id remap_id\ncafé 0\n".encode("latin-1")
    )
    with pytest.raises(UserError, match=r"must be text in UTF-8. Received: byte 19"):
        adjacency.read_ids(tmp_path, "item_list.txt", 1)


def test_lines_that_end_in_carriage_returns(write):
    """They were one user."""
    found = adjacency.read_adjacency(write("old.txt", "0 1 2\r1 3\r"))
    assert found.users.tolist() == [0, 0, 1]


def test_lists_give_raw_ids(write, tmp_path):
    write("train.txt", "0 1\n1 0\n")
    write("test.txt", "0 0\n")
    write("user_list.txt", "org_id remap_id\nann 1\nbob 0\n")
    write("item_list.txt.gz", "org_id remap_id freebase\n007 0 m.1\nx 1 m.2\ny 2 m.3\n")
    dataset = adjacency.load_folder(tmp_path, "sample", "theirs")
    assert dataset.user_ids.tolist() == ["bob", "ann"]
    assert dataset.item_ids.tolist() == ["007", "x", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("org_id remap_id\na 0\nb x\n", r"item_list\.txt, line 3"),
        ("org_id remap_id\na 0\nb\n", r"item_list\.txt, line 3"),
        ("org_id remap_id\na 0\nb 2\n", "without 1"),
        ("org_id remap_id\na 0\na 1\n", "each raw id once"),
        (
            "org_id remap_id\na 0\nb 1\nc 0\n",
            r"each row number once\. Received: 0 again in .*item_list\.txt, line 4\.$",
        ),
        (f"org_id remap_id\na 0\nb {'1' * 5000}\n", r"'b 1{57}…' in .*line 3\.$"),
    ],
)
def test_wrong_lists(write, tmp_path, text, message):
    write("item_list.txt", text)
    with pytest.raises(UserError, match=message):
        adjacency.read_ids(tmp_path, "item_list.txt", 2)
