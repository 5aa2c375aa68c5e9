"""Libraries made with other embedders: small models with random weights, saved as sentence-transformers saves them."""

import functools
import io
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from test_embed import ODD, cosines, varied

from corpus.errors import LibraryError, ModelError
from corpus.readers import bundled_articles, read_articles
from index import embed
from index.adopt import find_embedder
from index.chunk import cut
from index.embed import BUNDLED, LlamaEncoder, QuestionEncoder, TorchEncoder, chunk_vectors
from index.library import Library
from index.sentences import Span
from ui.cli import main

QUIET = lambda *_: None  # noqa: E731
PROMPTS = {"query": "query: ", "document": "passage: "}
LONGEST = 64


def word_pieces(cased=False):
    """A tokenizer with 3,000 pieces of the pinned vocabulary."""
    from transformers import BertTokenizerFast

    vocabulary = (embed.embedder_folder() / "vocab.txt").read_text().splitlines()
    pieces = [piece for piece in vocabulary if not piece.startswith("[")][:3000]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *(["Élan", "ÇA"] if cased else [])]
    ids = {token: n for n, token in enumerate(tokens)}
    return BertTokenizerFast(ids, do_lower_case=not cased, model_max_length=LONGEST)


def sentence_pieces():
    """A tokenizer of another kind, as multilingual models have it, trained on the bundled articles."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    marks = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    made = Tokenizer(models.Unigram())
    made.normalizer, made.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=2000, special_tokens=list(marks.values()), unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator([article.text for article in read_articles(bundled_articles())], trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=LONGEST, **marks)


def save(folder, tokenizer, kind="Bert", pooling="mean", prompts=None, half=False, **sizes):
    """Save a model of random weights, wide enough that texts differ, as a person's folder has it."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96} | sizes
    sizes = {"hidden_size": 48, "max_position_embeddings": LONGEST, "initializer_range": 0.3} | sizes
    config = getattr(transformers, f"{kind}Config")(vocab_size=len(tokenizer), **sizes)
    model = getattr(transformers, f"{kind}Model")(config)
    bare = folder.with_name(f"{folder.name}-bare")
    (model.half() if half else model).save_pretrained(bare)
    tokenizer.save_pretrained(bare)
    modules = [Transformer(str(bare)), Pooling(config.hidden_size, pooling_mode=pooling)]
    modules += [Normalize()] if prompts else []
    SentenceTransformer(modules=modules, prompts=prompts or {}, device="cpu").save(str(folder))
    return folder


def as_before_version_6(folder):
    """Write a folder's settings as older releases did."""
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps(
            {
                "word_embedding_dimension": 48,
                "pooling_mode_cls_token": False,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": False,
            }
        )
    )
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 40, "do_lower_case": false}')
    (folder / "config_sentence_transformers.json").unlink()
    kinds = [f"sentence_transformers.models.{name}" for name in ("Transformer", "Pooling")]
    modules = zip(kinds, ("", "1_Pooling"), strict=True)
    (folder / "modules.json").write_text(
        json.dumps([{"idx": n, "name": str(n), "path": p, "type": k} for n, (k, p) in enumerate(modules)])
    )
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The folders of some models, by what is special about each."""
    root = tmp_path_factory.mktemp("models")
    mpnet = {"hidden_size": 32, "max_position_embeddings": LONGEST + 2, "intermediate_size": 64}
    return {
        "cls": save(root / "cls model", word_pieces(), pooling="cls", prompts=PROMPTS),
        "pieces": save(
            root / "pieces", sentence_pieces(), prompts={"query": "query: ", "passage": "passage: "}
        ),
        "old": as_before_version_6(
            save(root / "old", word_pieces(cased=True), half=True, num_hidden_layers=3, type_vocab_size=1)
        ),
        "max": save(root / "max", word_pieces(), pooling="max"),
        "mpnet": save(root / "mpnet", mpnet_pieces(), kind="MPNet", prompts=PROMPTS, **mpnet),
    }


def mpnet_pieces():
    from transformers import MPNetTokenizer

    ids = {
        t: n
        for n, t in enumerate(
            ["<s>", "<pad>", "</s>", "[UNK]", *list(word_pieces().get_vocab())[5:], "<mask>"]
        )
    }
    return MPNetTokenizer(ids, model_max_length=LONGEST)


@pytest.fixture
def copy(models, tmp_path):
    """A model's folder to damage."""
    return shutil.copytree(models["cls"], tmp_path / "copy")


def as_it_comes(folder, texts, prompt):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True).float()
    return model.encode(texts, prompt=prompt, normalize_embeddings=True, show_progress_bar=False)


def fitting(texts, embedder):
    counts = LlamaEncoder(embedder).count([embedder.chunk_prompt + text for text in texts])
    return [text for text, n in zip(texts, counts, strict=True) if n <= embedder.most_pieces]


# the vectors


@pytest.mark.parametrize(
    ("name", "pooling", "dimensions", "most_pieces", "question", "chunk"),
    [
        ("cls", "cls", 48, LONGEST, "query: ", "passage: "),
        ("pieces", "mean", 48, LONGEST, "query: ", "passage: "),
        ("old", "mean", 48, 40, "", ""),
    ],
)
def test_llama_gives_the_vectors_of_sentence_transformers(
    models, name, pooling, dimensions, most_pieces, question, chunk
):
    embedder = find_embedder(str(models[name]))
    assert (embedder.pooling, embedder.dimensions, embedder.most_pieces) == (pooling, dimensions, most_pieces)
    assert (embedder.question_prompt, embedder.chunk_prompt) == (question, chunk)
    assert embedder.in_llama and embedder.name == models[name].name
    texts = [*ODD, *varied()[::6]]
    expected = as_it_comes(models[name], texts, question)
    assert np.median(expected[:50] @ expected[50:100].T) < 0.95  # the texts do differ to it
    assert cosines([QuestionEncoder(embedder).encode(texts)], expected).min() > 0.9999
    texts = fitting(texts, embedder)[:90]
    assert len(texts) == 90
    assert cosines(chunk_vectors(texts, embedder), as_it_comes(models[name], texts, chunk)).min() > 0.999


@pytest.mark.parametrize("name", ["mpnet", "max"])
def test_what_llama_does_not_run_is_left_to_sentence_transformers(models, name):
    embedder = find_embedder(str(models[name]))
    assert not embedder.in_llama
    texts = varied()[:100]
    expected = as_it_comes(models[name], texts, embedder.question_prompt)
    assert cosines([QuestionEncoder(embedder).encode(texts)], expected).min() > 0.999


def test_a_tokenizer_that_its_file_does_not_tell_of_is_left_to_sentence_transformers(models, tmp_path):
    folder = shutil.copytree(models["old"], tmp_path / "lowering")
    assert find_embedder(str(folder)).in_llama
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 40, "do_lower_case": true}')
    assert not find_embedder(str(folder)).in_llama


@pytest.mark.parametrize("few", [0, 96])
def test_nothing_of_a_long_chunk_is_cut_off(models, monkeypatch, few):
    """By either way its vector is the mean of its parts', each counting by its length."""
    monkeypatch.setattr(embed, "_FEW", few)
    monkeypatch.setattr(embed, "_torch_encoder", functools.cache(TorchEncoder))
    embedder = find_embedder(str(models["cls"]))
    encoder = LlamaEncoder(embedder)

    def count(texts):
        return encoder.count([f"passage: {text}" for text in texts])

    for article in read_articles(bundled_articles()):
        text = article.text[:3000]
        parts = [
            (text[span.start : span.end], n) for span, n in cut(text, Span(0, len(text)), count, LONGEST)
        ]
        assert len(parts) > 5 and "".join("".join(part.split()) for part, _ in parts) == "".join(text.split())
        alone = as_it_comes(models["cls"], [part for part, _ in parts], "passage: ")
        expected = np.average(alone, axis=0, weights=[n for _, n in parts])
        vector, other = chunk_vectors([text, f"{text} An owl lives there."], embedder)
        assert (vector[0] @ expected) / np.linalg.norm(expected) > 0.999
        assert (vector[0] @ other[0]) < 0.9999
    assert bool(embed._torch_encoder.cache_info().currsize) == (few == 0)


# libraries


@pytest.fixture
def command(tmp_path, capsys):
    """Run ``rag`` in this process, which has torch already, on one library; return its status, results and remarks."""

    def run(*arguments, stdin=""):
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            status = main(["--library", str(tmp_path / "library"), *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def refusal(done):
    """The one line that a command failed with."""
    status, results, remarks = done
    assert status == 1 and not results and remarks.count("\n") == 1 and remarks.startswith("rag: ")
    return remarks.strip()


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "bridge.md").write_text("# The Ost bridge\n\nThe bridge cost 40 million euros.\n")
    (folder / "ferry.md").write_text("# The ferry\n\nThe ferry carries 300 people.\n")
    return folder


def dimensions_in(library):
    with sqlite3.connect(library / "library.sqlite") as database:
        return {size // 2 for (size,) in database.execute("SELECT length(vector) FROM chunks")}


def remedy(line):
    """The arguments of the command that an error names."""
    return shlex.split(line.rpartition("with: rag ")[2])


def test_a_library_is_made_with_another_embedder(command, models, notes, tmp_path):
    made = command("add", "--embedder", models["cls"], notes)
    assert made == (0, "new bridge\nnew ferry\n", "")
    assert dimensions_in(tmp_path / "library") == {48}
    status, results, remarks = command("search", "How many people does the ferry carry?")
    assert status == 0 and "300 people" in results and not remarks
    assert "ok   embedder: cls model verified; prepared in" in command("doctor")[1]
    again = command("add", "--embedder", models["cls"], notes)
    assert again == (0, "unchanged bridge\nunchanged ferry\n", "")
    assert command("add", "--embedder", models["cls"]) == (0, "", "")


def test_questions_through_llama_import_no_torch(models, notes, tmp_path):
    with Library(tmp_path / "library") as library:
        library.take_embedder(find_embedder(str(models["cls"])), QUIET)
        library.add(read_articles(notes), QUIET)
    code = (
        "import sys; from pathlib import Path; from index.library import Library; from rag.assistant import Assistant\n"
        "from rag.models import find_model\n"
        f"library = Library(Path({str(tmp_path / 'library')!r}))\n"
        "assert Assistant(library, find_model()).ask('How many people does the ferry carry?').passages\n"
        "print(library.embedder().name, sorted({'torch', 'sentence_transformers'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )
    assert (out.stdout, out.stderr) == ("cls model []\n", "")


def test_questions_that_import_torch_are_announced_once(command, models, notes):
    command("add", "--embedder", models["mpnet"], notes)
    question = "How many people does the ferry carry?"
    status, results, remarks = command("search", question)
    assert status == 0 and "300 people" in results
    assert remarks == "mpnet does not run in llama.cpp: questions import torch (some seconds).\n"
    assert command("chat", "--quotes", stdin=f"{question}\n{question}\n")[2].count("import torch") == 1
    assert "ok   embedder: mpnet verified; questions import torch" in command("doctor")[1]


def test_another_embedder_is_refused_and_the_command_named_mends_it(command, models, notes, tmp_path):
    library = tmp_path / "library"
    command("add", notes)
    line = refusal(command("add", "--embedder", models["cls"], notes))
    assert "made with the embedder all-MiniLM-L6-v2, not cls model" in line
    assert remedy(line) == ["add", "--rebuild", "--embedder", str(models["cls"])]
    assert dimensions_in(library) == {384}
    assert command(*remedy(line)) == (0, "rebuilt 2\n", "")
    assert dimensions_in(library) == {48} and command("search", "What did the bridge cost?")[0] == 0
    (notes / "tower.md").write_text("# The tower\n\nThe tower is 90 metres high.\n")
    assert "new tower" in command("add", notes)[1] and dimensions_in(library) == {48}
    assert command("add", "--rebuild")[1] == "rebuilt 3\n" and dimensions_in(library) == {48}
    line = refusal(command("add", "--embedder", "bundled"))
    assert remedy(line) == ["add", "--rebuild", "--embedder", "bundled"]
    assert command(*remedy(line))[1] == "rebuilt 3\n" and dimensions_in(library) == {384}
    assert command("search", "What did the bridge cost?")[0] == 0


def test_an_embedder_that_went_away_is_asked_back(command, copy, notes, tmp_path):
    elsewhere = tmp_path / "moved here"
    command("add", "--embedder", copy, notes)
    shutil.move(copy, elsewhere)
    for arguments in (("ask", "What did it cost?"), ("search", "What did it cost?"), ("add", "--rebuild")):
        line = refusal(command(*arguments))
        assert f"{copy}: no such folder, and the library is made with it" in line
        assert "rag add --embedder FOLDER" in line and line.endswith("rag add --rebuild --embedder bundled")
    assert "FAIL embedder" in command("doctor")[1]
    assert command("add", notes)[0] == 0  # nothing to embed
    with Library(tmp_path / "library") as library:
        generation = library.generation
    assert command("add", "--embedder", elsewhere) == (0, "", "")
    with Library(tmp_path / "library") as library:
        assert library.generation == generation and library.embedder().folder == str(elsewhere)
    assert command("search", "What did the bridge cost?")[0] == 0
    shutil.rmtree(elsewhere)
    assert command("add", "--rebuild", "--embedder", "bundled")[1] == "rebuilt 2\n"
    assert command("search", "What did the bridge cost?")[0] == 0


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_changed_files_are_noticed_and_touched_ones_are_not_taken_for_changed(copy, notes, tmp_path, file):
    with Library(tmp_path / "library") as library:
        library.take_embedder(find_embedder(str(copy)), QUIET)
        library.add(read_articles(notes), QUIET)
    before = (copy / file).read_bytes()
    os.utime(copy / "model.safetensors", (1, 1))
    with Library(tmp_path / "library") as library:
        assert library.encode(["What did it cost?"]).shape == (1, 48)
    (copy / file).write_bytes(before[:-40] + before[-39:] + b" ")
    with (
        Library(tmp_path / "library") as library,
        pytest.raises(ModelError, match="made with it; put copy back"),
    ):
        library.encode(["What did it cost?"])
    (copy / file).write_bytes(before)
    with Library(tmp_path / "library") as library:
        assert library.encode([]).shape == (0, 48)


def test_a_library_that_is_open_goes_over_with_the_one_who_rebuilds_it(models, notes, tmp_path):
    folder, question = tmp_path / "library", ["What did the bridge cost?"]
    with Library(folder) as asked, Library(folder) as rebuilt:
        asked.add(read_articles(notes), QUIET)
        old = asked.encode(question)[0]
        assert len(asked.search_dense(old, 5)) == 2
        rebuilt.rebuild(QUIET, find_embedder(str(models["cls"])))
        with pytest.raises(LibraryError, match="ask again"):
            asked.search_dense(old, 5)
        new = asked.encode(question)[0]
        found = asked.search_dense(new, 5)
        assert len(new) == 48 and len(found) == 2
        scores = asked.similarities(new, [hit.chunk_id for hit in found])
        assert all(hit.score == pytest.approx(scores[hit.chunk_id], abs=1e-3) for hit in found)


def test_a_rebuild_that_was_interrupted_goes_on_with_the_new_embedder(models, notes, tmp_path):
    def interrupt(stage, done, total):
        if done:
            raise KeyboardInterrupt

    with Library(tmp_path / "library") as library:
        library.add(read_articles(notes), QUIET)
        vector = library.encode(["What did it cost?"])[0]
        with pytest.raises(KeyboardInterrupt):
            library.rebuild(interrupt, find_embedder(str(models["cls"])))
        with pytest.raises(LibraryError, match="rag add --rebuild"):
            library.search_dense(vector, 5)
        with pytest.raises(LibraryError, match="rag add --rebuild"):
            library.encode(["What did it cost?"])
        assert library.rebuild(QUIET) == 2
        assert len(library.search_dense(library.encode(["What did it cost?"])[0], 5)) == 2
    assert dimensions_in(tmp_path / "library") == {48}


def test_a_record_that_nobody_knows_is_explained(notes, models, tmp_path):
    with Library(tmp_path / "library") as library:
        library.take_embedder(find_embedder(str(models["cls"])), QUIET)
        record = json.loads(library.embedder().record)
        library.add(read_articles(notes), QUIET)
    for damaged in (
        "",
        "{}",
        "[" * 9000,
        json.dumps(record | {"dimensions": "48"}),
        json.dumps(record | {"x": 1}),
    ):
        with sqlite3.connect(tmp_path / "library" / "library.sqlite") as database:
            database.execute("UPDATE meta SET value = ? WHERE key = 'embedder'", (damaged,))
        with Library(tmp_path / "library") as library, pytest.raises(LibraryError, match="rag add --rebuild"):
            library.check_make()


# folders that hold something else


def settings(name, **values):
    def change(folder):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def replaced(name, text):
    return lambda folder: (folder / name).write_text(text)


def without(name):
    return lambda folder: (folder / name).unlink()


def weights(**changed):
    """Other tensors; None leaves one out."""

    def change(folder):
        from safetensors.numpy import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        tensors.update({name.replace("__", "."): tensor for name, tensor in changed.items()})
        kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})

    return change


def cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def only_a_pickle(folder):
    import torch

    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def a_pipe(folder):
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")


def a_module(kind, path="1_Pooling"):
    types = ["sentence_transformers.models.Transformer", kind]
    entries = [
        {"idx": n, "name": str(n), "path": p, "type": t}
        for n, (t, p) in enumerate(zip(types, ("", path), strict=True))
    ]
    return replaced("modules.json", json.dumps(entries))


QUERY = "encoder__layer__1__attention__self__query__weight"
HOSTILE = {
    "no folder": shutil.rmtree,
    "no config": without("config.json"),
    "no modules": without("modules.json"),
    "no pooling": without("1_Pooling/config.json"),
    "no tokenizer": without("tokenizer.json"),
    "a pipe": a_pipe,
    "a pickle": only_a_pickle,
    "weights cut short": cut_short,
    "weights of nothing": replaced("model.safetensors", ""),
    "weights of text": replaced("model.safetensors", "x" * 4000),
    "a tensor missing": weights(**{QUERY: None}),
    "a tensor of another size": weights(**{QUERY: np.zeros((48, 47), dtype=np.float32)}),
    "no numbers": weights(**{QUERY: np.full((48, 48), np.nan, dtype=np.float32)}),
    "no JSON": replaced("config.json", "{"),
    "deep JSON": replaced("config.json", "[" * 100_000),
    "a list": replaced("config.json", "[]"),
    "no text": replaced("config_sentence_transformers.json", "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")),
    "hidden_size 0": settings("config.json", hidden_size=0),
    "hidden_size -1": settings("config.json", hidden_size=-1),
    "hidden_size in words": settings("config.json", hidden_size="48; DROP"),
    "hidden_size true": settings("config.json", hidden_size=True),
    "hidden_size null": settings("config.json", hidden_size=None),
    "hidden_size huge": settings("config.json", hidden_size=1 << 40),
    "hidden_size another": settings("config.json", hidden_size=52),
    "no heads": settings("config.json", num_attention_heads=0),
    "odd heads": settings("config.json", num_attention_heads=5),
    "many layers": settings("config.json", num_hidden_layers=1 << 20),
    "no epsilon": settings("config.json", layer_norm_eps="inf"),
    "large vocabulary": settings("config.json", vocab_size=1 << 20),
    "small vocabulary": settings("config.json", vocab_size=100),
    "few positions": settings("config.json", max_position_embeddings=8),
    "code": settings("config.json", auto_map={"AutoModel": "evil.Evil"}),
    "a kernel": settings("config.json", attn_implementation="some/kernel"),
    "unknown architecture": settings("config.json", architectures=["Evil"], model_type="evil"),
    "foreign module": a_module("evil.Pooling"),
    "no such module": a_module("sentence_transformers.evil.Pooling"),
    "another module": a_module("sentence_transformers.models.Dense"),
    "a path out": a_module("sentence_transformers.models.Pooling", "../copy/1_Pooling"),
    "a path of numbers": a_module("sentence_transformers.models.Pooling", 7),
    "modules of numbers": replaced("modules.json", "[1, 2]"),
    "dimensions 0": settings("1_Pooling/config.json", embedding_dimension=0),
    "dimensions huge": settings("1_Pooling/config.json", embedding_dimension=1 << 30),
    "dimensions another": settings("1_Pooling/config.json", embedding_dimension=24),
    "unknown pooling": settings("1_Pooling/config.json", pooling_mode="evil"),
    "pooling of numbers": settings("1_Pooling/config.json", pooling_mode=[{}]),
    "method": settings("sentence_bert_config.json", modality_config={"text": {"method": "save_pretrained"}}),
    "another's tokenizer": settings("sentence_bert_config.json", tokenizer_name_or_path="/etc"),
    "longest 0": settings("sentence_bert_config.json", max_seq_length=0),
    "longest in words": settings("sentence_bert_config.json", max_seq_length="64"),
    "prompts of numbers": settings("config_sentence_transformers.json", prompts={"query": 7}),
    "prompts as a list": settings("config_sentence_transformers.json", prompts=["query: "]),
    "a long prompt": settings("config_sentence_transformers.json", prompts={"query": "a " * 60}),
    "a huge prompt": settings("config_sentence_transformers.json", prompts={"query": "a" * 100_000}),
    "unknown prompt": settings("config_sentence_transformers.json", default_prompt_name="evil"),
    "another kind": settings("config_sentence_transformers.json", model_type="SparseEncoder"),
    "no tokenizer's JSON": replaced("tokenizer.json", "{}"),
    "many layers of another model": settings("config.json", architectures=["MPNetModel"], model_type="mpnet", num_hidden_layers=1 << 20),
    "an adapter": replaced("adapter_config.json", "{}"),
}  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_folder_that_holds_something_else_is_refused_in_one_line(copy, tmp_path, change):
    change(copy)
    (copy.parent / "evil.py").write_text("raise SystemExit('code was run')")
    if copy.exists():
        shutil.copy(copy.parent / "evil.py", copy / "evil.py")
    with pytest.raises(ModelError) as caught:
        find_embedder(str(copy))
    message = str(caught.value)
    assert "\n" not in message and "; " in message and len(message) < 700


def test_the_command_refuses_it_in_one_line_too(command, copy, notes, tmp_path):
    settings("config.json", hidden_size=-1)(copy)
    assert "no whole numbers" in refusal(command("add", "--embedder", copy, notes))
    assert "no such folder" in refusal(command("add", "--embedder", tmp_path / "nowhere", notes))


def test_a_model_of_the_hubs_cache_has_the_name_of_its_repository(models, tmp_path):
    folder = tmp_path / "models--BAAI--bge-tiny" / "snapshots" / "0123abcd"
    shutil.copytree(models["cls"], folder)
    assert find_embedder(str(folder)).name == "BAAI/bge-tiny"


def test_two_embedders_are_equal_that_give_the_same_vectors(models, copy):
    one, other = find_embedder(str(models["cls"])), find_embedder(str(copy))
    assert one == other and one.folder != other.folder and one.identity == other.identity
    settings("config_sentence_transformers.json", prompts={"query": "ask: "})(copy)
    assert find_embedder(str(copy)) != one != BUNDLED


def test_other_weights_of_the_same_size_and_time_are_not_taken_for_known_ones(models, copy):
    known = find_embedder(str(models["cls"]))
    path = copy / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(known.changed_ns, known.changed_ns))
    other = find_embedder(str(copy), known)
    assert (other.size, other.changed_ns) == (known.size, known.changed_ns) and other != known


def test_a_library_of_before_keeps_its_record_of_the_bundled_embedder(tmp_path):
    assert BUNDLED.record == f"{embed.EMBEDDER} {embed.EMBEDDER_SHA256}"
    with Library(tmp_path / "library") as library:
        assert library.embedder() == BUNDLED
