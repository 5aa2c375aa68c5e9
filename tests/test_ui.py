import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import one_line


def test_ask_json_and_exit_status(rag, folder):
    done = rag("ask", "How much did Meta pay for its stake in Scale AI?", "--json", library=folder)
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and "14.3 billion" in answer["answer"]
    for passage in answer["passages"]:
        text = json.loads(rag("show", passage["article_id"], "--json", library=folder).stdout)["text"]
        assert text[passage["start"] : passage["end"]] == passage["text"]
        assert all(text[q["start"] : q["end"]] == q["text"] for q in passage["quotes"])
    assert rag("ask", "Who designed the Eiffel Tower?", library=folder).returncode == 3


def test_an_empty_library_is_filled_and_says_so(rag, tmp_path):
    done = rag("ask", "When was Muse Spark released?", library=tmp_path / "new")
    assert "April 8, 2026" in done.stdout and "bundled articles" in done.stderr
    assert done.stdout.count("Loading") == 0


def test_chat_reads_a_question_a_line(rag, folder):
    done = rag(
        "chat", "--json", library=folder, stdin="Who is Alexandr Wang?\nWhere did he work?\n/new\nWho?\n"
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 3
    assert answers[1]["standalone_question"] == "Where did Alexandr Wang work?"
    assert answers[2]["standalone_question"] == "Who?"


@pytest.mark.parametrize(
    ("question", "status"),
    [("", 2), ("   ", 2), ("x" * 100_000, 2), ("法国的首都是哪里？", 3)],
)
def test_strange_questions(rag, folder, question, status):
    done = rag("ask", "-", library=folder, stdin=question)
    assert done.returncode == status and "Traceback" not in done.stderr
    assert status == 3 or one_line(done)


@pytest.mark.parametrize(
    ("name", "data"),
    [("missing.md", None), ("empty.md", b""), ("binary.md", bytes(range(256)) * 20), ("table.xlsx", b"PK")],
)
def test_bad_files_add_nothing(rag, tmp_path, name, data):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    done = rag("add", tmp_path / name, library=tmp_path / "library")
    assert done.returncode == 1 and name in one_line(done)
    assert json.loads(rag("list", "--json", library=tmp_path / "library").stdout) == []


def test_files_and_folders_that_may_not_be_read(rag, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    note = tmp_path / "note.md"
    note.write_text("# Note\n\nCats sleep.")
    note.chmod(0o000)
    for path in (locked, note):
        done = rag("add", path, library=tmp_path / "library", bound=True)
        assert done.returncode == 1 and "permission" in one_line(done)


def test_a_library_that_may_not_be_written(rag, tmp_path, folder):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    done = rag("list", library=locked, bound=True)
    assert done.returncode == 1 and "--library" in one_line(done)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in (*copy.iterdir(), copy):
        path.chmod(path.stat().st_mode & 0o555)
    assert "14.3" in rag("ask", "What was paid for the Scale AI stake?", library=copy, bound=True).stdout
    done = rag("remove", "muse-spark-hybrid-open-source", library=copy, bound=True)
    assert done.returncode == 1 and "--library" in one_line(done)


def test_a_library_where_no_folder_can_be(rag, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = rag("list", library=tmp_path / "file")
    assert done.returncode == 1 and "--library" in one_line(done)


def test_a_corrupted_model_and_a_damaged_library(rag, folder, tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(200))
    done = rag("ask", "When was Muse Spark released?", "--model", tmp_path / "bad.gguf", library=folder)
    assert done.returncode == 1 and "download" in one_line(done)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "library.sqlite").write_bytes(b"garbage" * 999)
    done = rag("ask", "Who leads the lab?", library=tmp_path / "broken")
    assert done.returncode == 1 and "move library.sqlite away" in one_line(done)


README = (Path(__file__).parents[1] / "README.md").read_text()
SESSIONS = [block for block in README.split("```\n") if block.startswith("$ ")]


@pytest.mark.parametrize("session", SESSIONS, ids=range(len(SESSIONS)))
def test_the_readme_shows_real_output(session, folder, tmp_path):
    programs = Path(sys.executable).parent
    environment = {**os.environ, "RAG_LIBRARY": str(folder), "PATH": f"{programs}:{os.environ['PATH']}"}
    for example in session.strip().removeprefix("$ ").split("\n$ "):
        command, _, output = example.partition("\n")
        shell = {"shell": True, "cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
        assert subprocess.run(command, check=False, **shell).stdout.strip() == output.strip()


def test_removing_what_is_not_there(rag, folder):
    done = rag("remove", "nothing", library=folder)
    assert done.returncode == 2 and "rag list" in one_line(done)


def test_doctor_finds_nothing_wrong(rag, folder):
    done = rag("doctor", library=folder)
    assert done.returncode == 0 and "FAIL" not in done.stdout
