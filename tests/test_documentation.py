"""The HTML representation links to the page of the class, once it is known where that is."""

import importlib
import sys

import pytest

import skrl
from skrl import DQN, EpsilonGreedy, GymEnvironment, QLearningAgent
from skrl.callbacks import Evaluation
from skrl.documentation import documentation_address, public_name


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Install metadata of the package that name the given project URLs."""

    def install(*urls):
        info = tmp_path / "skrl_toolkit-9.9.9.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.4", "Name: skrl-toolkit", "Version: 9.9.9"]
        lines += [f"Project-URL: {url}" for url in urls]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        importlib.invalidate_caches()

    return install


def test_links_lead_to_the_page_of_each_class(publish):
    publish("Source, https://example.org/source", "Documentation, https://example.org/docs/")
    assert documentation_address() == "https://example.org/docs"
    for part in (QLearningAgent(DQN()), DQN(), EpsilonGreedy(), GymEnvironment("CartPole-v1")):
        html = part._repr_html_()
        page = f"https://example.org/docs/generated/skrl.{type(part).__name__}.html"
        assert f'href="{page}"' in html
        assert 'href="https://scikit-learn' not in html


def test_no_link_where_no_documentation_is_published(publish):
    publish("Source, https://example.org/source")
    assert documentation_address() is None
    for part in (QLearningAgent(DQN()), GymEnvironment("CartPole-v1")):
        html = part._repr_html_()
        assert "href=" not in html
        assert "Documentation for" not in html


def test_a_class_of_another_package_has_no_page_here(publish):
    class MyPolicy(EpsilonGreedy):
        """Defined in the tests, not in skrl."""

    publish("Documentation, https://example.org/docs")
    assert "href=" not in MyPolicy()._repr_html_()


def test_every_public_name_can_be_imported():
    for name in skrl.__all__:
        thing = getattr(skrl, name)
        if isinstance(thing, type):
            assert public_name(thing) == f"skrl.{name}"
    assert public_name(Evaluation) == "skrl.callbacks.Evaluation"
