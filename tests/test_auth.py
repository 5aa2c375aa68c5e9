"""Names and passwords: the file, the delay after failures, and what is open to whom over real HTTP."""

import asyncio
import http.client
import os
import re
import socket
import time
import urllib.parse

import gradio
import pytest
from conftest import one_line
from test_guard import hostile_paths

from corpus.errors import RagError, UsageError
from ui.auth import Door, Hashed, add_user, read_users
from ui.guard import login_page
from ui.serving import Serving, launch_options

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    path = tmp_path_factory.mktemp("auth") / "users"
    add_user(path, "anna", PASSWORD)
    return path


def name_of(request: gradio.Request):
    return request.username


@pytest.fixture(scope="module")
def port(users):
    with gradio.Blocks(analytics_enabled=False) as app:
        who = gradio.Textbox(label="Who")
        gradio.CheckboxGroup(["A title of an article"], label="Articles").change(str, who, who)
        app.load(name_of, None, who, api_visibility="private")
    options = launch_options(Serving(users=read_users(users)), [users])
    app.launch(**options, prevent_thread_lock=True, quiet=True)
    yield app.server_port
    app.close(verbose=False)


def ask(port, path, method="GET", body=None, cookie=""):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Cookie": cookie} if cookie else {}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded" if "=" in body else "application/json"
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    status, text = answer.status, answer.read().decode(errors="replace")
    return status, text, answer.headers.get_all("Set-Cookie") or []


def log_in(port, name, password):
    return ask(port, "/login", "POST", urllib.parse.urlencode({"username": name, "password": password}))


# the file


def test_a_user_is_kept_hashed_in_a_file_of_the_owner(tmp_path):
    path = tmp_path / "users"
    assert not add_user(path, "anna", PASSWORD) and not add_user(path, "b.o@b", "another one")
    assert add_user(path, "anna", "quite another")
    assert path.stat().st_mode & 0o777 == 0o600 and list(tmp_path.iterdir()) == [path]
    lines = path.read_text().splitlines()
    assert all(re.fullmatch(r"[\w.@]+:scrypt\$32768\$8\$3\$[\w+/=]{24}\$[\w+/=]{44}", line) for line in lines)
    found = read_users(path)
    assert found["anna"].fits("quite another") and not found["anna"].fits(PASSWORD)
    assert len(lines) == 2 and "another" not in path.read_text()


def test_a_password_typed_in_another_form_of_unicode_fits():
    assert Hashed.of("Zürich ﬁsh").fits("Zu\u0308rich fish") and not Hashed.of("zürich").fits("zurich")


GOOD = str(Hashed.of(PASSWORD))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "anna",
        "anna:secret",
        f":{GOOD}",
        f"a b:{GOOD}",
        f"anna:{GOOD}$x",
        f"anna:{GOOD.replace('scrypt', 'md5')}",
        f"anna:{GOOD.replace('$32768$', '$32767$')}",
        f"anna:{GOOD.replace('$32768$', '$1073741824$')}",
        f"anna:{GOOD.replace('$8$3$', '$999999$3$')}",
        f"anna:{GOOD.replace('$8$3$', '$-8$3$')}",
        f"anna:{GOOD[:-8]}",
        f"anna:{GOOD}\n\x00:{GOOD}",
        b"\xff\xfe\x00",
        b"x" * (2 << 20),
    ],
)
def test_a_hostile_file_of_users_is_explained(tmp_path, text):
    path = tmp_path / "users"
    path.touch(mode=0o600)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RagError, match="--add-user") as caught:
        read_users(path)
    assert "\n" not in str(caught.value) and caught.value.exit_status == 1


def test_a_file_that_others_read_or_that_is_none_is_refused(tmp_path):
    path = tmp_path / "users"
    add_user(path, "anna", PASSWORD)
    path.chmod(0o640)
    with pytest.raises(RagError, match="chmod 600"):
        read_users(path)
    os.mkfifo(tmp_path / "pipe", mode=0o600)
    for name in ("pipe", "nothing", "."):
        with pytest.raises(RagError, match=r"not a file|not there"):
            read_users(tmp_path / name)


@pytest.mark.parametrize("name", ["", " ", "a:b", "a\nb", "../x", "x" * 65, "-rf", "a b", "<b>"])
def test_names_that_will_not_do(tmp_path, name):
    with pytest.raises(UsageError, match="a name has"):
        add_user(tmp_path / "users", name, PASSWORD)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1001])
def test_passwords_that_will_not_do(tmp_path, password):
    with pytest.raises(UsageError, match="8 to 1,000"):
        add_user(tmp_path / "users", "anna", password)
    assert not list(tmp_path.iterdir())


# the delay


def test_failures_wait_twice_as_long_each_time_and_a_success_ends_that(users):
    async def tries(door, *passwords, name="anna"):
        began, taken = time.monotonic(), []
        for password in passwords:
            fits = await door.check(name, password)
            taken.append((fits, time.monotonic() - began))
            began = time.monotonic()
        return taken

    async def run():
        door = Door(read_users(users), first_delay=0.4)
        wrong = await tries(door, "wrong", "wrong", "wrong", PASSWORD, PASSWORD)
        assert [fits for fits, _ in wrong] == [False, False, False, True, True]
        assert wrong[0][1] < wrong[2][1] < wrong[3][1] and wrong[3][1] >= 0.9 and wrong[4][1] < wrong[3][1]
        assert (await tries(door, PASSWORD, name="bob"))[0][0] is False

    asyncio.run(run())


def test_many_tries_at_once_are_refused_unread(users):
    async def run():
        door = Door(read_users(users), first_delay=16.0)
        door.LONGEST_DELAY = 30.0
        began = time.monotonic()
        first = asyncio.create_task(door.check("anna", "wrong"))
        second = asyncio.create_task(door.check("anna", "wrong"))
        others = await asyncio.gather(*(door.check("anna", PASSWORD) for _ in range(500)))
        assert not any(others) and not await first and time.monotonic() - began < 5
        second.cancel()

    asyncio.run(run())


def test_made_up_names_take_no_memory(users):
    async def run():
        door = Door(read_users(users), first_delay=0.0)
        door._nobody = door._users["anna"]
        for number in range(20_000):
            door._count(hash(f"name {number}") % door._SLOTS, 0.0)
        assert len(door._tries) == len(door._next) <= door._SLOTS

    asyncio.run(run())


# over HTTP

OPEN = {("GET", "/"), ("POST", "/login"), ("GET", "/gradio_api/startup-events")}


def test_all_but_the_login_page_needs_a_login(port):
    from gradio.routes import App

    with gradio.Blocks(analytics_enabled=False) as app:
        gradio.Textbox()
    paths = set()
    for route in App.create_app(app).routes:
        for one in getattr(getattr(route, "original_router", None), "routes", [route]):
            path = re.sub(r"\{[^}]*\}", "x", one.path).rstrip("/") or "/"
            paths |= {(method, path) for method in getattr(one, "methods", None) or {"GET"}}
    paths |= {
        ("POST", f"/gradio_api/{name}") for name in ("call/str", "run/str", "queue/join", "cancel", "upload")
    }
    paths |= {
        ("GET", "/gradio_api/info"),
        ("GET", "/gradio_api/queue/data?session_hash=x"),
        ("GET", "/config"),
    }
    assert len(paths) > 40
    for method, path in paths:
        if (method, path) not in OPEN:
            body = "{}" if method == "POST" else None
            assert ask(port, path, method, body)[0] in (401, 403), (method, path)


def test_the_login_page_tells_nothing_of_what_is_behind(port):
    for path in ("/", "/?all_endpoints=1", "/?deep_link=x", "/?page=x"):
        status, text, _ = ask(port, path)
        assert status == 200 and text == login_page().decode()


def test_a_log_in_is_short_and_no_link_elsewhere_signs_out(port):
    assert ask(port, "/login", "POST", "password=" + "x" * 5000)[0] == 413
    cookie = log_in(port, "anna", PASSWORD)[2][0].partition(";")[0]
    assert ask(port, "/logout", cookie=cookie)[0] == 403
    assert ask(port, "/config", cookie=cookie)[0] == 200


def test_who_logs_in_gets_in_and_nobody_else(port):
    assert log_in(port, "anna", "wrong")[0] == log_in(port, "nobody", PASSWORD)[0] == 400
    status, _, cookies = log_in(port, "anna", PASSWORD)
    assert status == 200 and all("HttpOnly" in cookie for cookie in cookies)
    for cookie in (one.partition(";")[0] for one in cookies):
        assert ask(port, "/config", cookie=cookie)[0] == 200
        assert ask(port, "/config", cookie=cookie[:-3])[0] == 401
    for other in ("x=y; =", "access-token-=;" * 9, '"', cookie.replace("=", "-x=")):
        assert ask(port, "/config", cookie=other)[0] == 401


def test_a_login_leads_to_no_file(port, users):
    cookie = log_in(port, "anna", PASSWORD)[2][0].partition(";")[0]
    for path in hostile_paths(users):
        for sent in ("", cookie):
            text = ask(port, path, cookie=sent)[1]
            assert "scrypt" not in text and "root:" not in text and "[project]" not in text, path


def test_the_login_page_in_a_browser(port, browser):
    page, outside = browser.new_page(), []
    address = f"http://127.0.0.1:{port}"
    page.on("request", lambda r: None if re.match(f"{address}|data:|blob:", r.url) else outside.append(r.url))
    page.goto(address)
    for password in ("wrong wrong", PASSWORD):
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("do not fit" if password != PASSWORD else "Articles").wait_for(timeout=20_000)
    page.wait_for_timeout(300)
    assert page.get_by_label("Who").input_value() == "anna" and outside == []


# the command


def test_the_command_adds_a_user_from_standard_input(rag, tmp_path):
    path = tmp_path / "users"
    for said in ("added anna", "changed the password of anna"):
        done = rag("ui", "--auth", path, "--add-user", "anna", library=tmp_path / "l", stdin=f"{PASSWORD}\nx")
        assert done.returncode == 0 and done.stdout.strip() == said
    assert read_users(path)["anna"].fits(PASSWORD) and not (tmp_path / "l").exists()


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--add-user", "anna"], 2, "--auth FILE"),
        (["--auth", "users", "--add-user", "anna"], 2, "8 to 1,000"),
        (["--auth", "no/where/users", "--add-user", "anna"], 1, "can be written"),
        (["--auth", "users"], 1, "--add-user"),
        (["--host", "0.0.0.0"], 2, "--auth FILE"),
        (["--host", "::"], 2, "--auth FILE"),
        (["--host", "nonsense.invalid"], 2, "--auth FILE"),
        (["--host", "127.0.0.1.invalid"], 2, "--auth FILE"),
    ],
)
def test_the_command_explains_what_will_not_do(rag, tmp_path, options, status, said):
    password = PASSWORD if "no/where/users" in options else "short"
    done = rag("ui", *options, library=tmp_path / "library", stdin=password, cwd=tmp_path, bound=True)
    assert done.returncode == status and said in one_line(done)
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_said_at_once(rag, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = rag("ui", "--port", other.getsockname()[1], library=tmp_path / "library")
    assert done.returncode == 1 and "--port N" in one_line(done) and not (tmp_path / "library").exists()
