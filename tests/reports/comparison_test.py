import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.evaluation import intervals
from dsl_tf.reports.comparison import compare, refuse_unlike, sections
from dsl_tf.reports.runs import read_run

USERS = np.array([0, 2, 5, 7], np.int32)
RECALL = np.array([0.0, 0.25, 0.5, 0.75])


def test_a_gain_of_every_user_has_no_spread(make_run):
    runs = [read_run(make_run("a")), read_run(make_run("b", recall=RECALL + 0.25))]
    first, second = compare(runs).to_dict("records")
    assert np.isnan(first["recall@20_difference"])
    assert second["recall@20_difference"] == 0.25
    assert second["recall@20_difference_low"] == 0.25
    assert second["recall@20_difference_high"] == 0.25
    assert second["recall@20_p_value"] < 0.01
    assert second["ndcg@20_difference"] == 0.125


def test_differences_pair_users_whatever_their_order(make_run):
    gain = RECALL + np.array([0.25, 0.0, -0.125, 0.5])
    order = [2, 0, 3, 1]
    runs = [
        read_run(make_run("a")),
        read_run(make_run("b", recall=gain)),
        read_run(make_run("c", recall=gain[order], users=USERS[order])),
    ]
    frame = compare(runs)
    columns = [name for name in frame if name.startswith("recall@20_difference")]
    assert frame.loc[1, "recall@20_difference"] == 0.15625
    assert list(frame.loc[1, columns]) == list(frame.loc[2, columns])


def test_equal_runs_do_not_differ(make_run):
    frame = compare([read_run(make_run("a")), read_run(make_run("b"))])
    assert frame.loc[1, "recall@20_difference"] == 0.0
    assert frame.loc[1, "recall@20_p_value"] == 1.0


def test_costs_are_bytes_and_seconds(make_run):
    runs = [read_run(make_run("a")), read_run(make_run("b", dense=True))]
    row = compare(runs).iloc[0]
    assert row["seconds"] == 12.5
    assert row["state_bytes"] == 4800
    assert row["memory_bytes"] == 100_000_000
    assert row["peak_rss_bytes"] == 700_000_000
    assert row["model.tflite_bytes"] == 2_000_000
    assert list(compare(runs)["sparsity"]) == [0.75, 0.0]


def test_a_run_of_seeds_counts_as_its_mean(make_run, make_run_of_seeds):
    runs = [read_run(make_run("one")), read_run(make_run_of_seeds())]
    row = compare(runs, ["recall@20"]).iloc[1]
    assert row["recall@20"] == 0.5
    assert row["recall@20_std"] == 0.125
    assert row["recall@20_difference"] == 0.125
    assert row["seeds"] == 2
    section = sections(compare(runs, ["recall@20"]), runs)[0]
    assert section.rows[1][4] == "0.1250"
    assert section.header[4] == "std of seeds"


def test_sections_are_the_frame_as_text(make_run):
    runs = [read_run(make_run("a")), read_run(make_run("b", recall=RECALL + 0.25))]
    recall, ndcg, costs = sections(compare(runs), runs)
    assert recall.note.startswith("protocol full_ranking, 4 users")
    assert recall.rows[0][:4] == ["a", "75 %", "0.3750", "[0.1250, 0.6250]"]
    assert recall.rows[0][4:] == ["-"] * 3
    assert recall.rows[1][4:6] == ["+0.2500", "[0.2500, 0.2500]"]
    assert recall.rows[2] == ["popularity", "-", "0.1250", *["-"] * 4]
    assert ndcg.header[2] == "ndcg@20"
    assert costs.rows[0] == [
        *["a", "no", "12.5 s", "100.0 MB", "4.8 kB", "90.0 kB", "2.0 MB"]
    ]


def test_folders_of_one_name_are_told_apart_by_their_path(make_run):
    runs = [read_run(make_run("x/run")), read_run(make_run("y/run"))]
    assert list(compare(runs)["run"]) == [str(run.folder) for run in runs]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data": {"fingerprint": "0" * 64}}, "data split.*0000.*"),
        ({"metrics": {"protocol": "full_ranking(users=9)"}}, r"protocol.*users=9"),
        ({"config": {"evaluation": {"cutoffs": [20, 50]}}}, "cut-offs.*20 and 50"),
        ({"users": np.array([0, 2, 5, 6], np.int32)}, "test users.*4 users"),
    ],
)
def test_unlike_runs_are_refused_by_what_differs(make_run, changes, named):
    runs = [read_run(make_run("a")), read_run(make_run("b", **changes))]
    with pytest.raises(UserError, match=f"must have the same {named}") as error:
        refuse_unlike(runs)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError):
        compare(runs)


@pytest.mark.parametrize("protocol", ["full_ranking", "leave_one_out_sampled"])
def test_drawn_negatives_must_be_the_same(make_run, protocol):
    """The split may be the source's own, and its fingerprint equal."""
    runs = [
        read_run(
            make_run(
                f"seed {seed}",
                config={"data": {"name": "toy", "path": "", "seed": seed}},
                metrics={"protocol": protocol},
            )
        )
        for seed in (0, 1)
    ]
    if protocol == "full_ranking":
        refuse_unlike(runs)
        return
    refuse_unlike([runs[0], runs[0]])
    with pytest.raises(UserError, match=r"drawn negatives.*data\.seed=0; .*seed=1"):
        refuse_unlike(runs)


def test_resamples_are_drawn_once_for_all_runs_and_metrics(make_run, monkeypatch):
    gains = (0.25 * RECALL, RECALL[::-1] / 8)
    runs = [read_run(make_run("a"))]
    runs += [
        read_run(make_run(f"b{i}", recall=RECALL + gain))
        for i, gain in enumerate(gains)
    ]
    draw, drawn = intervals._resamples, []
    monkeypatch.setattr(
        intervals, "_resamples", lambda *args: drawn.append(args) or draw(*args)
    )
    frame = compare(runs, seed=5)
    assert drawn == [(4, 5)]
    for place in (1, 2):
        for metric in ("recall@20", "ndcg@20"):
            ours, theirs = (runs[i].per_user[metric].to_numpy() for i in (place, 0))
            names = ("difference", "difference_low", "difference_high", "p_value")
            found = tuple(frame.loc[place, [f"{metric}_{name}" for name in names]])
            assert found == intervals.paired_bootstrap(ours, theirs, 5)


def test_an_unknown_metric_is_answered_with_the_known(make_run):
    runs = [read_run(make_run("a")), read_run(make_run("b"))]
    with pytest.raises(UserError, match=r"one of recall@20, ndcg@20\. .*'map@20'"):
        compare(runs, ["map@20"])


def test_one_run_is_no_comparison(make_run):
    with pytest.raises(UserError, match="at least two run folders"):
        compare([read_run(make_run())])
