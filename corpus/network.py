"""Connections for ``corpus.fetch`` and ``rag.endpoint``: to an address that was checked, until one deadline."""

from __future__ import annotations

import queue
import socket
import threading
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, cast

from corpus.errors import ArticleError

if TYPE_CHECKING:
    import httpcore

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Network:
    """The httpcore backend that resolves a host once, checks all its addresses and connects to those alone."""

    name: str
    deadline: float
    allow_private: bool

    def connect_tcp(self, host: str, port: int, **_: object) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that answers; raises ArticleError if one is private."""
        import httpcore

        addresses = self._resolve(host, port)
        self._check(addresses)
        failure: Exception = OSError("no address")
        for waiting, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = _left(self.deadline) / waiting  # so that one dead address leaves time for the next
            try:
                stream = httpcore.SyncBackend().connect_tcp(address, port, share)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return cast("httpcore.NetworkStream", _Stream(stream, self.deadline))
        raise failure

    def _resolve(self, host: str, port: int) -> list[str]:
        answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        # getaddrinfo takes no timeout, so it runs where it can be left behind.
        threading.Thread(target=lambda: answers.put(_addresses(host, port)), daemon=True).start()
        try:
            found = answers.get(timeout=_left(self.deadline))
        except queue.Empty:
            raise TimeoutError from None
        if not found:
            raise ArticleError(f"{self.name}: cannot find this host; check its spelling and your connection")
        return found

    def _check(self, addresses: list[str]) -> None:
        private = [address for address in addresses if not _is_public(ip_address(address))]
        if private and not self.allow_private:
            raise ArticleError(
                f"{self.name}: this address is private ({private[0]}); add --allow-private if you mean it"
            )


@dataclass(frozen=True, slots=True)
class _Stream:
    """A connection whose every step ends by one deadline, however slowly the server drips."""

    stream: httpcore.NetworkStream
    deadline: float

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _left(self.deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _left(self.deadline))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, **_: object
    ) -> httpcore.NetworkStream:
        stream = self.stream.start_tls(ssl_context, server_hostname, _left(self.deadline))
        return cast("httpcore.NetworkStream", _Stream(stream, self.deadline))

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _left(deadline: float) -> float:
    """Return the seconds until ``deadline``; raises TimeoutError if none are left."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address, and any IPv4 address carried inside it, is on the public internet."""
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast
    inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in _NAT64:
        inner.append(IPv4Address(int(ip) & 0xFFFFFFFF))
    carried = [address for address in inner if address is not None]
    if carried:
        return all(_is_public(address) for address in carried)
    return ip in _GLOBAL_UNICAST and ip.is_global
