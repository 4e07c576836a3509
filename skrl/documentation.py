"""Where an estimator's HTML representation links to: its page in this documentation."""

from importlib import metadata

import sklearn.base


class BaseEstimator(sklearn.base.BaseEstimator):  # type: ignore[misc]
    """A scikit-learn estimator whose HTML representation links to its own documentation.

    In a notebook scikit-learn draws an estimator as a box with a question mark, which leads to
    the page that describes the class. The address of the documentation is the project URL
    ``Documentation`` of the installed package (in its ``setup.cfg``); while there is none, there
    is no question mark either. Classes of other packages have no page here, so none is shown
    for them.

    See "Developer API for HTML representation" in scikit-learn's "Developing scikit-learn
    estimators".

    Examples
    --------
    >>> from skrl import EpsilonGreedy
    >>> from skrl.documentation import BaseEstimator
    >>> isinstance(EpsilonGreedy(), BaseEstimator)
    True
    """

    _doc_link_module = "skrl"

    @property
    def _doc_link_template(self) -> str:
        address = documentation_address()
        return "" if address is None else address + "/generated/{public_name}.html"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        return {"public_name": public_name(type(self))}


def documentation_address() -> str | None:
    """Look up where the documentation is, in the metadata of the installed package.

    Returns
    -------
    str or None
        Without a slash at its end; None where the package publishes none, or is not installed.

    Examples
    --------
    >>> from skrl.documentation import documentation_address
    >>> address = documentation_address()
    >>> address is None or address.startswith("http")
    True
    """
    try:
        urls = metadata.metadata("skrl-toolkit").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return None
    addresses = dict(url.split(", ", 1) for url in urls)
    address = addresses.get("Documentation")
    return None if address is None else address.rstrip("/")


def public_name(estimator_class: type) -> str:
    """Name under which a class is imported: from skrl itself, or from the package it is in.

    Parameters
    ----------
    estimator_class : type
        A class of this package.

    Returns
    -------
    str

    Examples
    --------
    >>> import skrl, skrl.callbacks
    >>> from skrl.documentation import public_name
    >>> public_name(skrl.DQN), public_name(skrl.callbacks.Evaluation)
    ('skrl.DQN', 'skrl.callbacks.Evaluation')
    """
    import skrl  # here, because skrl imports this module

    if estimator_class.__name__ in skrl.__all__:
        return f"skrl.{estimator_class.__name__}"
    return ".".join([*estimator_class.__module__.split(".")[:2], estimator_class.__name__])
