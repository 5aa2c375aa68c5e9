"""Files, folders, patterns and addresses -> the library. What has not changed is not even read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urldefrag, urlsplit

from corpus.article import Article
from corpus.errors import ArticleError
from corpus.feeds import MOST_LINKS
from corpus.fetch import Page, fetch, is_url
from corpus.isolate import IsolatedReader
from corpus.readers import SUFFIXES, digest_of, files_below, find_files, make_article, read_bytes
from index.library import Added, Library, Progress

_SUFFIX_OF_TYPE = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "application/pdf": ".pdf",
    "application/epub+zip": ".epub",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken in: by article id what changed, and a line for each source that could not be read."""

    added: Added
    removed: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    """Where one article comes from; ``page`` is what was fetched already."""

    place: str
    page: Page | None = None


def add_places(
    library: Library, places: Sequence[str], progress: Progress, *, allow_private: bool = False
) -> Taken:
    """Add the articles at these paths, patterns and http(s) addresses (pages, feeds, sitemaps).

    Raises ArticleError if a place leads to nothing; one unreadable article among several is a failure in
    what is returned, and the others are added.
    """
    failures: list[str] = []
    with IsolatedReader() as reader:
        sources = [s for place in places for s in _sources(place, reader, allow_private, failures)]
        taken = _take(library, sources, progress, reader, allow_private)
    return replace(taken, failures=(*failures, *taken.failures))


def sync_folder(library: Library, folder: Path, progress: Progress) -> Taken:
    """Make the library hold just what ``folder`` holds of the articles below it.

    A file that cannot be read keeps its earlier version. Raises ArticleError if the folder cannot be listed.
    """
    if not folder.is_dir():
        raise ArticleError(f"{folder}: no such folder; name one to mirror")
    try:
        files = files_below(folder)
    except OSError as error:
        raise ArticleError(f"{folder}: {error.strerror}; check its permissions (chmod -R u+rX)") from error
    with IsolatedReader() as reader:
        taken = _take(library, [_Source(str(file)) for file in files], progress, reader)
    root, present = folder.resolve(), {str(file) for file in files}
    gone = [
        identity
        for source, (identity, _) in library.known_sources().items()
        if not is_url(source) and source not in present and Path(source).is_relative_to(root)
    ]
    if gone:
        library.remove(gone, progress)
    return replace(taken, removed=tuple(gone))


def watch_folder(library: Library, folder: Path, progress: Progress) -> Iterator[Taken]:
    """Mirror ``folder`` now and after each change in it, until interrupted; yield what each time did."""
    from watchfiles import watch

    yield sync_folder(library, folder, progress)
    for _ in watch(folder, step=200):
        yield sync_folder(library, folder, progress)


def _take(
    library: Library,
    sources: Sequence[_Source],
    progress: Progress,
    reader: IsolatedReader,
    allow_private: bool = False,
) -> Taken:
    reading = _Reading(reader, library.known_sources(), allow_private)
    added = library.add(reading.articles(sources), progress, lambda: reading.read / len(sources))
    library.refresh()
    unchanged = (*reading.unchanged, *added.unchanged)
    return Taken(replace(added, unchanged=unchanged), (), tuple(reading.failures))


@dataclass(slots=True)
class _Reading:
    """Reads sources one by one, and keeps account of those that give no article."""

    reader: IsolatedReader
    known: dict[str, tuple[str, str]]
    allow_private: bool
    unchanged: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    read: int = 0

    def articles(self, sources: Iterable[_Source]) -> Iterator[Article]:
        for source in sources:
            self.read += 1
            try:
                if (article := self._article(source)) is not None:
                    yield article
            except ArticleError as error:
                self.failures.append(str(error))

    def _article(self, source: _Source) -> Article | None:
        """Read one source; None if its bytes are those that the library has."""
        if is_url(source.place):
            page = source.page or fetch(source.place, allow_private=self.allow_private)
            place, data, charset = urldefrag(page.url).url, page.data, page.charset
            stem, suffix = _of_page(page)
        else:
            path = Path(source.place)
            place, data, charset = str(path.resolve()), read_bytes(path), ""
            stem, suffix = path.stem, path.suffix
        identity, digest = self.known.get(place, ("", ""))
        new_digest = digest_of(data, suffix)
        if digest == new_digest:
            self.unchanged.append(identity)
            return None
        document = self.reader.read(data, suffix, source.place, charset)
        return make_article(document, stem, place, new_digest)


def _of_page(page: Page) -> tuple[str, str]:
    """Return a page's name and the suffix of its kind."""
    address = urlsplit(page.url)
    path = PurePosixPath(unquote(address.path))
    suffix = _SUFFIX_OF_TYPE.get(page.content_type, "")
    if suffix in ("", ".txt") and path.suffix.lower() in SUFFIXES:
        suffix = path.suffix.lower()
    return path.stem or address.hostname or "page", suffix or ".html"


def _sources(place: str, reader: IsolatedReader, allow_private: bool, failures: list[str]) -> list[_Source]:
    if not is_url(place):
        return [_Source(str(path)) for path in find_files(Path(place))]
    page = fetch(place, allow_private=allow_private)
    links = reader.links(page)
    if links is None:
        return [_Source(place, page)]
    found = list(links.articles)
    for url in links.sitemaps:
        try:
            nested = reader.links(fetch(url, allow_private=allow_private))
        except ArticleError as error:
            failures.append(str(error))
        else:
            found.extend(nested.articles if nested else ())
        if len(found) >= MOST_LINKS:
            break
    if not found:
        raise ArticleError(f"{place}: lists no articles; name their addresses themselves")
    if len(found) >= MOST_LINKS:
        failures.append(f"{place}: only the first {MOST_LINKS:,} of its addresses are taken; name the others")
    return [_Source(url) for url in dict.fromkeys(found[:MOST_LINKS])]
