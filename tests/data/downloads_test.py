import concurrent.futures
import functools
import hashlib
import http.server
import threading
import time

import pytest
import tf_keras as keras

from dsl_tf.data import downloads
from dsl_tf.errors import UserError

CONTENT = b"0 1 2\n1 0\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.requests += 1


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keras's cache in the test's own folder."""
    folder = tmp_path / "cache"
    folder.mkdir()
    get_file = functools.partial(keras.utils.get_file, cache_dir=str(folder))
    monkeypatch.setattr(downloads.keras.utils, "get_file", get_file)
    return folder / "datasets" / "dsl_tf"


@pytest.fixture
def server(tmp_path):
    """A web server of folder `www`; counts its requests."""
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "train.txt").write_bytes(CONTENT)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.requests = 0
        server.url = f"http://127.0.0.1:{server.server_port}"
        server.folder = folder
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("checksum", [SHA256, hashlib.md5(CONTENT).hexdigest()])
def test_a_file_is_downloaded_once(cache, server, checksum):
    for _ in range(2):
        path = downloads.fetch(f"{server.url}/train.txt", "a/train.txt", checksum)
        assert path == cache / "a" / "train.txt"
        assert path.read_bytes() == CONTENT
    assert server.requests == 1


def test_two_at_once_are_one_download(cache, server, monkeypatch):
    """Each wrote to the file of the other, and one was told of a wrong checksum."""
    fetch = downloads.keras.utils.get_file
    within, most = [], []

    def slow(*arguments, **keys):
        within.append(1)
        most.append(len(within))
        time.sleep(0.3)
        try:
            return fetch(*arguments, **keys)
        finally:
            within.pop()

    monkeypatch.setattr(downloads.keras.utils, "get_file", slow)
    url = f"{server.url}/train.txt"
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        each = [pool.submit(downloads.fetch, url, "a/train.txt", SHA256)] * 1
        each += [pool.submit(downloads.fetch, url, "a/train.txt", SHA256)]
        each += [pool.submit(downloads.fetch, url, "a/train.txt", SHA256)]
        paths = {one.result() for one in each}
    assert paths == {cache / "a" / "train.txt"}
    assert max(most) == 1
    assert server.requests == 1


def test_wrong_checksum_is_one_line_every_time(cache, server):
    url = f"{server.url}/train.txt"
    for _ in range(2):
        with pytest.raises(UserError) as error:
            downloads.fetch(url, "a/train.txt", "0" * 64)
        assert "\n" not in str(error.value)
        assert f"checksum {'0' * 64}" in str(error.value)
        assert url in str(error.value)


def test_a_partial_file_is_fetched_anew(cache, server):
    (cache / "a").mkdir(parents=True)
    (cache / "a" / "train.txt").write_bytes(CONTENT[:4])
    path = downloads.fetch(f"{server.url}/train.txt", "a/train.txt", SHA256)
    assert path.read_bytes() == CONTENT


def test_refused_connection_names_the_way_out(cache, server):
    url = server.url.replace(str(server.server_port), "9") + "/train.txt"
    with pytest.raises(UserError) as error:
        downloads.fetch(url, "a/train.txt", SHA256)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{url} must be reachable")
    assert "refused" in message
    assert "--config.data.root=DIR" in message
    assert "DSL_TF_DATA" in message
    assert not list(cache.rglob("*.txt"))


def test_missing_page(cache, server):
    with pytest.raises(UserError, match="404"):
        downloads.fetch(f"{server.url}/other.txt", "a/other.txt", SHA256)
