"""``ringline benchmark`` on tiny images: what it prints and saves, not how fast it is."""

import json
import re
import sys
from pathlib import Path

import pytest

from ringline.processing.benchmark_scene import SCENES
from ringline.processing.command_line import main
from ringline.processing.recipe import Recipe

TINY = ["benchmark", "--detector", "small", "--repeats", "1", "--frames", "5"]


def test_each_case_is_a_row_of_the_table_with_its_goal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = ["single-no", "block-no", "sigma-clip", "file", "setup"]
    arguments = [*TINY, "--against", "pyfai", "--cases", *cases, "-o", str(tmp_path / "new")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert re.search(r"2 cores|\d+ cores", printed)
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(cases)
    assert all(line.count("|") == rows[0].count("|") for line in rows)
    assert (tmp_path / "new" / "benchmark.md").read_text() == printed
    assert (tmp_path / "new" / "benchmark.png").stat().st_size > 10_000
    saved = json.loads((tmp_path / "new" / "benchmark.json").read_text())
    assert [row["case"] for row in saved["rows"]] == cases
    assert [row["goal"] for row in saved["rows"]] == [25, 40, 8, 8, 1]
    assert all(row["ours"] > 0 and row["ratio"] > 0 for row in saved["rows"])
    assert all(row["difference"] < 1e-4 for row in saved["rows"][:2])
    assert saved["rows"][1]["floor"] > 0
    assert saved["machine"]["cpu"]


def test_without_a_peer_only_our_own_times_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--cases", "single-full", "bins", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == 1 + 2 * 2 * 5
    assert all(row["peer"] is None and row["ratio"] is None for row in rows)
    assert {row["extra"].get("bins") for row in rows} == {None, 100, 300, 1000, 3000, 10000}


def test_fresh_processes_take_turns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--cases", "scaling"]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"two threads against one", printed)) == 4


def test_a_peer_that_is_not_installed_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyFAI"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyFAI", None)
    assert main([*TINY, "--against", "pyfai"]) == 2
    assert "pip install ringline[test]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "single-non"], "unknown case 'single-non': did you mean 'single-no'"),
        (["--repeats", "0"], "--repeats must be >= 1, got 0"),
        (["--frames", "-1"], "--frames must be >= 1, got -1"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TINY, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_scene_is_the_same_at_each_call() -> None:
    scene = SCENES["small"]
    assert (scene.frames(3)[:2] == scene.frames(2)).all()
    assert isinstance(scene.recipe("no"), Recipe)
    assert scene.recipe("no").digest == scene.recipe("no").digest
