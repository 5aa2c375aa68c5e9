"""The command ``rag ui``: where the page listens, who may use it, and what Gradio is told for that."""

from __future__ import annotations

import argparse
import getpass
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from corpus.errors import RagError, UsageError
from ui.auth import LONGEST, Door, Hashed, add_user, clean_name, read_users
from ui.guard import Guard, is_loopback
from ui.progress import say

LOOPBACK = "127.0.0.1"


class Serving(NamedTuple):
    """Where the page listens, and who may use it: ``users`` is None where nobody has to log in."""

    host: str = LOOPBACK
    port: int | None = None
    users: dict[str, Hashed] | None = None


def add_options(command: argparse.ArgumentParser) -> None:
    """Give ``rag ui`` its options."""
    command.add_argument(
        "--host",
        metavar="ADDRESS",
        default=LOOPBACK,
        help=f"default: {LOOPBACK}, this machine alone; another needs --auth",
    )
    command.add_argument("--port", metavar="N", type=_port, help="default: the first free one from 7860")
    command.add_argument(
        "--auth", metavar="FILE", type=Path, help="ask for the name and password of a user in this file"
    )
    command.add_argument(
        "--add-user",
        metavar="NAME",
        help="only add a user to the --auth file, or change a password; it is asked for, or read from standard input",
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("takes a number from 1 to 65535")
    return int(text)


def keep_user(options: argparse.Namespace) -> int:
    """Do what ``--add-user`` asks; returns the exit status."""
    if options.auth is None:
        raise UsageError("--add-user needs the file of users: rag ui --auth FILE --add-user NAME")
    name = clean_name(options.add_user)
    known = add_user(options.auth, name, _password(name))
    print(f"changed the password of {name}" if known else f"added {name}")
    return 0


def _password(name: str) -> str:
    """Ask for a password twice on a terminal, or read the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline(2 * LONGEST).rstrip("\r\n")
    try:
        password = getpass.getpass(f"Password of {name}: ")
        if getpass.getpass("Once more: ") != password:
            raise UsageError("the two passwords differ; nothing was changed")
    except EOFError as error:
        raise UsageError("no password was given; nothing was changed") from error
    return password


def serving(options: argparse.Namespace) -> Serving:
    """Return what the options ask for, checked before anything heavy is loaded.

    Another host without users is refused, not warned about: whoever reaches the page can read the articles, and
    add and remove them. Raises UsageError for that, RagError if the address or the file of users will not do.
    """
    users = read_users(options.auth) if options.auth is not None else None
    exposed = not is_loopback(options.host)
    if exposed and users is None:
        raise UsageError(
            f"--host {options.host} lets others read and change the library; give them names and passwords with "
            "--auth FILE"
        )
    _try_address(options.host, options.port)
    if exposed:
        say("Passwords and answers cross the network unencrypted; put a proxy with TLS before the page.")
    return Serving(options.host.strip("[]"), options.port, users)


def _try_address(host: str, port: int | None) -> None:
    """Raise RagError if nothing can listen there; Gradio itself would try for minutes."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port or 0, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        where = host if port is None else f"{host}, port {port}"
        raise RagError(
            f"the page cannot be served on {where} ({error}); name a free port with --port N, and an address of this "
            "machine with --host"
        ) from error


def launch_options(where: Serving, private: Sequence[Path] = ()) -> dict[str, Any]:
    """Return what ``Blocks.launch`` is given: guarded, never through a tunnel, and nothing that asks elsewhere.

    ``private`` are files and folders that are never served, wherever they lie.
    """
    from starlette.middleware import Middleware

    login = where.users is not None
    return {
        "server_name": f"[{where.host}]" if ":" in where.host else where.host,
        "server_port": where.port,
        "share": False,
        "auth": Door(where.users).check if where.users is not None else None,
        "app_kwargs": {"middleware": [Middleware(Guard, host=where.host, login=login)]},
        "blocked_paths": [str(path.resolve()) for path in private],
        "footer_links": [],  # they lead out
        "run_history": False,  # would offer to keep runs on the Hugging Face hub
        "enable_monitoring": False,
        "mcp_server": False,
        "ssr_mode": False,
        "pwa": False,
        "num_workers": 0,  # workers would listen on further ports, unguarded
    }
