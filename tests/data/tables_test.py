import uuid

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from dsl_tf.data import tables
from dsl_tf.data.tables import Columns
from dsl_tf.errors import UserError

IDS = Columns("user", "item")
RATED = Columns("user", "item", "rating")
TIMED = Columns("user", "item", "", "time")


def ids(table):
    return list(zip(table.users.to_pylist(), table.items.to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "user,item\n007,a b\n7,ü\n"),
        ("a.csv.gz", "user,item\n007,a b\n7,ü\n"),
        ("a.tsv", "item\tuser\na b\t007\nü\t7\n"),
        ("a.csv", "\ufeffuser;n;item\r\n\r\n007;1;a b\r\n7;2;ü"),
        ("a.tsv", 'user,item\n"007","a b"\n7,ü\n'),
    ],
)
def test_ids_stay_as_they_are_written(write, name, text):
    assert ids(tables.read(write(name, text), IDS)) == [("007", "a b"), ("7", "ü")]


def test_parquet_ids_of_any_type(tmp_path):
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"user": [12, 7, 12], "item": ["b", "a", "b"], "rating": 4})
    for column in (frame.item, frame.item.astype("category")):
        frame.assign(item=column).to_parquet(path)
        table = tables.read(path, RATED)
        assert ids(table) == [("12", "b"), ("7", "a"), ("12", "b")]
        assert table.ratings.tolist() == [4, 4, 4]


def test_separator_may_be_given(write):
    path = write("a.csv", "user:item\n1:2\n")
    assert ids(tables.read(path, IDS, ":")) == [("1", "2")]
    with pytest.raises(UserError, match="must be one letter"):
        tables.read(path, IDS, "::")


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_missing_column_lists_those_found(write, tmp_path, name):
    frame = pd.DataFrame({"UserID": [1], "item": [2]})
    path = tmp_path / name
    if name == "a.csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    rule = r"'user' \(`data\.user_column`\) must.*columns 'UserID', 'item'\.$"
    with pytest.raises(UserError, match=rule):
        tables.read(path, IDS)


def test_optional_column_may_be_missing(write):
    path = write("a.csv", "user,item\n1,2\n")
    assert tables.read(path, TIMED, optional="time").times is None
    with pytest.raises(UserError, match=r"'time' \(`data\.time_column`\) must be in"):
        tables.read(path, TIMED)


@pytest.mark.parametrize("value", ["", " ", '"a\nb"'])
def test_missing_id_names_file_and_line(write, value):
    path = write("a.csv", f"user,item\n1,2\n\n2,{value}\n")
    with pytest.raises(UserError, match=r"Each 'item' must be.*a\.csv, line 4\.$"):
        tables.read(path, IDS)


def test_missing_id_in_parquet_names_the_row(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"user": ["a", None], "item": [1, 2]}).to_parquet(path)
    with pytest.raises(UserError, match=r"'user' must.*None in .*a\.parquet, row 2\.$"):
        tables.read(path, IDS)


@pytest.mark.parametrize("word", ["NA", "null", "nan", "<NA>"])
def test_words_for_a_missing_id_may_be_ids(write, word):
    """Namibia's code is NA: the file was refused."""
    path = write("a.csv", f"user,item\n{word},x\n2,y\n{word},z\n")
    table = tables.read(path, IDS)
    assert ids(table) == [(word, "x"), ("2", "y"), (word, "z")]
    assert table.warnings == (
        f"2 rows of a.csv have {word!r} or the like as 'user' (taken as an id).",
    )
    assert not tables.read(write("b.csv", "user,item\n1,2\n"), IDS).warnings


def test_not_a_number_in_parquet_is_a_missing_id(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"user": [1.5, 2.5], "item": [1.5, float("nan")]}).to_parquet(path)
    with pytest.raises(
        UserError, match=r"Each 'item' must be an id of one line.*row 2"
    ):
        tables.read(path, IDS)


def test_a_long_value_is_cut_in_a_message(write):
    """All that a quote had swallowed was printed."""
    path = write("a.csv", 'user,item\n1,2\n2,"' + "3,4\n" * 5000)
    with pytest.raises(
        UserError, match=r"is a quote unclosed\?\) in .*line 3\.$"
    ) as error:
        tables.read(path, IDS)
    assert len(str(error.value)) < 300 + len(str(path))
    rated = write("b.csv", f"user,item,rating\n1,2,{'x' * 5000}\n")
    with pytest.raises(UserError, match=r"Received: 'x{59}…' in"):
        tables.read(rated, RATED)
    with pytest.raises(UserError, match=r"Received: the columns 'y{59}…', 'z'\."):
        tables.read(write("c.csv", f"{'y' * 5000},z\n1,2\n"), IDS)


def test_lines_inside_quoted_values_are_told(write):
    """The rows from a stray quote to the next were gone without a word."""
    rows = [f"{n}\t{n}\ttitle\n" for n in range(1000)]
    rows[100] = '100\t100\t"title\n'
    rows[900] = '900\t900\ttitle"\n'
    for name in ("a.tsv", "a.tsv.gz"):
        table = tables.read(write(name, "user\titem\ttitle\n" + "".join(rows)), IDS)
        assert len(table.users) == 200
        assert table.warnings == (
            f"800 lines of {name} are inside quoted values (is a quote unclosed?).",
        )


def test_lists_are_no_ids(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"user": ["a"], "item": [[1, 2]]}).to_parquet(path)
    with pytest.raises(UserError, match=r"Each 'item' must be an id.*list<"):
        tables.read(path, IDS)


@pytest.mark.parametrize("value", ["good", ""])
def test_rating_that_is_no_number(write, value):
    text = f"user,item,rating\n1,2,5\n1,3,{value}\n"
    with pytest.raises(UserError, match=r"Each 'rating' must be a number.*, line 3\.$"):
        tables.read(write("a.csv", text), RATED)
    assert len(ids(tables.read(write("a.csv", text), IDS))) == 2  # not read: no matter


def test_row_of_another_width(write):
    path = write("a.csv", "user,item\n1,2\n\n1,2,3\n")
    with pytest.raises(UserError, match=r"2 columns. Received: 3 in .*, line 4\.$"):
        tables.read(path, IDS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must not be empty"),
        (b"user,item\n", "must have rows"),
        (b"user,item\n\xff,1\n", "text in UTF-8"),
    ],
)
def test_files_with_nothing_to_read(write, content, message):
    with pytest.raises(UserError, match=rf"{message}.*a\.csv\.$"):
        tables.read(write("a.csv", content), IDS)


def test_broken_parquet(write):
    with pytest.raises(UserError, match=r"must be whole.*a\.parquet"):
        tables.read(write("a.parquet", b"PAR1 no"), IDS)


def test_truncated_gzip(write):
    path = write("a.csv.gz", "user,item\n" + "1,2\n" * 100)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"whole|readable"):
        tables.read(path, IDS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["7", "978300760"], [7e6, 978300760e6]),
        (["0.25", "2"], [250_000, 2_000_000]),
        (["978300760123456789"] * 2, [978300760123456789] * 2),  # nanoseconds
        (["2000-01-02", "1970-01-01"], [946771200e6, 0]),
        (["1970-01-01T00:01:00Z", "1970-01-01T00:00:09Z"], [60e6, 9e6]),
        (["1970-01-01 00:00:01.5", "1970-01-01 00:00:02"], [1.5e6, 2e6]),
        (["Jan 2 1970", "Jan 1 1970"], [86400e6, 0]),
        (["13/01/1970", "02/03/1970"], [12 * 86400e6, 60 * 86400e6]),
    ],
)
def test_times(write, values, expected):
    """In one unit, so that those of two files may be compared."""
    rows = "".join(f"1,{n},{value}\n" for n, value in enumerate(values))
    table = tables.read(write("a.csv", f"user,item,time\n{rows}"), TIMED)
    assert table.times.tolist() == expected
    assert table.times.dtype == "int64"


@pytest.mark.parametrize("second", ["13/01/2024", "2024-01-13", "Jan 13 2024"])
def test_dates_of_two_forms_are_refused(write, second):
    """Row by row 02/03 was in February and 13/01 in January: days changed places."""
    path = write("a.csv", f"user,item,time\n1,2,02/03/2024\n1,3,{second}\n")
    with pytest.raises(UserError, match=r"time in the form of the first.*line 3\.$"):
        tables.read(path, TIMED)


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_numbers_that_are_no_time(write, value):
    path = write("a.csv", f"user,item,time\n1,2,1.5\n1,3,{value}\n")
    with pytest.raises(UserError, match=r"Each 'time' must be a time.*line 3\.$"):
        tables.read(path, TIMED)


def test_parquet_files_of_other_forms(tmp_path):
    ids = pa.array([b"a", b"b"], pa.binary())
    binary = pa.table({"user": ids, "item": ["x", "y"]})
    pyarrow.parquet.write_table(binary, tmp_path / "binary.parquet")
    with pytest.raises(UserError, match=r"must be an id\. Received: binary"):
        tables.read(tmp_path / "binary.parquet", IDS)
    kinds = (pa.large_binary(), pa.binary_view(), pa.binary(1))
    for other in (*map(ids.cast, kinds), ids.dictionary_encode()):
        table = pa.table({"user": other, "item": ["x", "y"]})
        pyarrow.parquet.write_table(table, tmp_path / "other.parquet")
        with pytest.raises(UserError, match=r"must be an id\. Received: "):
            tables.read(tmp_path / "other.parquet", IDS)
    twice = pa.table([["a"], ["b"], ["c"]], names=["user", "item", "user"])
    pyarrow.parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(UserError, match=r"once\. Received: 2 of this name"):
        tables.read(tmp_path / "twice.parquet", IDS)
    once = pa.table({"user": ["a"], "item": ["b"]})
    pyarrow.parquet.write_table(once, tmp_path / "A.PARQUET")
    assert len(tables.read(tmp_path / "A.PARQUET", IDS).users) == 1


def test_parquet_ids_that_are_uuids_become_text(tmp_path):
    """They ended in a traceback."""
    users = [uuid.UUID(int=n) for n in (2, 1, 2)]
    column = pa.array([user.bytes for user in users], pa.uuid())
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table({"user": column, "item": [1, 2, 3]}), path)
    table = tables.read(path, IDS)
    assert table.users.to_pylist() == [str(user) for user in users]


@pytest.mark.parametrize("kind", [pa.bool8(), pa.json_()])
def test_other_extension_types_are_no_ids(tmp_path, kind):
    storage = pa.array([1, 0] if kind == pa.bool8() else ["1", "2"], kind.storage_type)
    users = pa.ExtensionArray.from_storage(kind, storage)
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table({"user": users, "item": [1, 2]}), path)
    with pytest.raises(UserError, match=r"Each 'user' must be an id\. Received: ext"):
        tables.read(path, IDS)


@pytest.mark.parametrize(
    "value", ["9223372036854775808", "18446744073709551616", "1e30", "-1e19"]
)
def test_times_that_64_bits_do_not_hold(write, value):
    """They became the earliest."""
    path = write("a.csv", f"user,item,time\n1,2,7\n1,3,{value}\n")
    with pytest.raises(UserError, match=r"a time of less than 2\^63.*line 3\.$"):
        tables.read(path, TIMED)


@pytest.mark.parametrize("value", ["soon", ""])
def test_wrong_time_names_file_and_line(write, value):
    for good in ("2000-01-02", "978300760"):
        path = write("a.csv", f"user,item,time\n1,2,{good}\n1,3,{value}\n")
        with pytest.raises(UserError, match=r"Each 'time' must be a time.*line 3\.$"):
            tables.read(path, TIMED)
