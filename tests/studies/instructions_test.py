"""Counts of instructions, with a `perf` that is a script and one that is none."""

import subprocess
import sys

import pytest

from dsl_tf.studies import instructions

#: Counts 1,000 for whatever it is asked, to stderr or the end of a file.
PERF = """#!{python}
import sys
named = dict(a.split("=", 1) for a in sys.argv if a.startswith("--") and "=" in a)
line = "{count},,{{}},5,100.00,,\\n".format(named["--event"])
out = open(named["--output"], "a") if "--output" in named else sys.stderr
out.write("# started\\n\\n" + line)
"""


@pytest.fixture
def perf(tmp_path, monkeypatch):
    """Puts a `perf` on the path that gives one count."""

    def install(count):
        script = tmp_path / "perf"
        script.write_text(PERF.format(python=sys.executable, count=count))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        instructions.available.cache_clear()

    yield install
    instructions.available.cache_clear()


def _count(file):
    with (
        subprocess.Popen([sys.executable, "-c", ""]) as process,
        instructions.counting(process.pid, file),
    ):
        process.wait()


def test_runs_of_a_cell_add_up(perf, tmp_path):
    perf(1000)
    assert instructions.available()
    file = tmp_path / "cell.perf"
    assert instructions.counted(file) is None
    for expected in (1000, 2000):
        _count(file)
        assert instructions.counted(file) == expected


def test_a_machine_without_the_counter(perf, tmp_path):
    perf("<not supported>")
    assert not instructions.available()
    _count(tmp_path / "cell.perf")
    assert instructions.counted(tmp_path / "cell.perf") is None


def test_a_machine_without_perf(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    instructions.available.cache_clear()
    assert not instructions.available()
    instructions.available.cache_clear()


def test_a_count_that_could_not_be_read(tmp_path):
    file = tmp_path / "cell.perf"
    file.write_text("# started\n\n<not counted>,,instructions:u,0,100.00,,\n")
    assert instructions.counted(file) is None
