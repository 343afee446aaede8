import dataclasses

import numpy as np
import pytest
import scipy.sparse

from dsl_tf.errors import UserError
from dsl_tf.export.frozen import freeze
from dsl_tf.export.layouts import store
from dsl_tf.export.magnitude import within_bytes

SMALL = {"users": "small", "items": "small"}


@pytest.fixture(scope="module")
def frozen(dot_product):
    return freeze(dot_product.backbone, dot_product.split)


def _bytes(frozen, coding):
    tables = (frozen.users, frozen.items)
    return sum(store(table, coding, "small").nbytes for table in tables)


@pytest.mark.parametrize("coding", ["float32", "float16", "int8", "int4"])
def test_the_largest_weights_stay(frozen, coding):
    limit = _bytes(frozen, coding) // 2
    cut = within_bytes(frozen, coding, SMALL, limit)
    assert 0.99 * limit < _bytes(cut, coding) <= limit
    kept, dropped = [], []
    for before, after in ((frozen.users, cut.users), (frozen.items, cut.items)):
        before, after = before.toarray(), after.toarray()
        stays = after != 0
        np.testing.assert_array_equal(after[stays], before[stays])
        kept.append(np.abs(before[stays]))
        dropped.append(np.abs(before[~stays & (before != 0)]))
    # Together: one threshold for users and items.
    assert np.concatenate(kept).min() >= np.concatenate(dropped).max()


def test_what_fits_is_left_alone(frozen):
    assert within_bytes(frozen, "float32", SMALL, _bytes(frozen, "float32")) is frozen


def test_a_table_that_is_not_in_the_file_is_not_cut(frozen):
    items = store(frozen.items, "int8", "fast").nbytes
    cut = within_bytes(frozen, "int8", {"items": "fast"}, items // 2)
    assert cut.users is frozen.users
    assert store(cut.items, "int8", "fast").nbytes <= items // 2


def test_by_hand(frozen):
    table = np.array([[3, -1, 0, 2], [0, 0.5, -4, 0]], np.float32)
    table = scipy.sparse.csr_matrix(np.tile(table, (500, 16)))
    tiny = dataclasses.replace(frozen, users=table[:1], items=table)
    whole = _bytes(tiny, "float32")
    # As many as there are ±.5 and ±1 in the items; the user has more of ±1.
    cut = within_bytes(tiny, "float32", SMALL, whole - 4 * (500 * 32))
    assert set(np.abs(cut.items.data)) == {2, 3, 4}


def test_the_least_that_is_possible_is_named(frozen):
    with pytest.raises(
        UserError, match=r"must be at least [\d,]+ for the int8"
    ) as error:
        within_bytes(frozen, "int8", SMALL, 1000)
    least = int(str(error.value).split("at least ")[1].split(" ")[0].replace(",", ""))
    cut = within_bytes(frozen, "int8", SMALL, least)
    assert _bytes(cut, "int8") <= least
    with pytest.raises(UserError):
        within_bytes(frozen, "int8", SMALL, least - 1)
