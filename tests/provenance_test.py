import subprocess

import pytest

from dsl_tf import provenance


def test_commit_is_that_of_the_package_only(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "dsl_tf" / "x.py"))
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("asked git"))
    assert provenance.git_commit() is None


def test_code_is_that_of_the_files(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))

    def code():
        provenance.code.cache_clear()
        return provenance.code()

    found = [code()]
    for text in ("x = 1", "x = 2"):
        (tmp_path / "inner").mkdir(exist_ok=True)
        (tmp_path / "inner" / "x.py").write_text(text)
        found.append(code())
    (tmp_path / "inner" / "x.py").rename(tmp_path / "x.py")
    found.append(code())
    assert len(set(found)) == 4
    monkeypatch.undo()
    assert code() not in found
