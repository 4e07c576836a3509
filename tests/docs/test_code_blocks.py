"""Every block of Python code on the pages of the documentation runs."""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), *sorted((DOCS / "guide").glob("*.md"))]

# Pages whose blocks take longest.
SLOW = {
    "choose_parts.md",
    "compare.md",
    "images.md",
    "model_selection.md",
    "own_qfunction.md",
    "own_runner.md",
    "tour.md",
    "tune.md",
    "watch.md",
}

# A comment such as <!-- not run: it needs a cluster --> on the line before keeps a block from running.
BLOCK = re.compile(
    r"(?P<mark>^ *<!-- not run: .+ -->\n)?^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$",
    re.M | re.S,
)


def script(page):
    """Give the code of a page, each line at its number on the page."""
    lines = [""] * (page.count("\n") + 1)
    for block in BLOCK.finditer(page):
        if block["mark"] is None:
            first = page.count("\n", 0, block.start("code"))
            code = dedent(block["code"]).splitlines()
            lines[first : first + len(code)] = code
    return "\n".join(lines)


def run(page, folder):
    """Run the code of a page, in the page's order, and fail with its name and the lines."""
    file = folder / "page.py"
    file.write_text(script(page.read_text()))
    done = subprocess.run(
        [sys.executable, "-W", "error", file.name],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "MPLBACKEND": "agg"},
    )
    name = page.relative_to(DOCS.parent)
    assert done.returncode == 0, done.stderr.replace(str(file), str(name))


def marked(page):
    marks = [pytest.mark.slow] if page.name in SLOW else []
    return pytest.param(page, id=str(page.relative_to(DOCS)), marks=marks)


@pytest.mark.parametrize(
    "page",
    [marked(page) for page in PAGES if script(page.read_text()).strip()],
)
def test_code_blocks(page, tmp_path):
    run(page, tmp_path)


def test_a_failing_block_is_reported_with_page_and_line(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n```python\nnumber = 1\n```\n\n- item\n\n  ```python\n  number / 0\n  ```\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "DOCS", tmp_path / "docs")
    with pytest.raises(AssertionError, match=r'"page.md", line 10[\s\S]*ZeroDivisionError'):
        run(page, tmp_path)


def test_a_marked_block_is_not_run():
    page = "<!-- not run: it needs a cluster -->\n```python\n1 / 0\n```\n\n```python\nx = 1\n```\n"
    assert script(page).split() == ["x", "=", "1"]
