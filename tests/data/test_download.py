"""Downloads from a server of this test: checked, kept, gone on with, explained."""

import hashlib
import http.server
import threading

import pytest

from course_lib.data.download import cache_folder, fetch

CONTENT = bytes(range(256)) * 4096  # 1 MiB
HASH = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; `behave` says how, `ranges` what was asked for."""

    behave = "well"
    ranges: list  # type: ignore[type-arg]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        behave = self.server.behave
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and behave != "without ranges" else None
        if behave == "missing":
            self.send_error(404)
            return
        if start is not None and start >= len(CONTENT):
            self.send_error(416)
            return
        content = CONTENT[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            place = 0 if behave == "wrong range" else start
            self.send_header("Content-Range", f"bytes {place}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if behave != "without length":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if behave == "breaks off":
            content = content[: len(content) // 2]
        elif behave == "lies":
            content = b"x" * len(content)
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = Server(("127.0.0.1", 0), Handler)
    server.ranges = []
    server.url = f"http://127.0.0.1:{server.server_port}/some/data%20set.bin?version=1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_downloads_once(server, tmp_path, capsys):
    path = fetch(server.url, HASH.upper(), tmp_path)
    assert path == tmp_path / HASH[:12] / "data set.bin"
    assert path.read_bytes() == CONTENT
    assert "data set.bin: 100% of 1.0 MB\n" in capsys.readouterr().out
    assert fetch(server.url, HASH, tmp_path) == path
    assert server.ranges == [None]
    assert [entry.name for entry in path.parent.iterdir()] == ["data set.bin"]


def test_a_broken_file_is_replaced(server, tmp_path):
    path = fetch(server.url, HASH, tmp_path, progress=False)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert fetch(server.url, HASH, tmp_path, progress=False).read_bytes() == CONTENT
    assert len(server.ranges) == 2


def test_goes_on_after_a_break(server, tmp_path):
    server.behave = "breaks off"
    with pytest.raises(ConnectionError, match="524288 of 1048576 bytes; the next call goes on there"):
        fetch(server.url, HASH, tmp_path, progress=False)
    target = tmp_path / HASH[:12] / "data set.bin"
    assert not target.exists()
    server.behave = "well"
    assert fetch(server.url, HASH, tmp_path, progress=False).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=524288-"]


@pytest.mark.parametrize("behave", ["well", "without ranges", "without length"])
@pytest.mark.parametrize(
    "have", [CONTENT[:1000], b"y" * 1000, CONTENT, CONTENT + b"y", b""], ids=["good", "bad", "whole", "more", "empty"]
)
def test_whatever_lies_there_the_file_is_right(server, tmp_path, have, behave):
    part = tmp_path / HASH[:12] / "data set.bin.part"
    part.parent.mkdir()
    part.write_bytes(have)
    server.behave = behave
    assert fetch(server.url, HASH, tmp_path, progress=False).read_bytes() == CONTENT
    assert not part.exists()
    if behave == "without ranges":  # what comes from the beginning replaces what is there: no second try is needed
        assert len(server.ranges) == 1


def test_a_wrong_file_is_never_used(server, tmp_path):
    server.behave = "lies"
    with pytest.raises(ValueError, match=f"gave a file with the SHA-256 [0-9a-f]{{64}}, not {HASH}"):
        fetch(server.url, HASH, tmp_path, progress=False)
    assert list((tmp_path / HASH[:12]).iterdir()) == []


def test_a_wrong_range_is_refused(server, tmp_path):
    part = tmp_path / HASH[:12] / "data set.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:1000])
    server.behave = "wrong range"
    with pytest.raises(ConnectionError, match="the server sent the range 'bytes 0-"):
        fetch(server.url, HASH, tmp_path, progress=False)
    assert part.read_bytes() == CONTENT[:1000]


def test_offline_says_where_to_put_the_file(server, tmp_path):
    server.behave = "missing"
    with pytest.raises(ConnectionError, match="answers 404 Not Found"):
        fetch(server.url, HASH, tmp_path)
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError) as caught:
        fetch(url, HASH, tmp_path, timeout=2)
    target = tmp_path / HASH[:12] / "data set.bin"
    assert f"put it at {target}; its SHA-256 must be {HASH}" in str(caught.value)
    assert "cannot be reached" in str(caught.value)
    target.write_bytes(CONTENT)
    assert fetch(url, HASH, tmp_path) == target


def test_the_folder(monkeypatch, tmp_path, server):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    assert fetch(server.url, HASH, progress=False).is_relative_to(tmp_path / "mine")
    monkeypatch.delenv("COURSE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "course_lib"


@pytest.mark.parametrize(
    ("url", "sha256", "text"),
    [
        ("file:///etc/passwd", HASH, "url is 'file:///etc/passwd'; it must be an http or https address"),
        ("https://host/", HASH, "url is 'https://host/'"),
        ("https:///a.txt", HASH, "url is"),
        ("https://host/a.txt", "abc", "sha256 is 'abc'; it must be 64 hexadecimal digits"),
        ("https://host/a.txt", HASH + "0", "it must be 64"),
    ],
)
def test_bad_arguments_say_why(tmp_path, url, sha256, text):
    with pytest.raises(ValueError, match=text):
        fetch(url, sha256, tmp_path)
