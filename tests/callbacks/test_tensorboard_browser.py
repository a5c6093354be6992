"""TensorBoard in a real browser: what the callback writes is on the page."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

import torchkeras as keras

pytestmark = pytest.mark.slow

_START_S, _PAGE_S = 60, 90
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Where to put the pictures of the pages; none are kept without it.
_PICTURES = os.environ.get("TORCHKERAS_TEST_PICTURES")


@pytest.fixture(scope="module")
def chromium():
    if _CHROMIUM is None:
        pytest.skip("needs Chromium: install the package `chromium`")

    def look(url, profile, *options):
        """Run the browser on a page, in a fresh profile; returns its standard output."""
        command = [
            _CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={profile}", "--window-size=1200,760",
            "--virtual-time-budget=20000", *options, url,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PAGE_S)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return look


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Address of a TensorBoard server over the logs of a training on real digits."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("run") / "logs"
    (x, y), _ = keras.datasets.mnist.load_sample()
    x = x.astype("float32") / 255
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu", name="hidden"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax", name="digits"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    board = keras.callbacks.TensorBoard(folder, histogram_freq=1, update_freq=5)
    model.fit(x, y, validation_split=0.2, epochs=12, verbose=0, callbacks=[board])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", "logs"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--load_fast=false"]
    address = f"http://127.0.0.1:{port}"
    # From the folder above, so that the page shows "logs" on every machine.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=folder.parent, **quiet)
    try:
        _wait_for(f"{address}/data/plugin/timeseries/tags", b"epoch_loss", server)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(url, content, server):
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if content in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"TensorBoard did not serve {url} in {_START_S} s (exit code {server.poll()})")


def picture(chromium, url, folder, name):
    """A screenshot of a page, as an array; kept where `TORCHKERAS_TEST_PICTURES` says."""
    import numpy as np
    from PIL import Image

    path = pathlib.Path(folder) / name
    chromium(url, folder / "profile", f"--screenshot={path}")
    if _PICTURES:
        Image.open(path).convert("RGB").quantize(64).save(
            pathlib.Path(_PICTURES) / name, optimize=True
        )
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_tags_of_the_curves_are_on_the_page(page, chromium, tmp_path):
    shown = chromium(f"{page}/#timeseries", tmp_path / "profile", "--dump-dom")
    for tag in ("epoch_loss", "epoch_accuracy", "epoch_learning_rate", "batch_loss"):
        assert tag in shown
    for run in ("train", "validation"):
        assert run in shown


def test_curves_are_drawn(page, chromium, tmp_path):
    url = f"{page}/#scalars&tagFilter=epoch_(accuracy%7Closs)&_smoothingWeight=0"
    pixels = picture(chromium, url, tmp_path, "tensorboard.png")
    below_header = pixels[120:, 300:]
    red, blue = below_header[..., 0], below_header[..., 2]
    # One run's curves are orange, the other's blue, on a page of white and grey.
    assert (red - blue > 100).sum() > 200
    assert (blue - red > 100).sum() > 200


def test_graphs_are_served(page):
    with urllib.request.urlopen(f"{page}/data/plugin/graphs/info", timeout=30) as answer:
        tags = json.load(answer)["train"]["tags"]
    assert tags["keras"]["conceptual_graph"]
    address = f"{page}/data/plugin/graphs/graph?run=train&conceptual="
    with urllib.request.urlopen(f"{address}false", timeout=30) as answer:
        assert b'"sequential/hidden/addmm"' in answer.read()
    with urllib.request.urlopen(f"{address}true&tag=keras", timeout=30) as answer:
        assert b'"sequential/hidden"' in answer.read()
