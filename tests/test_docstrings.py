"""Every public docstring is right by numpydoc's rules, and the public names have examples."""

import importlib
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

import skrl

# numpydoc's rules that we do not follow, and why.
NOT_OUR_RULES = {
    "ES01": "an extended summary is written where one is needed",
    "SA01": "a See Also section likewise; the text links to what belongs together",
    "SS05": "what a property or a function gives may be a noun phrase, whose first word ends in s",
    "PR08": "a description may begin with the name of a Greek letter, as the equations do",
    "RT04": "likewise",
    "PR09": "a description may end with a parenthesis",
    "RT02": "several values that are returned have names",
    "RT03": "'self' says it all, and so may a shape",
}
# Rules for what is exported: a class, a function, or a method that is declared there (overriding
# ones are documented where they are declared) and has more to say than fits in a line.
RULES_OF_EXPORTED = {"PR01", "RT01", "YD01"}
# And for exported classes and functions. Interfaces are shown by the classes that fill them in.
RULE_OF_EXAMPLES = "EX01"

EXCEPTIONS = {
    ("skrl.base.Run", "EX01"): "it is made by a runner; Callback's example shows one",
    ("skrl.base.Run", "PR04"): "parts that are named after their interfaces",
}


def modules():
    """The package, and all modules in it that are not private."""
    names = [info.name for info in pkgutil.walk_packages(skrl.__path__, "skrl.")]
    names = [name for name in names if "._" not in name]
    return [skrl, *map(importlib.import_module, names)]


MODULES = modules()
EXPORTED = {
    getattr(module, name) for module in MODULES if hasattr(module, "__path__")
    for name in module.__all__ if callable(getattr(module, name))
}  # fmt: skip


def is_documented(name, member):
    is_member = inspect.isfunction(member) or isinstance(
        member, property | staticmethod | classmethod
    )
    return is_member and not name.startswith("_")


def is_declared_in(cls, name):
    return not any(name in vars(base) for base in cls.__mro__[1:])


def rules_for_exported(thing, is_whole):
    """Which rules hold for an exported thing, a whole one or a member."""
    if not is_whole:
        return RULES_OF_EXPORTED if "\n" in inspect.getdoc(thing) else set()
    return RULES_OF_EXPORTED | (set() if inspect.isabstract(thing) else {RULE_OF_EXAMPLES})


def documented(module):
    """Names of what is defined in a module, each with the rules that hold only if exported."""
    for name, thing in vars(module).items():
        is_here = getattr(thing, "__module__", None) == module.__name__
        is_class, is_function = inspect.isclass(thing), inspect.isfunction(thing)
        if name.startswith("_") or not is_here or not (is_class or is_function):
            continue
        is_exported = thing in EXPORTED
        path = f"{module.__name__}.{name}"
        yield path, rules_for_exported(thing, is_whole=True) if is_exported else set()
        for key, member in vars(thing).items() if is_class else ():
            if is_documented(key, member):
                is_ours = is_exported and is_declared_in(thing, key)
                yield f"{path}.{key}", rules_for_exported(member, False) if is_ours else set()


def problems(path, rules):
    """What numpydoc finds wrong."""
    not_here = (RULES_OF_EXPORTED | {RULE_OF_EXAMPLES}) - rules
    for code, message in validate(path)["errors"]:
        if code not in NOT_OUR_RULES and code not in not_here and (path, code) not in EXCEPTIONS:
            yield f"{path}: {code} {message}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_docstrings(module):
    assert module.__doc__
    assert module.__doc__.splitlines()[0].endswith(".")
    found = [problem for path, rules in documented(module) for problem in problems(path, rules)]
    assert not found, "\n".join(found)


def test_the_exceptions_are_still_needed():
    for path, code in EXCEPTIONS:
        assert code in dict(validate(path)["errors"])


class Undocumented:
    """A class."""

    def method(self, number):
        """Do something.

        It takes more than a line to say what.
        """


def test_missing_sections_are_found(monkeypatch):
    monkeypatch.setattr(Undocumented, "__module__", __name__)
    rules = rules_for_exported(Undocumented, is_whole=True)
    found = "".join(problems(f"{__name__}.Undocumented", rules))
    assert "EX01" in found
    rules = rules_for_exported(Undocumented.method, is_whole=False)
    found = "".join(problems(f"{__name__}.Undocumented.method", rules))
    assert "PR01 Parameters {'number'} not documented" in found
