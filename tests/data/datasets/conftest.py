import pytest

from dsl_tf.data import downloads
from dsl_tf.errors import UserError


@pytest.fixture
def offline(monkeypatch):
    """No network: records what would have been fetched."""
    asked = []

    def fetch(url, name, checksum):
        asked.append((url, name, checksum))
        raise UserError(f"{url} must be reachable.")

    monkeypatch.setattr(downloads, "fetch", fetch)
    return asked


@pytest.fixture
def online(monkeypatch, tmp_path):
    """A network of files: name in the cache -> content, set by the test."""
    contents = {}

    def fetch(url, name, checksum):
        path = tmp_path / "cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[url])
        return path

    monkeypatch.setattr(downloads, "fetch", fetch)
    return contents
