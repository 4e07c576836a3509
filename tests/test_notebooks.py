"""The notebooks run from top to bottom, and show what their text promises."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"


def execute(name, folder):
    """Run a notebook with a Jupyter kernel, and give its outputs."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    # An error in a cell raises.
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    return [out for cell in notebook.cells for out in cell.get("outputs", [])]


def printed(outputs):
    return "".join(out.text for out in outputs if out.get("name") == "stdout")


def count(outputs, mime_type):
    return sum(mime_type in out.get("data", {}) for out in outputs)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for number, cell in enumerate(notebook.cells, 1):
        assert cell.id == f"{path.stem.replace('_', '-')}-{number:02}"
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


def test_links_between_notebooks_lead_somewhere():
    for path in NOTEBOOKS.glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for target in re.findall(r"\]\(([\w./]+)\)", cell.source):
                assert (NOTEBOOKS / target).exists(), f"{path.name}: {target}"


@pytest.mark.slow
def test_frozen_lake_by_hand_finds_the_exact_values(tmp_path):
    outputs = execute("frozen_lake_by_hand", tmp_path)
    # Dynamic programming: 0.5420 discounted; 0.7402 within the limit of 100 steps.
    assert "The value of the start: 0.5420" in printed(outputs)
    assert "within 100 steps with probability 0.7402" in printed(outputs)
    score = float(re.search(r"goal in ([\d.]+)% of 2,000", printed(outputs))[1])
    assert score == pytest.approx(74.0, abs=4)  # four standard errors
    assert count(outputs, "image/png") == 4


@pytest.mark.slow
def test_first_steps_solve_cartpole(tmp_path):
    outputs = execute("first_steps", tmp_path)
    assert float(re.search(r"new episodes: ([\d.]+)", printed(outputs))[1]) >= 475
    assert float(re.search(r"random actions: ([\d.]+)", printed(outputs))[1]) < 30
    assert count(outputs, "image/png") == 1
    assert any("<video" in out.data.get("text/html", "") for out in outputs if "data" in out)
    assert (tmp_path / "cartpole.joblib").exists()


@pytest.mark.slow
def test_inside_a_dqn_shows_its_parts(tmp_path):
    outputs = execute("inside_a_dqn", tmp_path)
    assert "8,000 transitions" in printed(outputs)
    rows = re.findall(r"^(?:expected )?rewards +\[([^]]*)", printed(outputs), re.M)
    expected, rewards = (list(map(float, row.split())) for row in rows)
    assert rewards == pytest.approx(expected, abs=0.01)
    assert count(outputs, "image/png") == 3


@pytest.mark.slow
def test_study_of_ten_seeds_compares_three_agents(tmp_path):
    outputs = execute("study_of_ten_seeds", tmp_path)
    assert "10 seeds are" in printed(outputs)
    widths = [float(width) for width in re.findall(r"width ([\d.]+)", printed(outputs))]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] >= 3 * widths[-1]  # the square root of 30 is 5.5
    assert count(outputs, "image/png") == 3
