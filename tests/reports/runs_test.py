import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.reports.runs import read_run


def test_reads_everything(make_run):
    run = read_run(make_run())
    assert run.protocol == "full_ranking"
    assert run.cutoffs == (20,)
    assert run.metric_names == ["recall@20", "ndcg@20", "coverage@20"]
    assert run.headline_metrics == ["recall@20", "ndcg@20"]
    assert list(run.history["loss"]) == [0.75, 0.5, 0.25]
    assert run.per_user.loc[5, "recall@20"] == 0.5
    assert run.per_user.loc[5, "ndcg@20"] == 0.25
    assert run.sparsity["heat_map"].shape == (3, 2)
    assert run.seeds == []
    assert run.title == "neumf, dsl, on toy (given)"


def test_a_dense_run_has_no_sparsity(make_run):
    assert read_run(make_run(dense=True)).sparsity is None


def test_leave_one_out_is_read_by_hit_rate(make_run):
    values = {"recall@10": 1.0, "hit@10": 1.0, "ndcg@10": 0.5}
    run = read_run(
        make_run(
            config={"evaluation": {"cutoffs": [10]}},
            metrics={"protocol": "leave_one_out_sampled", "test": values},
        )
    )
    assert run.headline_metrics == ["hit@10", "ndcg@10"]


def test_several_seeds_are_averaged_user_by_user(make_run_of_seeds):
    run = read_run(make_run_of_seeds())
    np.testing.assert_array_equal(
        run.per_user["recall@20"], [0.125, 0.375, 0.625, 0.875]
    )
    assert list(run.per_user.index) == [0, 2, 5, 7]
    assert run.seeds == [3, 4]
    assert run.cost["training"]["seconds"] == 99.0, "costs are the best seed's"
    assert run.file("history.csv").parent.name == "seed_4"


def test_seeds_that_drew_other_users_are_averaged_over_the_shared_ones(
    make_run_of_seeds,
):
    folder = make_run_of_seeds()
    np.savez(
        folder / "seed_4" / "per_user.npz",
        users=np.array([7, 1, 2], np.int32),
        **{"recall@20": np.array([1.0, 0.5, 0.5]), "ndcg@20": np.zeros(3)},
    )
    per_user = read_run(folder).per_user["recall@20"].sort_index()
    assert per_user.to_dict() == {2: (0.25 + 0.5) / 2, 7: (0.75 + 1.0) / 2}


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="A run folder must exist") as error:
        read_run(tmp_path / "nowhere")
    assert "nowhere" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    ["config.json", "metrics.json", "cost.json", "history.csv", "per_user.npz"],
)
def test_an_unfinished_run_is_one_line_that_names_the_file(make_run, name):
    folder = make_run()
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"a finished run.*without {name}") as error:
        read_run(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", b'{"protocol": "full_ra'),
        ("metrics.json", b"[]"),
        ("metrics.json", b"\xff\xfe\x00"),
        ("history.csv", b""),
        ("per_user.npz", b"PK\x03\x04 cut off"),
        ("sparsity.npz", b""),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(make_run, name, content):
    folder = make_run()
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=f"must be whole.*{name}") as error:
        read_run(folder)
    assert "\n" not in str(error.value)
