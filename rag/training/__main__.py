"""``python -m rag.training``: how the shipped weights are made from the public sets, step by step.

prepare DATA FOLDER   the library of all sets, and each question with the chunks that it finds
train FOLDER          the reader, on two cores in an hour; goes on from its checkpoint
export FOLDER         its weights into rag/weights
fit DATA FOLDER       the odds over all signals, on other articles; figures on yet others
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus.errors import RagError
from index.embed import set_offline
from index.weights import sha256_of
from rag import logistic
from rag.reader import WEIGHTS, Reader
from rag.training.fit import Memo, fit_all, write_weights
from rag.training.groups import library_of, prepare, read_groups
from rag.training.sets import WRITTEN, read_pools


def _progress() -> Callable[[str, int, int], None]:
    began, last = time.monotonic(), 0.0

    def show(stage: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 10 or done == total:
            last = time.monotonic()
            print(f"{last - began:.0f} s: {stage} {done}/{total}", file=sys.stderr, flush=True)

    return show


def _prepare(options: argparse.Namespace) -> None:
    options.folder.mkdir(parents=True, exist_ok=True)
    print(
        prepare(read_pools(options.data, options.written), options.folder, options.seed, _progress()),
        "questions",
    )


def _train(options: argparse.Namespace) -> None:
    from rag.training.reader import Recipe, train

    groups = list(read_groups(options.folder))
    recipe = Recipe(epochs=options.epochs, learning_rate=options.learning_rate, seed=options.seed)
    train(groups, options.folder, recipe, options.start)


def _export(options: argparse.Namespace) -> None:
    from rag.training.reader import export, load_trained

    export(load_trained(options.folder), options.output)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes, sha256 {sha256_of(options.output)}")


def _fit(options: argparse.Namespace) -> None:
    logistic.WEIGHTS = options.output
    write = functools.partial(write_weights, output=options.output)

    def use(fits: dict[str, Any]) -> None:
        write(fits)
        logistic.forget()

    with library_of(options.folder) as library:
        read = options.folder / f"read-{sha256_of(options.reader)[:12]}.jsonl"
        memo = Memo(Reader(options.reader).read, read)
        pools = read_pools(options.data, options.written)
        made = fit_all(library, pools, memo, use, options.questions, options.seed, _progress())
    use(made)
    print(json.dumps(made["made"], indent=2))


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(
        prog="python -m rag.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = parser.add_subparsers(required=True)

    def step(name: str, run: Callable[[argparse.Namespace], None], data: bool) -> argparse.ArgumentParser:
        one = steps.add_parser(name)
        one.set_defaults(run=run)
        if data:
            one.add_argument("data", type=Path, help="the folder of public data")
            one.add_argument("--written", type=Path, default=WRITTEN, help="the folder of written dossiers")
        one.add_argument("folder", type=Path, help="a folder for what is made on the way")
        one.add_argument("--seed", type=int, default=11)
        return one

    step("prepare", _prepare, data=True)
    train = step("train", _train, data=False)
    train.add_argument("--epochs", type=float, default=3.0)
    train.add_argument("--learning-rate", type=float, default=1.2e-4)
    train.add_argument("--start", type=Path, help="exported weights to go on from")
    step("export", _export, data=False).add_argument("--output", type=Path, default=WEIGHTS)
    fit = step("fit", _fit, data=True)
    fit.add_argument("--questions", type=int, default=1000, help="of each part, by chance")
    fit.add_argument("--reader", type=Path, default=WEIGHTS, help="the exported weights")
    fit.add_argument("--output", type=Path, default=logistic.WEIGHTS)
    options = parser.parse_args()
    set_offline()
    try:
        options.run(options)
    except RagError as error:
        sys.exit(f"rag.training: {error}")


if __name__ == "__main__":
    main()
