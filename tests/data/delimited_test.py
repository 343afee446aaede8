import pytest

from dsl_tf.data import delimited
from dsl_tf.errors import UserError

NAMES = ["user", "item"]


def read(path):
    return delimited.read(path, NAMES, NAMES, ",").to_pydict()


def test_values_of_several_lines_in_a_file_of_several_blocks(write):
    """A break in a value across two blocks made rows, or refused the file."""
    count = 60_000  # of 33 bytes and more: blocks of 1 MB end inside values
    value = "\n1,2,".join(["words"] * 4)
    rows = "".join(f'{n},{n},"{value}"\n' for n in range(count))
    table = read(write("a.csv", f"user,item,title\n{rows}"))
    assert table["user"] == table["item"] == [str(n) for n in range(count)]


def test_a_quote_that_closes_nowhere_near_names_its_line(write):
    rows = "1,2,words\n"
    path = write("a.csv", f'user,item,title\n{rows}1,2,"words\n{rows * 300_000}')
    with pytest.raises(UserError, match=r"is a quote unclosed\?.*a\.csv, line 3\.$"):
        read(path)


def test_a_place_is_the_line_in_which_a_row_begins(write):
    path = write("a.csv", '\nuser,item\n1,"a\n\nb"\n\n2,"c\r\nd"\n3,x\n')
    places = [delimited.place(path, row, ",") for row in range(3)]
    assert places == [f"{path}, line {line}" for line in (3, 7, 9)]


def test_wrong_rows_are_placed_after_values_of_several_lines(write):
    path = write("a.csv", 'user,item\n1,"a\nb"\n\n2\n')
    with pytest.raises(UserError, match=r"2 columns. Received: 1 in .*, line 5\.$"):
        read(path)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("user,item\n1,2\n\n2,3\n", []),
        ('user,item\r\n1,"a\r\nb\r\n"\r\n', ["2 lines of a.csv are inside"]),
    ],
)
def test_quoted_lines(write, text, lines):
    path = write("a.csv", text)
    found = delimited.quoted_lines(path, len(read(path)["user"]))
    assert [line[: len("2 lines of a.csv are inside")] for line in found] == lines
