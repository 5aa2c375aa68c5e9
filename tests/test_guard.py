"""What the page is asked, over real HTTP: by which name, from which page, and for what."""

import asyncio
import http.client
import socket
import subprocess
import sys
from pathlib import Path

import gradio
import pytest

from ui.guard import HEADERS, Guard, is_loopback, own_names
from ui.serving import Serving, launch_options


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A file that lies where Gradio would serve from, were it not private."""
    secret = Path(gradio.utils.get_upload_folder()) / "faqtual-test" / "library.sqlite"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("SECRET")
    yield secret
    secret.unlink()


@pytest.fixture(scope="module")
def port(private):
    with gradio.Blocks(analytics_enabled=False) as app:
        gradio.Textbox(label="Echo")
    app.launch(**launch_options(Serving(), [private.parent]), prevent_thread_lock=True, quiet=True)
    yield app.server_port
    app.close(verbose=False)


def ask(port, path="/", method="GET", host=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Host": host or f"127.0.0.1:{port}", **headers}
    connection.putrequest(method, path, skip_host=True)
    for name, value in headers.items():
        if value:
            connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace"), dict(answer.getheaders())


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "LOCALHOST", "[::1]:{}", "localhost:80"])
def test_it_answers_by_its_own_names(port, host):
    assert ask(port, host=host.format(port))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{}",
        "127.0.0.1.evil.example",
        "localhost.evil.example:{}",
        "192.168.1.5:{}",
        "localhost:{}@evil.example",
        "[::1",
        "[::1]x",
        "localhost:{}:1",
        " ",
        "\xff",
    ],
)
def test_it_answers_by_no_other_name(port, host):
    assert ask(port, host=host.format(port))[0] == 403


def test_a_request_with_two_names_or_none_is_refused(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 403 " in connection.recv(100)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert b" 40" in connection.recv(100)


def test_over_the_network_any_address_will_do_but_not_any_name():
    def status(host):
        sent = []

        async def run():
            async def app(scope, receive, send):
                await send({"type": "http.response.start", "status": 200, "headers": []})

            async def send(message):
                sent.append(message)

            scope = {"type": "http", "path": "/", "headers": [(b"host", host.encode())], "query_string": b""}
            await Guard(app, "0.0.0.0")(scope, None, send)

        asyncio.run(run())
        return sent[0]["status"]

    assert status("192.168.1.5:7860") == status(f"{socket.gethostname()}:7860") == 200
    assert status("evil.example") == status("") == 403
    assert own_names("box.lan") > {"box.lan", "localhost"}
    assert is_loopback("[::1]") and is_loopback("127.8.8.8") and not is_loopback("0.0.0.0")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "http://[::1", ""])
def test_requests_of_other_pages_are_refused(port, origin):
    wanted = 403 if origin else 200
    assert ask(port, "/config", Origin=origin)[0] == wanted
    assert ask(port, "/config", Origin=f"http://127.0.0.1:{port}")[0] == 200


@pytest.mark.parametrize(
    ("path", "site", "mode", "status"),
    [
        ("/", "cross-site", "navigate", 200),  # a link that opens the page
        ("/", "cross-site", "no-cors", 403),
        ("/logout", "cross-site", "navigate", 403),
        ("/config", "same-site", "cors", 403),
        ("/config", "same-origin", "cors", 200),
        ("/config", "none", "navigate", 200),
    ],
)
def test_what_another_page_makes_a_browser_ask_is_refused(port, path, site, mode, status):
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert ask(port, path, **headers)[0] == status


@pytest.mark.parametrize("path", ["/", "/config", "/nothing", "/theme.css"])
def test_every_answer_has_the_headers(port, path):
    for answer in (ask(port, path), ask(port, path, host="evil.example")):
        sent = {name.lower(): value for name, value in answer[2].items()}
        assert {name: sent[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "path",
    [
        "file=https://example.com/x",
        "file=HTTP://example.com",
        "file=//example.com/x",
        "proxy=https://x.hf.space/",
        "file=%68ttps://example.com/x",
        "file=\\\\example.com\\x",
        "run-history/buckets",
    ],
)
def test_it_fetches_nothing_from_elsewhere(port, path):
    status, text, _ = ask(port, f"/gradio_api/{path}")
    assert status == 403 and "fetches nothing" in text


def hostile_paths(private):
    home, package = Path.home(), Path(gradio.__file__).parent
    for path in (
        private,
        "/etc/passwd",
        home / ".bashrc",
        Path.cwd() / "pyproject.toml",
        package / "routes.py",
    ):
        yield f"/gradio_api/file={path}"
        yield f"/gradio_api/file/{path}"
        yield f"/file={path}"
    up = "../" * 12
    for path in (
        f"{up}etc/passwd",
        f"{up}etc/passwd".replace("/", "%2f"),
        "..%5c..%5cetc/passwd",
        "%2e%2e/" * 12,
    ):
        yield from (f"/{place}{path}" for place in ("assets/", "static/", "svelte/", "gradio_api/file="))
    yield f"/?deep_link={up}etc"


def test_no_path_leads_to_the_library_or_a_home(port, private):
    for path in hostile_paths(private):
        status, text, _ = ask(port, path)
        assert status in (200, 400, 403, 404), path
        assert (
            "SECRET" not in text
            and "root:" not in text
            and "[project]" not in text
            and "APIRouter" not in text
        )


def test_the_page_lives_with_the_policy_and_shows_in_no_frame(port, tmp_path, browser):
    (tmp_path / "frame.html").write_text(f"<iframe src='http://127.0.0.1:{port}/'></iframe>")
    page = browser.new_page()
    faults = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto(f"http://127.0.0.1:{port}")
    page.get_by_label("Echo").wait_for()
    assert faults == []
    blocked = "fetch('http://127.0.0.1:1/').then(() => 'sent', () => 'blocked')"
    assert page.evaluate(blocked) == "blocked" and "Content Security Policy" in faults[0]
    page.goto(f"file://{tmp_path}/frame.html")
    page.wait_for_timeout(500)
    assert page.frames[1].get_by_label("Echo").count() == 0


def test_the_guard_needs_neither_gradio_nor_a_library():
    code = "import sys, ui.guard; assert not {'gradio', 'rag', 'index'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
