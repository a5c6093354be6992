import http.server
import json
import threading
import urllib.parse

import numpy as np
import pytest

import torchkeras as keras
from torchkeras.callbacks import RemoteMonitor


@pytest.fixture
def server():
    """A web server on this machine; its `requests` are (path, content type, header, body)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            kind, header = self.headers["Content-Type"], self.headers["X-Run"]
            self.server.requests.append((self.path, kind, header, body))
            self.send_response(self.server.status)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.status = [], 200
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def root(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_form(server):
    monitor = RemoteMonitor(root(server))
    monitor.on_epoch_end(3, {"loss": 0.5, "array": np.array([1, 2]), "number": np.float32(0.25)})
    ((path, kind, _, body),) = server.requests
    assert (path, kind) == ("/publish/epoch/end/", "application/x-www-form-urlencoded")
    ((field, content),) = urllib.parse.parse_qsl(body)
    expected = {"epoch": 3, "loss": 0.5, "array": [1, 2], "number": 0.25}
    assert field == "data" and json.loads(content) == expected


def test_json_path_and_headers(server):
    monitor = RemoteMonitor(root(server), path="/in", headers={"X-Run": "7"}, send_as_json=True)
    monitor.on_epoch_end(0, None)
    assert server.requests == [("/in", "application/json", "7", '{"epoch": 0}')]


def test_field(server):
    RemoteMonitor(root(server), field="logs").on_epoch_end(0, {})
    assert urllib.parse.parse_qsl(server.requests[0][3])[0][0] == "logs"


def test_answer_is_not_looked_at(server):
    server.status = 500
    RemoteMonitor(root(server)).on_epoch_end(0, {"loss": 1.0})
    assert len(server.requests) == 1


def test_training_goes_on_without_a_server():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((4, 3))
    monitor = RemoteMonitor("http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="cannot reach http://127.0.0.1:9"):
        history = model.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[monitor])
    assert history.epoch == [0, 1]


@pytest.mark.parametrize("address", ["file:///etc", "ftp://host", "localhost:9000"])
def test_other_addresses_are_refused(address):
    with pytest.raises(ValueError, match="root="):
        RemoteMonitor(address)
