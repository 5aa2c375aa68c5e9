import gzip
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus.feeds
import corpus.fetch
from corpus.errors import ArticleError
from corpus.feeds import Links, listed_links
from corpus.fetch import Page, fetch, is_url

PUBLIC = "93.184.215.14"
HTML = {"Content-Type": "Text/HTML; Charset=ISO-8859-1"}


class Server:
    """A web server on 127.0.0.1: ``routes`` maps a path to its status, headers and body (bytes, or parts)."""

    def __init__(self, context=None):
        self.routes = {}
        self.asked = []
        handler = type("Handler", (_Handler,), {"server_": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # a client that hangs up is what these tests stage
        self.port = self._http.server_port
        if context:
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path="/", host="127.0.0.1", scheme="http"):
        return f"{scheme}://{host}:{self.port}{path}"

    def close(self):
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server_.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.server_.routes[self.path]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        for part in [body] if isinstance(body, bytes) else body:
            self.wfile.write(part)
            self.wfile.flush()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def resolve(monkeypatch):
    """Stage DNS: ``resolve[host]`` holds the answers, one a question; literal addresses resolve as ever."""
    answers = {}
    real = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        if host not in answers:
            assert host.replace(".", "").isdigit(), f"the test would ask DNS for {host}"
            return real(host, port, *args, **kwargs)
        found = answers[host].pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers


@pytest.fixture
def connections(monkeypatch):
    """Record each address connected to; a connection to PUBLIC ends at 127.0.0.1, any other is refused."""
    made = []
    real = socket.create_connection

    def create_connection(address, *args, **kwargs):
        made.append(address[0])
        if address[0] != PUBLIC:
            raise ConnectionRefusedError(111, "Connection refused")
        return real(("127.0.0.1", address[1]), *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return made


def refusal(url, **options):
    with pytest.raises(ArticleError) as caught:
        fetch(url, **options)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 700, message
    return message


def local(url):
    return fetch(url, allow_private=True)


def test_a_page_comes_with_its_type_and_charset(server):
    server.routes["/a"] = (200, HTML, b"caf\xe9")
    assert local(server.url("/a")) == Page(b"caf\xe9", "text/html", "iso-8859-1", server.url("/a"))
    server.routes["/b?c=d"] = (200, {}, b"x")
    assert local(server.url("/b?c=d")) == Page(b"x", "", "", server.url("/b?c=d"))


def test_the_request_tells_who_asks_and_carries_no_cookies(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    server.routes["/a"] = (302, {"Location": "/b", "Set-Cookie": "id=1"}, b"")
    server.routes["/b"] = (200, {}, b"x")
    local(server.url("/a"))
    [(_, headers)] = server.asked[1:]
    assert headers["User-Agent"] == "faqtual" and headers["Host"] == f"127.0.0.1:{server.port}"
    assert headers["Accept-Encoding"] == "gzip, deflate" and "text/html" in headers["Accept"]
    assert "Cookie" not in headers and "Authorization" not in headers


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("X-GZip", lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
    ],
)
def test_packed_pages_are_unpacked(server, encoding, pack):
    server.routes["/"] = (200, {"Content-Encoding": encoding}, pack(b"hello " * 99))
    assert local(server.url()).data == b"hello " * 99


@pytest.mark.parametrize(
    ("encoding", "data", "message"),
    [
        ("br", b"x", r"not asked for \(br\)"),
        ("gzip", b"x", "damaged"),
        ("gzip", gzip.compress(b"hello" * 99)[:-9], "damaged"),
        ("deflate", zlib.compress(b"hello" * 99)[:-9], "damaged"),
        ("deflate", b"\xff\xff\xff", "damaged"),
    ],
)
def test_damaged_and_unknown_packing_is_refused(server, encoding, data, message):
    server.routes["/"] = (200, {"Content-Encoding": encoding}, data)
    with pytest.raises(ArticleError, match=message):
        local(server.url())


def test_redirects_are_followed_to_the_last_address(server):
    for number, status in enumerate((301, 302, 303, 307, 308)):
        location = server.url("/1") if number == 0 else f"{number + 1}"
        server.routes[f"/{number}"] = (status, {"Location": location}, b"moved")
    server.routes["/5"] = (200, HTML, b"here")
    page = local(server.url("/0"))
    assert (page.data, page.url) == (b"here", server.url("/5"))
    server.routes["/5"] = (302, {"Location": "/6"}, b"")
    assert "more than 5 redirects" in refusal(server.url("/0"), allow_private=True)
    assert server.asked[-1][0] == "/5"


def test_a_redirect_loop_ends(server):
    server.routes["/"] = (302, {"Location": "/"}, b"")
    assert "more than 5 redirects" in refusal(server.url(), allow_private=True)
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    "location",
    [
        "",
        "file:///etc/passwd",
        "ftp://x.example/",
        "http://[",
        "http://u:secret@127.0.0.1/",
        "http://h:99999/",
        "javascript:1",
        "http://exa mple/",
        "http://\xff/",
        "data:text/html,x",
    ],
)
def test_a_redirect_to_a_bad_address_is_refused(server, location):
    server.routes["/"] = (302, {"Location": location}, b"")
    message = refusal(server.url(), allow_private=True)
    assert message.startswith(f"{server.url()} (redirected to ") and "secret" not in message
    assert "address" in message and len(server.asked) == 1


@pytest.mark.parametrize("status", [404, 403, 500, 304, 300, 599])
def test_a_status_other_than_success_is_named(server, status):
    server.routes["/"] = (status, {}, b"")
    assert f"the server answered {status}" in refusal(server.url(), allow_private=True)


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        message = refusal(url, allow_private=True)
    assert message.startswith(url) and "refused" in message


def test_a_server_that_does_not_speak_http_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection = listener.accept()[0]
            with connection:
                connection.recv(9999)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        threading.Thread(target=answer, daemon=True).start()
        assert "check the address" in refusal(
            f"http://127.0.0.1:{listener.getsockname()[1]}/", allow_private=True
        )


def test_a_large_answer_is_refused_by_its_length_and_by_its_bytes(server, monkeypatch):
    monkeypatch.setattr(corpus.fetch, "MOST_BYTES", 100_000)
    server.routes["/exact"] = (200, {}, b"x" * 100_000)
    assert len(local(server.url("/exact")).data) == 100_000
    server.routes["/declared"] = (200, {"Content-Length": "100001"}, b"")
    assert "more than 100,000 bytes" in refusal(server.url("/declared"), allow_private=True)
    sent = []
    server.routes["/stream"] = (200, {}, (sent.append(1) or b"x" * 9999 for _ in range(10_000)))
    assert "more than 100,000 bytes" in refusal(server.url("/stream"), allow_private=True)
    assert len(sent) < 10_000


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_bomb_is_not_unpacked(server, monkeypatch, encoding, pack):
    monkeypatch.setattr(corpus.fetch, "MOST_BYTES", 1_000_000)
    server.routes["/"] = (200, {"Content-Encoding": encoding}, pack(bytes(40_000_000)))
    message = refusal(server.url("/"), allow_private=True)  # once before measuring, for the imports
    tracemalloc.start()
    try:
        assert refusal(server.url("/"), allow_private=True) == message
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert "more than 1,000,000 bytes" in message


def test_a_packed_sitemap_that_is_a_bomb_is_refused():
    with pytest.raises(ArticleError, match="more than 20,000,000 bytes"):
        links(gzip.compress(bytes(20_000_001)))


def drip(part):
    for _ in range(100):
        yield part
        time.sleep(0.05)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_a_server_that_drips_is_left_at_the_deadline(monkeypatch, head):
    monkeypatch.setattr(corpus.fetch, "MOST_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection = listener.accept()[0]
            with connection:
                connection.sendall(head)
                try:
                    for part in drip(b"x"):
                        connection.sendall(part)
                except OSError:
                    pass  # the client has left

        threading.Thread(target=answer, daemon=True).start()
        start = time.monotonic()
        message = refusal(f"http://127.0.0.1:{listener.getsockname()[1]}/", allow_private=True)
    assert "no full answer in 0.4 seconds" in message
    assert 0.3 < time.monotonic() - start < 2


def test_slow_redirects_share_one_deadline(server, monkeypatch):
    monkeypatch.setattr(corpus.fetch, "MOST_SECONDS", 0.5)
    server.routes["/"] = (302, {"Location": "/"}, b"")
    send, pause = _Handler.do_GET, 0.2
    monkeypatch.setattr(_Handler, "do_GET", lambda self: (time.sleep(pause), send(self)))
    assert "no full answer" in refusal(server.url(), allow_private=True)
    assert len(server.asked) <= 3


def test_a_slow_name_server_is_left_at_the_deadline(monkeypatch):
    monkeypatch.setattr(corpus.fetch, "MOST_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3) or [])
    start = time.monotonic()
    assert "no full answer" in refusal("http://slow.example/")
    assert time.monotonic() - start < 2


PRIVATE = {
    "http://127.1/": "127.0.0.1",
    "http://0/": "0.0.0.0",
    "http://2130706433/": "127.0.0.1",
    "http://0x7f.1/": "127.0.0.1",
    "http://[::1]/": "::1",
    "http://[::]/": "::",
    "http://[::ffff:127.0.0.1]/": "::ffff:127.0.0.1",
    "http://[::ffff:7f00:1]/": "::ffff:127.0.0.1",
    "http://[::127.0.0.1]/": "::127.0.0.1",
    "http://[64:ff9b::10.0.0.1]/": "64:ff9b::a00:1",
    "http://[64:ff9b:1::8.8.8.8]/": "64:ff9b:1::808:808",
    "http://[2002:7f00:1::]/": "2002:7f00:1::",
    "http://[2001:0:808:808::80ff:fffe]/": "2001:0:808:808::80ff:fffe",
    "http://[fe80::1]/": "fe80::1",
    "http://[fc00::1]/": "fc00::1",
    "http://[fec0::1]/": "fec0::1",
    "http://[ff0e::1]/": "ff0e::1",
    "http://[2001:db8::1]/": "2001:db8::1",
    "http://169.254.169.254/": "169.254.169.254",
    "http://10.0.0.1/": "10.0.0.1",
    "http://172.16.0.1/": "172.16.0.1",
    "http://192.168.0.1/": "192.168.0.1",
    "https://100.64.0.1/": "100.64.0.1",
    "http://224.0.0.1/": "224.0.0.1",
    "http://240.0.0.1/": "240.0.0.1",
    "http://255.255.255.255/": "255.255.255.255",
}


@pytest.mark.parametrize(("url", "address"), PRIVATE.items())
def test_private_addresses_are_refused_before_connecting(connections, url, address):
    assert refusal(url) == f"{url}: this address is private ({address}); add --allow-private if you mean it"
    assert connections == []


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "[64:ff9b::808:808]", "[::ffff:8.8.8.8]"])
def test_public_addresses_are_connected_to(connections, host):
    refusal(f"http://{host}/")
    assert connections == [host.strip("[]")]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.example/",
        "file:///etc/passwd",
        "http://user:secret@x.example/",
        "http://user@x.example/",
        "http://x.example:99999/",
        "http://x.example:0/",
        "http://x.example:x/",
        "http://",
        "https:///x",
        "",
        "http://exa mple/",
        "http://x.example/\0",
        "http://\0/",
        "http://x.example/\n",
        "http://[::1/",
        "http://[/",
        "http://[fe80::1%25lo]/",
        "http://a%41/",
        "http://0177.0.0.1/",
        "http://x/\ud800",
        "http://" + "a" * 300,
        "x.example",
        "/etc",
        "http://" + "a/" * 99_999,
        "http://\u2603\u2603" + "\u2603" * 99,
        "http://x:" + "9" * 9999,
        " http://x/",
        "http:x.example",
        "http:/x.example/",
        "http://xn--\u00fc/",
        "javascript:alert(1)",
        "http://?",
        "http://#",
    ],
)
def test_bad_addresses_are_refused_without_a_question_to_dns(monkeypatch, url):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked DNS"))
    message = refusal(url)
    assert "address" in message and ";" in message and "secret" not in message


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
def test_an_unknown_host_is_named(monkeypatch, failure):
    def getaddrinfo(*_, **__):
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert refusal("http://nowhere.example/").startswith("http://nowhere.example/: cannot find this host;")


def test_a_public_host_may_not_redirect_to_a_private_address(server, resolve, connections):
    resolve["public.example"] = [[PUBLIC]]
    server.routes["/"] = (302, {"Location": server.url("/secret")}, b"")
    server.routes["/secret"] = (200, {}, b"secret")
    message = refusal(server.url(host="public.example"))
    assert message.startswith(
        f"{server.url(host='public.example')} (redirected to {server.url('/secret')}): "
    )
    assert "private (127.0.0.1)" in message
    assert [path for path, _ in server.asked] == ["/"] and connections == [PUBLIC]


def test_a_host_is_asked_for_once_and_the_checked_address_is_connected_to(server, resolve, connections):
    resolve["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    server.routes["/"] = (200, {}, b"x")
    assert fetch(server.url(host="rebind.example")).data == b"x"
    assert connections == [PUBLIC] and resolve["rebind.example"] == [["127.0.0.1"]]
    assert server.asked[0][1]["Host"] == f"rebind.example:{server.port}"


def test_a_redirect_to_the_same_host_is_checked_again(server, resolve, connections):
    resolve["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    server.routes["/"] = (302, {"Location": "/again"}, b"")
    assert "private (127.0.0.1)" in refusal(server.url(host="rebind.example"))
    assert connections == [PUBLIC]


@pytest.mark.parametrize("answer", [[PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC]])
def test_an_answer_that_mixes_public_and_private_is_refused(resolve, connections, answer):
    resolve["mixed.example"] = [answer]
    assert "private (10.0.0.1)" in refusal("http://mixed.example/")
    assert connections == []


def test_the_next_address_is_tried_where_the_first_is_dead(server, resolve, connections):
    resolve["two.example"] = [["8.8.8.8", PUBLIC]]
    server.routes["/"] = (200, {}, b"x")
    assert fetch(server.url(host="two.example")).data == b"x"
    assert connections == ["8.8.8.8", PUBLIC]


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """A https server whose certificate, trusted here, is for secure.example alone."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += f" -subj /CN=secure.example -addext subjectAltName=DNS:secure.example -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Server(context)
    yield server
    server.close()


def test_tls_verifies_the_name_of_the_host(secure, resolve, monkeypatch):
    resolve |= {"secure.example": [["127.0.0.1"]] * 2, "other.example": [["127.0.0.1"]]}
    secure.routes["/"] = (200, {}, b"x")
    url = secure.url(host="secure.example", scheme="https")
    assert local(url).data == b"x"
    other = refusal(secure.url(host="other.example", scheme="https"), allow_private=True)
    assert "certificate is not valid (Hostname mismatch" in other
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "certificate is not valid (self" in refusal(url, allow_private=True)
    assert len(secure.asked) == 1


def test_https_may_not_redirect_to_http(secure, server, resolve):
    resolve |= {"secure.example": [["127.0.0.1"]]}
    secure.routes["/"] = (302, {"Location": server.url()}, b"")
    url = secure.url(host="secure.example", scheme="https")
    assert "this leaves https" in refusal(url, allow_private=True)
    assert server.asked == []


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["", "http://", "HTTPS://", "http://127.0.0.1/", "http://["]), st.text(max_size=60))
def test_any_text_is_fetched_or_refused(start, text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda _, port, **__: [(2, 1, 6, "", (PUBLIC, port))])
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("touched the network"))
        patch.setattr(socket, "create_connection", _refuse)
        assert refusal(start + text)


def _refuse(*_, **__):
    raise ConnectionRefusedError(111, "Connection refused")


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=80), st.sampled_from([b"", b"<rss><item><link>", b"<!DOCTYPE rss [", b"\x1f\x8b\x08"])
)
def test_any_bytes_are_a_list_or_none_or_refused(data, start):
    try:
        found = listed_links(start + data, "http://x.example/")
    except ArticleError:
        return
    assert found is None or all(map(is_url, found.articles + found.sitemaps))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("http://x", True), ("HTTPS://x", True), ("x.html", False), ("ftp://x", False), ("httpx://", False)],
)
def test_a_web_address_is_told_from_a_path(text, expected):
    assert is_url(text) is expected


RSS = """<?xml version="1.0"?>
<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel>
<title>Fish &amp; chips</title><link>https://x.example/</link>
<atom:link href="https://x.example/feed" rel="self"/>
<item><!-- first --><title>1</title><atom:link href="/self" rel="self"/><link> https://x.example/1?a=1&amp;b=2 </link></item>
<item><link><![CDATA[/2]]></link><guid>http://x.example/other</guid></item>
<item><guid>http://x.example/3</guid></item>
<item><guid isPermaLink="false">http://x.example/no</guid></item>
<item><link>/2</link></item><item><link>mailto:a@x.example</link></item><item><link>http://[</link></item>
<item><title>no link</title></item></channel></rss>"""
RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
<channel rdf:about="x"><link>/channel</link></channel><item rdf:about="1"><link>1</link></item></rdf:RDF>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><link href="http://x.example/"/>
<entry><link rel="edit" href="/edit"/><link rel="alternate" href="1"/><id>urn:1</id></entry>
<entry><link href="../2"/></entry><entry><link rel="enclosure" href="/sound"/></entry></feed>"""
SITEMAP = """<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://x.example/image">
<url><image:image><image:loc>http://x.example/photo</image:loc></image:image><loc>
http://x.example/1</loc></url><url><loc>HTTP://x.example/2</loc></url></urlset>"""
INDEX = """<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<sitemap><loc>http://x.example/a.xml.gz</loc></sitemap><sitemap><loc>/b.xml</loc></sitemap></sitemapindex>"""
HERE = "http://x.example/blog/feed"


def links(text):
    return listed_links(text if isinstance(text, bytes) else text.encode(), HERE)


@pytest.mark.parametrize(
    ("text", "articles"),
    [
        (RSS, "https://x.example/1?a=1&b=2 http://x.example/2 http://x.example/3"),
        ("\n \n" + RSS, "https://x.example/1?a=1&b=2 http://x.example/2 http://x.example/3"),
        (RDF, "http://x.example/blog/1"),
        (ATOM, "http://x.example/blog/1 http://x.example/2"),
        (SITEMAP, "http://x.example/1 http://x.example/2"),
        (gzip.compress(SITEMAP.encode()), "http://x.example/1 http://x.example/2"),
        (ATOM.encode("utf-16"), "http://x.example/blog/1 http://x.example/2"),
        ("<rss/>", ""),
    ],
)
def test_feeds_and_sitemaps_list_their_articles(text, articles):
    assert links(text) == Links(articles=tuple(articles.split()))


def test_a_sitemap_index_lists_sitemaps():
    assert links(INDEX) == Links(sitemaps=("http://x.example/a.xml.gz", "http://x.example/b.xml"))


def test_a_long_list_is_cut():
    items = "".join(f"<item><link>/{number}</link></item>" for number in range(1500))
    found = links(f"<rss>{items}</rss>").articles
    assert len(found) == corpus.feeds.MOST_LINKS == 1000 and found[-1] == "http://x.example/999"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text",
        "<html><body><p>a<br><p>b &nbsp;<urlset></html>",
        "<!DOCTYPE html><title>x</title>",
        "\0",
        "<note><item><link>http://x.example/</link></item></note>",
        '{"feed": 1}',
        "<?xml version='1.0'?>",
        gzip.compress(b"<p>text"),
        b"%PDF-1.7\n\xff\xfe",
    ],
)
def test_other_pages_list_nothing(text):
    assert links(text) is None


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
XXE = '<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss><item><link>&x;</link></item></rss>'


@pytest.mark.parametrize(
    "text",
    [
        XXE,
        f'<?xml version="1.0" encoding="utf-16"?>{XXE}'.encode("utf-16"),
        f'<!DOCTYPE rss [<!ENTITY a0 "ha">{LAUGHS}]><rss><item><link>&a9;</link></item></rss>',
        '<!DOCTYPE feed [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd">%x;]><feed/>',
        gzip.compress(XXE.encode()),
    ],
)
def test_entities_are_refused(monkeypatch, text):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("touched the network"))
    with pytest.raises(ArticleError, match="XML entities"):
        links(text)


def test_an_outside_document_type_is_not_loaded(tmp_path):
    (tmp_path / "x.dtd").write_text('<!ENTITY x "http://x.example/from-dtd"><!damaged')
    text = f'<!DOCTYPE rss SYSTEM "{tmp_path}/x.dtd"><rss><item><link>&x;</link></item></rss>'
    assert links(text) == Links()


@pytest.mark.parametrize(
    "text", [RSS[:-9], RSS.replace("&amp; chips", "&nbsp;chips"), SITEMAP.replace("<loc>", "<loc>&", 1)]
)
def test_a_damaged_list_is_refused_not_guessed(text):
    with pytest.raises(ArticleError, match=r"damaged XML in line \d"):
        links(text)


def test_text_about_entities_is_no_entity():
    assert links("<rss><item><link>/1</link><title><![CDATA[<!ENTITY x]]></title></item></rss>").articles


def test_the_import_is_cheap():
    command = "import corpus.feeds, sys; print({'httpx', 'httpcore', 'lxml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
