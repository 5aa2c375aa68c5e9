"""Trains the evidence reader: MiniLM's layers with three heads, over groups of chunks that compete for a question.

A pass over (question, chunk) gives the chunk's relevance from the first token, a score for each sentence from the mean of
its token vectors, and a score for each token as the answer's first and last. Each is a softmax over the whole group
with "none of these" beside it, as in the shared normalization of Clark & Gardner (ACL 2018), so that scores of
different chunks compare. The embeddings stay as they are: what is trained is small, and the tokenizer's too.
"""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from corpus.errors import ModelError
from index.chunk import Chunk
from index.embed import embedder_folder, has_fast_bfloat16, set_offline
from rag.reader import HEADS, Encoded, ReadSentence, Values, encode_chunk, reading_of
from rag.training.balance import unanswered_chances
from rag.training.groups import Group
from rag.training.samples import Sample, sample_of

_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run of training depends on besides the groups."""

    epochs: float = 3.0
    groups: int = 8
    shown: int = 5
    learning_rate: float = 1.2e-4
    warmup: float = 0.05
    span_share: float = 0.5
    seed: int = 11


class ReaderModel(nn.Module):
    """BERT's layers and the heads; token type 0 everywhere, as llama.cpp runs it."""

    def __init__(self) -> None:
        super().__init__()
        set_offline()
        from transformers import BertModel

        # On two cores the plain attention trains three times as fast as the fused one, and drawing dropout's random
        # numbers takes as long as the rest of a step: without it there are as many epochs more.
        self.bert = BertModel.from_pretrained(
            embedder_folder(), add_pooling_layer=False, attn_implementation="eager", **_NO_DROPOUT
        )
        self.bert.embeddings.requires_grad_(False)
        self.heads = nn.Linear(self.bert.config.hidden_size, len(HEADS))
        nn.init.normal_(self.heads.weight, std=0.02)
        nn.init.zeros_(self.heads.bias)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return each token's values under the heads, shape (chunks, tokens, heads), in float32."""
        hidden = self.bert(input_ids=tokens, attention_mask=mask).last_hidden_state
        values: Tensor = self.heads(hidden.float())
        return values


def loss_of(model: ReaderModel, samples: Sequence[Sample], span_share: float, device: str) -> Tensor:
    """Return the mean loss of the samples: relevance, sentence and (``span_share``) answer span."""
    values = _values(model, [pair for sample in samples for pair in sample.pairs], device)
    none = values[0].new_zeros(1)
    losses = []
    row = 0
    for sample in samples:
        rows = range(row, row + len(sample.pairs))
        row += len(sample.pairs)
        nll = _each_nll if sample.each_gold else _nll
        losses.append(nll([values[r][0, 0].view(1) for r in rows], [[g] for g in sample.gold_chunks], none))
        if sample.has_sentence:
            means = [_sentence_values(values[r], p) for r, p in zip(rows, sample.pairs, strict=True)]
            losses.append(nll(means, sample.gold_sentences, none))
        if sample.has_span:
            for head in (2, 3):
                scores, gold = [], []
                for r, pair, places in zip(rows, sample.pairs, sample.gold_tokens, strict=True):
                    first, end = pair.body, len(pair.ids) - 1
                    scores.append(values[r][first:end, head])
                    wanted = {place[head - 2] for place in places}
                    gold.append([t in wanted for t in range(end - first)])
                losses.append(span_share * nll(scores, gold, none))
    return torch.stack(losses).sum() / len(samples)


def _values(model: ReaderModel, pairs: Sequence[Encoded], device: str) -> list[Tensor]:
    """Return each pair's values, shape (tokens, heads); those of like length are computed together, so that less is padding."""
    order = sorted(range(len(pairs)), key=lambda n: len(pairs[n].ids))
    found: dict[int, Tensor] = {}
    for part in (order[: len(order) // 2], order[len(order) // 2 :]):
        longest = max((len(pairs[n].ids) for n in part), default=0)
        rows = [pairs[n].ids + [0] * (longest - len(pairs[n].ids)) for n in part]
        if rows:
            tokens = torch.tensor(rows, device=device)
            found |= dict(zip(part, model(tokens, (tokens != 0).long()), strict=True))
    return [found[n] for n in range(len(pairs))]


def _sentence_values(values: Tensor, pair: Encoded) -> Tensor:
    """The sentence head's mean over each sentence's tokens; a sentence that was cut off has the lowest."""
    means = [values[a:b, 1].mean() if b > a else values.new_tensor(-9.0) for a, b in pair.sentences]
    return torch.stack(means) if means else values.new_zeros(0)


def _nll(scores: list[Tensor], gold: list[list[bool]], none: Tensor) -> Tensor:
    """Minus the log-probability of all gold places together, or of "none" where there is no gold place."""
    every = torch.cat([*scores, none])
    flat = [g for part in gold for g in part]
    marks = torch.tensor([*flat, not any(flat)], device=every.device)
    return torch.logsumexp(every, 0) - torch.logsumexp(every[marks], 0)


def _each_nll(scores: list[Tensor], gold: list[list[bool]], none: Tensor) -> Tensor:
    """The mean over the gold places of minus the log-probability of each against all that is not gold."""
    every = torch.cat([*scores, none])
    flat = [g for part in gold for g in part]
    marks = torch.tensor([*flat, not any(flat)], device=every.device)
    if marks.all():  # "none" alone
        return every.new_zeros(())
    wanted = every[marks]
    return torch.nn.functional.softplus(torch.logsumexp(every[~marks], 0) - wanted).mean()


def train(
    groups: Sequence[Group],
    folder: Path,
    recipe: Recipe,
    start: Path | None = None,
    validate: Any = None,
    log_every: int = 50,
) -> ReaderModel:
    """Train a reader, from exported weights if ``start`` names them, and leave a checkpoint in ``folder``.

    Goes on from that where there is one.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(recipe.seed)
    model = (load_exported(start) if start else ReaderModel()).to(device)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=0.01)
    computed = copy.deepcopy(model)  # in bfloat16, of which the float32 weights take the gradients
    computed.bert.to(torch.bfloat16 if device == "cuda" or has_fast_bfloat16() else torch.float32)
    copies = [p for p in computed.parameters() if p.requires_grad]
    steps = int(recipe.epochs * len(groups) / recipe.groups)
    warm = max(1, int(recipe.warmup * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm, max(0.0, (steps - s) / max(1, steps - warm)))
    )
    done = _resume(folder, model, optimizer, schedule)
    began, first, recent = time.monotonic(), done, []
    for step, samples in _batches(groups, unanswered_chances(groups), recipe, done, steps):
        with torch.no_grad():
            for weight, copied in zip(weights, copies, strict=True):
                copied.copy_(weight)
                copied.grad = None
        loss = loss_of(computed, samples, recipe.span_share, device)
        torch.autograd.backward(loss)
        for weight, copied in zip(weights, copies, strict=True):
            weight.grad = None if copied.grad is None else copied.grad.float()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        recent.append(float(loss.detach()))
        if step % log_every == 0 or step == steps:
            left = (time.monotonic() - began) / (step - first) * (steps - step)
            print(
                f"step {step}/{steps} loss {sum(recent) / len(recent):.4f} {left / 60:.0f} min left",
                flush=True,
            )
            recent = []
        if step % (10 * log_every) == 0 or step == steps:
            _checkpoint(folder, model, optimizer, schedule, step, recipe)
            if validate:
                model.eval()
                validate(model, step)
    return model.eval()


def _batches(
    groups: Sequence[Group], unanswered: Sequence[float], recipe: Recipe, done: int, steps: int
) -> Iterator[tuple[int, list[Sample]]]:
    """Yield each step's samples, the same for a seed wherever training goes on from."""
    for step in range(done + 1, steps + 1):
        epoch, place = divmod((step - 1) * recipe.groups, len(groups))
        order = list(range(len(groups)))
        random.Random(recipe.seed + epoch).shuffle(order)
        chance = random.Random(f"{recipe.seed} {step}")
        samples: list[Sample] = []
        while not samples:
            picked = [order[n % len(groups)] for n in range(place, place + recipe.groups)]
            tries = [sample_of(groups[n], recipe.shown, chance, unanswered[n]) for n in picked]
            samples = [sample for sample in tries if sample]
        yield step, samples


def _checkpoint(
    folder: Path, model: ReaderModel, optimizer: Any, schedule: Any, step: int, recipe: Recipe
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "step": step,
    }
    torch.save(state, folder / "checkpoint.new")
    (folder / "checkpoint.new").replace(folder / "checkpoint.pt")
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")


def _resume(folder: Path, model: ReaderModel, optimizer: Any, schedule: Any) -> int:
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])


def load_trained(folder: Path) -> ReaderModel:
    """Return the reader of a checkpoint."""
    model = ReaderModel()
    model.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["model"])
    return model.eval()


class TorchReader:
    """Reads as ``rag.reader.Reader`` does, with a trained model in torch."""

    def __init__(self, model: ReaderModel) -> None:
        self._model = model.eval()

    def values(self, ids: Sequence[int]) -> Values:
        """Return the heads' values for each token, shape (tokens, heads)."""
        with torch.inference_mode():
            tokens = torch.tensor([list(ids)])
            values: Values = self._model(tokens, torch.ones_like(tokens))[0].numpy()
        return values

    def read(self, question: str, chunk: Chunk) -> tuple[ReadSentence, ...]:
        """Return the chunk's statements with their scores."""
        pair, spans = encode_chunk(question, chunk)
        return reading_of(chunk, pair, spans, self.values(pair.ids))


def export(model: ReaderModel, path: Path) -> None:
    """Write what was trained, the layers and the heads, in half precision."""
    from safetensors.torch import save_file

    layers = {
        name.removeprefix("bert."): tensor
        for name, tensor in model.state_dict().items()
        if name.startswith("bert.encoder.")
    }
    heads = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("heads.")}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.half().contiguous() for name, tensor in {**layers, **heads}.items()}, path)


def load_exported(path: Path) -> ReaderModel:
    """Return the reader of an exported file, in float32."""
    from safetensors.torch import load_file

    model = ReaderModel()
    tensors = {
        name if name.startswith("heads.") else f"bert.{name}": tensor.float()
        for name, tensor in load_file(path).items()
    }
    missing = {
        name for name in model.state_dict() if not name.startswith("bert.embeddings.")
    } - tensors.keys()
    if missing:
        raise ModelError(f"{path}: lacks {sorted(missing)[0]}; export it again")
    model.load_state_dict(tensors, strict=False)
    return model.eval()
