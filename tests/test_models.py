import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import rag.endpoint
from corpus.errors import ModelError
from corpus.readers import read_articles
from index.library import Library
from index.weights import cache_folder
from rag.catalogue import CATALOGUE
from rag.generate import open_generator
from rag.models import bundled_source, find_model
from rag.remote import RemoteModel, find_remote
from rag.steps import Step

NAME = "qwen2.5-0.5b"
MODEL = CATALOGUE[NAME]
FAKE = b"GGUF" + os.urandom(1 << 16) * 192  # 12 MB: the hub's library keeps an interrupted download by 10 MiB
KEPT = 10 << 20
QUESTION = "How many people does the ferry carry?"


class Hub(ThreadingHTTPServer):
    """Stands in for the hub, for one file; ``cut`` ends the next download there, ``hold`` halts it there."""

    daemon_threads = True

    def __init__(self):
        self.data, self.etag, self.size = FAKE, None, None
        self.cut = self.hold = None
        self.asked = []
        super().__init__(("127.0.0.1", 0), _HubHandler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_):
        pass  # a client that hangs up is what these tests stage


class _HubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        """Lead to another host, as the hub does for large files, with the file's checksum and size."""
        hub = self.server
        hub.asked.append((self.command, None))
        if self.path != f"/{MODEL.repository}/resolve/main/{MODEL.file}":
            self.send_error(404)
            return
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{hub.server_port}/file")
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("X-Linked-ETag", f'"{hub.etag or hashlib.sha256(hub.data).hexdigest()}"')
        self.send_header("X-Linked-Size", str(hub.size or len(hub.data)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        if self.path != "/file":
            self.do_HEAD()
            return
        hub, asked = self.server, self.headers.get("Range")
        hub.asked.append((self.command, asked))
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(hub.data) - 1}/{len(hub.data)}")
        self.send_header("ETag", '"of the host that stores it"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(hub.data) - start))
        self.end_headers()
        end, hub.cut = hub.cut or len(hub.data), None
        self.wfile.write(hub.data[start : hub.hold or end])
        if hub.hold:
            time.sleep(60)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.shutdown()
    hub.server_close()


@pytest.fixture
def models(rag, hub, tmp_path):
    """Run ``rag models``, or another command, with a cache of its own and the hub's stand-in."""

    def run(*arguments, command="models", **environment):
        address = f"http://127.0.0.1:{hub.server_port}"
        environment = {"HF_ENDPOINT": address, "RAG_CACHE": str(tmp_path), **environment}
        return rag(command, *arguments, library=tmp_path / "library", **environment)

    return run


@pytest.fixture(scope="module")
def ferry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ferry")
    (folder / "ferry.md").write_text("# The ferry\n\nThe ferry carries 300 people.")
    with Library(folder / "library") as library:
        library.add(read_articles(folder / "ferry.md"), lambda *_: None)
    return folder / "library"


@pytest.fixture
def prepared(tmp_path):
    """The bundled models as they are prepared, in the cache of ``models``: making them again takes seconds."""
    find_model("bundled")
    for path in [*cache_folder().glob("encoder-*"), *cache_folder().glob("smollm2-*")]:
        shutil.copy2(path, tmp_path)
    [bundled] = tmp_path.glob("smollm2-*.gguf")
    return bundled


@pytest.fixture
def pulled(tmp_path):
    return tmp_path / "models" / MODEL.file


def refusal(process, status=1):
    """Return the one line with which a command failed."""
    assert process.returncode == status and "Traceback" not in process.stderr
    [line] = process.stderr.splitlines()
    return line.removeprefix("rag: ")


def parts(pulled):
    return list(pulled.parent.glob("*.part"))


def test_a_model_is_pulled_once_and_listed(models, hub, pulled):
    assert models("pull", NAME).stdout == f"pulled {NAME}\n"
    assert pulled.read_bytes() == FAKE and not parts(pulled)
    asked = len(hub.asked)
    done = models("pull", NAME)
    assert done.returncode == 0 and "already" in done.stdout and len(hub.asked) == asked
    assert "Loading" not in done.stderr and "%" not in done.stderr
    listed = {listing["name"]: listing for listing in json.loads(models("list", "--json").stdout)}
    assert len(listed) == 1 + len(CATALOGUE)
    assert [name for name, listing in listed.items() if listing["here"]] == ["SmolLM2-135M-Instruct", NAME]
    assert listed[NAME]["size"] == 491_400_032 and listed[NAME]["licence"] == "Apache-2.0"
    assert models("list").stdout.count("\n") == len(listed) and len(hub.asked) == asked


def test_the_readme_lists_the_catalogue():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for model in CATALOGUE.values():
        [row] = [line for line in readme.splitlines() if line.startswith(f"| `{model.name}` |")]
        assert f"| {model.size / 1e9:.2f} GB | {model.memory / 1e9:.1f} GB | {model.licence} |" in row
        assert f"(https://huggingface.co/{model.repository})" in row


def test_a_cut_connection_is_resumed(models, hub, pulled):
    hub.cut = KEPT + 1000
    assert models("pull", NAME).returncode == 0
    assert pulled.read_bytes() == FAKE
    assert hub.asked[-1] == ("GET", f"bytes={KEPT}-")


def test_a_killed_pull_leaves_nothing_under_the_name_and_is_gone_on_with(models, hub, pulled, tmp_path):
    hub.hold = KEPT + 1000
    address = f"http://127.0.0.1:{hub.server_port}"
    process = subprocess.Popen(
        [Path(sys.executable).parent / "rag", "models", "pull", NAME],
        env={**os.environ, "HF_ENDPOINT": address, "RAG_CACHE": str(tmp_path)},
    )
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size >= KEPT for part in parts(pulled)):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not pulled.exists() and "not pulled" in refusal(models("use", NAME))
    hub.hold = None
    assert models("pull", NAME).returncode == 0
    assert pulled.read_bytes() == FAKE and hub.asked[-1] == ("GET", f"bytes={KEPT}-")


def test_a_part_of_another_version_is_not_gone_on_with(models, hub, pulled):
    pulled.parent.mkdir()
    pulled.with_name(f"{MODEL.file}.0123456789abcdef.part").write_bytes(b"old")
    assert models("pull", NAME).returncode == 0
    assert pulled.read_bytes() == FAKE and hub.asked[-1] == ("GET", None) and not parts(pulled)


def test_what_was_pulled_first_is_enforced(models, hub, pulled):
    models("pull", NAME)
    pulled.unlink()
    hub.data = FAKE[:-1] + b"!"
    line = refusal(models("pull", NAME))
    assert "not the one first pulled" in line and "checksums.json" in line
    assert not pulled.exists() and not parts(pulled)
    hub.data = FAKE
    assert models("pull", NAME).returncode == 0 and pulled.read_bytes() == FAKE


@pytest.mark.parametrize(
    ("staged", "words"),
    [
        ({"etag": "0" * 64}, "damaged on its way"),
        ({"data": b"<html>log in first"}, "no GGUF file; check what HF_ENDPOINT"),
        ({"size": 10**18}, "GB free; free some space"),
    ],
)
def test_what_arrives_wrong_is_not_kept(models, hub, pulled, staged, words):
    vars(hub).update(staged)
    assert words in refusal(models("pull", NAME))
    assert not pulled.exists() and not any(part.stat().st_size for part in parts(pulled))


def test_a_disk_that_is_full(rag, hub, tmp_path, pulled):
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    address = f"http://127.0.0.1:{hub.server_port}"
    environment = {"HF_ENDPOINT": address, "RAG_CACHE": str(tmp_path)}
    done = rag("models", "pull", NAME, library=tmp_path / "library", before=limit, **environment)
    assert "RAG_CACHE" in refusal(done) and not pulled.exists()


def test_a_pull_that_cannot_be_says_why(models, hub, pulled):
    line = refusal(models("pull", "gpt-2"))
    assert "gpt-2" in line and all(name in line for name in CATALOGUE) and not hub.asked
    line = refusal(models("pull", NAME, HF_ENDPOINT="http://127.0.0.1:9"))
    assert "http://127.0.0.1:9 cannot be reached" in line and "check the connection" in line
    assert "(404)" in refusal(models("pull", "qwen3-4b"))
    assert "RAG_CACHE" in refusal(models("pull", NAME, RAG_CACHE="/dev/null"))
    assert not pulled.exists()


def test_only_a_pull_leaves_the_machine(hub, tmp_path):
    """The hub's library, imported offline before, is let out for the pull and is offline after it."""
    program = (
        "from index.embed import set_offline; set_offline()\n"
        "from huggingface_hub import constants\n"
        "from rag.catalogue import CATALOGUE\n"
        "from rag.pull import pull\n"
        f"print(constants.HF_HUB_OFFLINE, pull(CATALOGUE[{NAME!r}]), constants.HF_HUB_OFFLINE)"
    )
    address = f"http://127.0.0.1:{hub.server_port}"
    environment = {**os.environ, "HF_ENDPOINT": address, "RAG_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == "True True True\n"


def test_the_model_in_use_answers(models, prepared, hub, ferry, rag, tmp_path):
    hub.data = bundled_source().read_bytes()
    assert "rag models pull" in refusal(models("use", NAME))
    models("pull", NAME)
    assert models("use", NAME).stdout == f"using {NAME}\n"

    environment = {"library": ferry, "RAG_CACHE": str(tmp_path)}
    answer = json.loads(rag("ask", QUESTION, "--json", **environment).stdout)
    assert "300 people" in answer["answer"]
    assert answer["model"] == {"name": NAME, "sha256": hashlib.sha256(hub.data).hexdigest()}
    done = rag("ask", QUESTION, "--quotes", "--json", "--model", "bundled", **environment)
    assert json.loads(done.stdout)["model"]["name"] == "SmolLM2-135M-Instruct"
    [used] = [listing for listing in json.loads(models("list", "--json").stdout) if listing["in_use"]]
    assert used["name"] == NAME


def test_a_file_is_used_from_any_folder(models, prepared, tmp_path, rag, monkeypatch):
    local = tmp_path / "mine.gguf"
    local.write_bytes(FAKE)
    environment = {"library": tmp_path / "library", "RAG_CACHE": str(tmp_path)}
    assert rag("models", "use", "mine.gguf", cwd=tmp_path, **environment).stdout == "using mine\n"
    listed = json.loads(models("list", "--json").stdout)
    assert [listing["source"] for listing in listed if listing["in_use"]] == [str(local)]
    monkeypatch.setenv("RAG_CACHE", str(tmp_path))
    assert find_model().sha256 == hashlib.sha256(FAKE).hexdigest()
    local.write_bytes(FAKE + b"more")
    assert find_model().sha256 == hashlib.sha256(FAKE + b"more").hexdigest()
    local.unlink()
    with pytest.raises(ModelError, match="No such file"):
        find_model()
    assert models("use", "bundled").returncode == 0 and find_model().name == "SmolLM2-135M-Instruct"


def test_what_cannot_be_used_changes_nothing(models, tmp_path):
    (tmp_path / "text.gguf").write_text("text")
    assert "not a GGUF" in refusal(models("use", tmp_path / "text.gguf"))
    assert NAME in refusal(models("use", "no-such"))
    assert "--model" in refusal(models("use", "http://127.0.0.1:9/v1"), status=2)
    assert not (tmp_path / "models").exists()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "settings.json").write_text("{")
    assert "delete it" in refusal(models("list"))


def damage(path):
    """Change a byte, but neither size nor time of change."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)[0]
        file.seek(1000)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_verify_finds_damage_and_its_remedy_mends_it(models, prepared, pulled):
    models("pull", NAME)
    assert models("verify").stdout == f"ok   SmolLM2-135M-Instruct\nok   {NAME}\n"
    damage(pulled)
    damage(prepared)
    done = models("verify")
    [bundled, other] = done.stdout.splitlines()
    assert (
        done.returncode == 1
        and bundled.startswith("FAIL SmolLM2")
        and f"{prepared} is damaged; delete it" in bundled
    )
    assert other.startswith(f"FAIL {NAME}") and f"rag models pull {NAME}" in other
    prepared.unlink()
    models("pull", NAME)
    assert models("verify").returncode == 0


def test_a_replaced_file_is_noticed_when_it_is_used(models, pulled, tmp_path, monkeypatch):
    models("pull", NAME)
    monkeypatch.setenv("RAG_CACHE", str(tmp_path))
    assert find_model(NAME).path == pulled
    pulled.write_bytes(FAKE + b"x")
    with pytest.raises(ModelError, match=f"rag models pull {NAME}"):
        find_model(NAME)


# an endpoint


SERVER = """
import sys
from index.llama import _keep_off_amx  # first: it has settings that llama.cpp reads when it is loaded
import uvicorn
from llama_cpp.server.app import create_app
from llama_cpp.server.settings import ModelSettings, ServerSettings
path, port, key = sys.argv[1:]
_keep_off_amx()
model = ModelSettings(model=path, model_alias="smol", n_ctx=2048, verbose=False)
app = create_app(server_settings=ServerSettings(api_key=key), model_settings=[model])
uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")
"""


@pytest.fixture(scope="module")
def llama_server():
    """The server of llama-cpp-python over the bundled model, with the key "right"."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVER, str(find_model("bundled").path), str(port), "right"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/v1"
    process.terminate()
    process.wait()


def test_a_real_server_words_the_same_as_the_file_does(llama_server, monkeypatch):
    monkeypatch.setenv("RAG_API_KEY", "right")
    remote, local = open_generator(find_model(llama_server)), open_generator(find_model("bundled"))
    prompt = ("Answer in one word.", "What is the capital of France?")
    steps = []
    pieces = list(remote.stream(*prompt, steps.append))
    assert steps == [Step("prefilling")]
    assert "".join(pieces) == "".join(local.stream(*prompt)) != ""
    assert len(pieces) > 1 and remote.completion_tokens == len(pieces)
    assert find_model(llama_server).name == f"{llama_server}#smol"


def test_a_question_to_a_real_server(llama_server, rag, ferry):
    asked = ("ask", QUESTION, "--json", "--model", llama_server)
    answer = json.loads(rag(*asked, library=ferry, RAG_API_KEY="right").stdout)
    assert "300 people" in answer["answer"]
    assert answer["model"] == {"name": f"{llama_server}#smol", "sha256": ""}
    assert answer["timings"]["completion_tokens"] > 0
    for key in ("wrong", ""):
        done = rag(*asked, library=ferry, RAG_API_KEY=key)
        assert "(401); set RAG_API_KEY" in refusal(done) and "wrong" not in done.stderr


class Endpoint(ThreadingHTTPServer):
    """Answers every request with ``head`` (status, headers) and then ``body``: bytes, or parts of them."""

    daemon_threads = True

    def __init__(self):
        self.status, self.headers, self.body = 200, {"Content-Type": "text/event-stream"}, b""
        self.asked = []
        super().__init__(("127.0.0.1", 0), _EndpointHandler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_):
        pass


class _EndpointHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.asked.append((self.command, self.path, dict(self.headers), sent))
        self.send_response(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for part in [server.body] if isinstance(server.body, bytes) else server.body:
            self.wfile.write(part)

    do_GET = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    server = Endpoint()
    yield server
    server.shutdown()
    server.server_close()


def event(**value):
    return b"data: " + json.dumps(value).encode() + b"\r\n\r\n"


def piece(text):
    return event(choices=[{"delta": {"content": text}}])


DONE = b"data: [DONE]\n\n"


def text_of(url):
    return "".join(open_generator(RemoteModel(url, "m")).stream("be brief", "who?"))


def failure(call, *arguments):
    with pytest.raises(ModelError) as caught:
        call(*arguments)
    line = str(caught.value)
    assert line.isprintable() and len(line) < 500
    return line


def test_what_is_sent_goes_there_alone(endpoint, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("RAG_API_KEY", "secret")
    usage = event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 5})
    endpoint.body = [
        b": hello\n\nevent: x\n",
        piece("Zoë ")[:45],
        piece("Zoë ")[45:],
        piece("leads."),
        usage,
        DONE,
    ]
    generator = open_generator(RemoteModel(endpoint.url, "m"))
    assert "".join(generator.stream("be brief", "who?")) == "Zoë leads."
    assert (generator.prompt_tokens, generator.completion_tokens) == (7, 5)
    [(method, path, headers, sent)] = endpoint.asked
    assert (method, path) == ("POST", "/v1/chat/completions") and headers["Authorization"] == "Bearer secret"
    body = json.loads(sent)
    assert [message["content"] for message in body["messages"]] == ["be brief", "who?"]
    assert body["temperature"] == 0 and body["stream"] is True and body["max_tokens"] == 96


def test_no_key_is_sent_unless_there_is_one(endpoint, monkeypatch):
    monkeypatch.delenv("RAG_API_KEY", raising=False)
    endpoint.body = DONE
    assert text_of(endpoint.url) == "" and "Authorization" not in endpoint.asked[0][2]
    monkeypatch.setenv("RAG_API_KEY", "sécret\nX: y")
    assert "RAG_API_KEY" in (line := failure(text_of, endpoint.url)) and "cret" not in line
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    ("status", "words"), [(401, "RAG_API_KEY"), (404, "#NAME"), (500, "log"), (307, "not followed")]
)
def test_a_status_is_explained_and_no_redirect_followed(endpoint, status, words):
    endpoint.status, endpoint.headers = status, {"Location": "/elsewhere"}
    line = failure(text_of, endpoint.url)
    assert str(status) in line and words in line and len(endpoint.asked) == 1


def endless():
    while True:
        yield piece("word " * 1000)


def drip():
    for _ in range(200):
        yield b":"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "broke off"),
        (piece("half"), "broke off"),
        (b"data: {\n\n" + DONE, "OpenAI-compatible"),
        (b"data: " + b"[" * 100_000 + b"\n", "OpenAI-compatible"),
        (b"data: [1]\n", "OpenAI-compatible"),
        (b"data: \xff\xfe\n", "OpenAI-compatible"),
        (event(choices=[{"delta": {"content": 5}}]), "OpenAI-compatible"),
        (event(choices=[], usage={"prompt_tokens": "many"}), "OpenAI-compatible"),
        (event(error={"message": "\x1b[2J"}), "reports a failure"),
        (os.urandom(50_000), "broke off"),
        ([b"x" * 100_000] * 20, "more than 1,000,000 bytes"),
        (endless(), "more than 1,000,000 bytes"),
        (drip(), "no full answer in 0.4 seconds"),
    ],
)
def test_a_hostile_answer_ends_in_one_line(endpoint, monkeypatch, body, words):
    if "seconds" in words:
        monkeypatch.setattr(rag.endpoint, "MOST_SECONDS", 0.4)
    endpoint.body = body
    began = time.monotonic()
    assert words in failure(text_of, endpoint.url) and time.monotonic() - began < 3


def test_a_page_is_no_answer(endpoint):
    endpoint.headers, endpoint.body = {"Content-Type": "text/html"}, b"<html>" + DONE
    assert "OpenAI-compatible" in failure(text_of, endpoint.url)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_server_that_hangs_is_left(monkeypatch, sent):
    monkeypatch.setattr(rag.endpoint, "MOST_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                for byte in sent + b"x" * 60:
                    time.sleep(0.05)
                    if sent:
                        connection.send(bytes([byte]))

        threading.Thread(target=answer, daemon=True).start()
        began = time.monotonic()
        assert "no full answer" in failure(text_of, f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        assert time.monotonic() - began < 2


def test_a_server_that_is_not_there():
    assert "start the server" in failure(text_of, "http://127.0.0.1:9/v1")


def test_the_first_listed_model_is_taken(endpoint):
    endpoint.body = json.dumps({"data": [{"id": "one"}, {"id": "two"}]}).encode()
    assert find_remote(endpoint.url + "/") == RemoteModel(endpoint.url, "one")
    assert find_remote(endpoint.url + "#a/b").name == f"{endpoint.url}#a/b"
    assert [path for _, path, *_ in endpoint.asked] == ["/v1/models"]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b'{"data": []}',
        b'{"data": [{"id": 5}]}',
        b'{"data": [{"id": "\\u001b[2J"}]}',
        b"[" * 99_999,
    ],
)
def test_a_list_without_models(endpoint, body):
    endpoint.body = body
    assert "#NAME" in failure(find_remote, endpoint.url)


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http://u:secret@h/v1#m",
        "http://h:99999/v1#m",
        "http://[/v1#m",
        "http://h/v1?key=secret#m",
        "https://h:0/#m",
    ],
)
def test_a_bad_address_is_refused_unasked(address):
    line = failure(find_model, address)
    assert "address" in line and "http://HOST:PORT/v1" in line
