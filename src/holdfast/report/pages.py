"""What all HTML pages share: the templates with their filters, files beside them, and what a page may do."""

import base64
import functools
import hashlib
import importlib.resources
from collections.abc import Callable

import jinja2

from holdfast.report import words
from holdfast.report.visible import short


def template(name: str, **filters: Callable[..., object]) -> jinja2.Template:
    """A template that quotes what it is given and ends on names that it does not know.

    Args:
        name: Of the file.
        filters: More than those of every page.
    """
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("holdfast.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(short=short, percent=words.percent, number=words.number)
    found.filters.update(times=words.times, seconds=words.seconds, size=words.size, **filters)
    return found.get_template(name)


@functools.cache
def asset(name: str) -> str:
    """A file of the templates, as text."""
    return importlib.resources.files("holdfast.report").joinpath("templates", name).read_text(encoding="utf-8")


def policy(script: str) -> str:
    """The content security policy: nothing is fetched, and only our own script runs, known by its digest."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
