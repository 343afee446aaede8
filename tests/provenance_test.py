import subprocess

import pytest

from dsl_tf import provenance


def test_commit_is_that_of_the_package_only(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "dsl_tf" / "x.py"))
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("asked git"))
    assert provenance.git_commit() is None
