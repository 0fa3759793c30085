"""Fixtures of the backend's tests."""

from collections.abc import Iterator

import pytest
from serving import MODEL, Served, serving

import boltzformer
from boltzformer import Session


@pytest.fixture(scope="session")
def engine() -> boltzformer.Engine:
    """The same model in process, to compare with."""
    return boltzformer.load(MODEL)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session.local(MODEL) as one:
        yield one


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as one:
        yield one
