import pytest

from tests.crash.server import Server


@pytest.fixture(scope="session")
def server():
    server = Server()
    yield server
    server.end()
