"""A process that fails ends the job, and its error is on the screen of process 0."""

import importlib.util
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

_spec = importlib.util.spec_from_file_location(
    "distribution_launch", pathlib.Path(__file__).with_name("launch.py")
)
launch = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(launch)

FAILING = """
import numpy as np
import torchkeras as keras
from torchkeras.distribution import process_group


class Fail(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if process_group.rank() == 1 and batch == 2:
            raise ValueError("the disk of this machine is full")


model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(np.ones((64, 3)), np.ones((64, 1)), batch_size=4, verbose=0, callbacks=[Fail()])
print("not reached")
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(FAILING)
    return path


def test_job_ends_with_the_error_of_the_process_that_failed(script):
    start = time.monotonic()
    finished = launch.torchrun([script], processes=2, timeout_s=120)
    assert finished.returncode != 0
    assert "[rank 1] failed: ValueError: the disk of this machine is full" in finished.stdout
    assert "not reached" not in finished.stdout
    assert time.monotonic() - start < 60  # that is, nobody waited for the time-out


def test_error_of_another_machine_is_on_the_screen_of_process_0(script):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHKERAS_TIMEOUT_S": "60",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env={**common, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=100)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode != 0 for process in processes] == [True, True]
    assert "[rank 1] failed:\nTraceback" in outputs[0]
    assert "the disk of this machine is full" in outputs[0]
