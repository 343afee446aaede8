import dataclasses
import io
import shlex

import rich.console

from dsl_tf.reports import tables
from dsl_tf.reports.runs import read_run
from tests.reports.conftest import COST


def _printed(run, **options) -> str:
    console = rich.console.Console(file=io.StringIO(), **options)
    tables.summary(run, console)
    return console.file.getvalue()


def test_metrics_stand_beside_their_interval_and_popularity(make_run):
    lines = [line.split() for line in _printed(read_run(make_run())).splitlines()]
    header = ["metric", "test", "95", "%", "interval", "popularity", "validation"]
    assert header in lines
    assert ["recall@20", "0.3750", "[0.1250,", "0.6250]", "0.1250", "0.5000"] in lines
    assert ["coverage@20", "0.7500", "-", "-", "-"] in lines


def test_costs_have_units_and_say_how_they_were_found(make_run):
    lines = [line.split() for line in _printed(read_run(make_run())).splitlines()]
    for line in (
        "sparsity 75.00 % counted",
        "model.tflite 2.0 MB measured",
        "training state 4.8 kB counted",
        "training memory 100.0 MB measured",
        "training time 12.5 s measured",
        "training MACs 2.00 GMAC derived",
    ):
        assert line.split() in lines


def test_the_protocol_and_the_selection_are_named(make_run):
    assert (
        "protocol full_ranking; 4 users; no refit; best epoch 2 of 3 (validation)"
        in _printed(read_run(make_run()))
    )


def test_without_validation_nothing_was_selected(make_run):
    run = read_run(make_run(metrics={"valid": {}}))
    assert tables.setting(run).endswith("; no refit; last epoch, no validation")
    several = {"valid": {"std": {}}, "best_epoch": [3, 3]}
    several |= {"seeds": [3, 4], "best_seed": 3}
    run = dataclasses.replace(run, metrics={**run.metrics, **several})
    printed = _printed(run)
    assert "(costs and files: seed 3); last epoch, no validation\n" in printed
    assert "best epoch" not in printed


def test_warnings_of_the_data_are_repeated(make_run):
    printed = _printed(read_run(make_run()))
    assert "warning: 2 duplicates were dropped." in printed


def test_a_log_gets_plain_lines_however_narrow(make_run):
    printed = _printed(read_run(make_run()), width=20)
    assert "\x1b" not in printed
    assert "[0.1250, 0.6250]" in printed
    assert "…" not in printed


def test_a_narrow_terminal_loses_no_digit(make_run):
    printed = _printed(
        read_run(make_run()), width=30, force_terminal=True, color_system=None
    )
    for text in ("recall@20", "0.3750", "0.1250", "model.tflite", "measured"):
        assert text in printed
    assert "…" not in printed


def test_several_seeds_show_their_deviation(make_run_of_seeds):
    run = read_run(make_run_of_seeds())
    printed = _printed(run)
    lines = [line.split() for line in printed.splitlines()]
    assert ["recall@20", "0.5000", "-", "0.1250", "0.1250", "0.5000"] in lines
    assert "mean of seeds 3, 4 (costs and files: seed 4)" in printed


def test_next_commands_survive_a_shell(make_run):
    folder = make_run("a run; rm")
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "users.txt").write_text("it's $HOME\nother\n")
    recommend, export, compare = tables.next_commands(read_run(folder))
    main = ["python", "-m", "dsl_tf.main", f"--output_dir={folder}"]
    assert shlex.split(recommend) == [*main, "--mode=recommend", "--user=it's $HOME"]
    serving = f"--serving_dir={folder / 'serving'}"
    assert shlex.split(export) == [*main, "--mode=export", serving]
    assert shlex.split(compare)[-2:] == [str(folder), "OTHER_RUN"]


def test_the_suggested_user_is_one_of_the_test_set(make_run):
    folder = make_run(users=[2, 3, 5, 7])
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "users.txt").write_text("u0\nu1\nu2\nu3\n")
    assert tables.next_commands(read_run(folder))[0].endswith("--user=u2")


def test_without_a_vocabulary_the_user_is_a_placeholder(make_run):
    command = tables.next_commands(read_run(make_run()))[0]
    assert command.endswith("--user=RAW_ID")


def test_markup_in_a_name_is_only_text(make_run):
    run = read_run(make_run(data={"name": "[bold]toy[/bold]"}))
    assert "on [bold]toy[/bold] (given)" in _printed(run)


def test_a_pass_that_another_run_took_is_told_as_such(make_run):
    taken = {"forward": 1, "backward": 2, "optimizer": 3}
    one = {"layers": {"inner product": taken}}
    passes = [
        one | {"name": "teacher", "read_from": "runs/a"},
        one | {"name": "select"},
    ]
    training = COST["training"] | {"passes": passes}
    rows = tables.mac_rows(read_run(make_run(cost={"training": training})))
    assert [row[0] for row in rows] == ["teacher (taken before, in runs/a)", "select"]


def test_activations_are_told_where_there_are_any(make_run):
    def names(run):
        return [row.name for row in tables.cost_rows(read_run(run))]

    assert "dense activations" not in names(make_run("looks_up"))
    training = COST["training"] | {"activation_bytes": 5000}
    assert "dense activations" in names(make_run("graph", cost={"training": training}))


def test_the_file_that_is_held_to_bytes_says_so(make_run):
    run = read_run(make_run())
    name, *_ = run.cost["files"]
    budget = {"budget": {"asked": 60_000, "got": 59_100, "file": name}}
    held = dataclasses.replace(run, cost={**run.cost, **budget})
    rows = {row.name: row.source for row in tables.cost_rows(held)}
    assert rows[name] == "measured, held to 60,000 B"
    others = [how for other, how in rows.items() if other != name]
    assert not any("held" in how for how in others)
