import pytest

from dsl_tf import storage
from dsl_tf.errors import UserError
from dsl_tf.storage.masked import MaskedWeight


def test_find():
    assert storage.find("masked") is MaskedWeight
    assert "masked" in storage.names()


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(UserError, match=r"`storage` must be one of masked.*: 'maskd'"):
        storage.find("maskd")
