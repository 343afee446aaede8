import pytest

from dsl_tf.data import load_split
from dsl_tf.data.datasets import foursquare
from dsl_tf.errors import UserError


def test_users_with_nineteen_places_are_kept(write, tmp_path):
    lines = [" ".join(map(str, [n, *range(n)])) for n in (19, 18, 20)]
    write("foursquare/users.dat", "\n".join(lines))
    dataset = foursquare.load(tmp_path)
    assert dataset.user_ids.tolist() == ["0", "2"]
    assert (len(dataset.train), len(dataset.test)) == (39 - 3 - 4, 3 + 4)


def test_no_download_but_one_clear_line(tmp_path, offline):
    for root, place in ((None, "DIR/foursquare and give"), (tmp_path, "foursquare.")):
        with pytest.raises(UserError) as error:
            foursquare.load(root)
        message = str(error.value)
        assert "users.dat" in message
        assert place in message
        assert "\n" not in message
    assert not offline


@pytest.mark.realdata
def test_counts(data_root, data_config):
    split = load_split(data_config(name="foursquare", root=str(data_root)))
    assert (split.num_users, split.num_items) == (15_443, 28_593)
    assert len(split.train) + len(split.validation) == 477_007
    assert len(split.test) == 111_527
    assert "7 items occur only in test." in split.warnings
