"""torchrun starts a job again when a process is killed, at whatever time: it ends bit-equal."""

import os
import pathlib
import pickle
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.processes import REPOSITORY

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(sys.platform == "win32", reason="torchrun"),
]
SCRIPT = pathlib.Path(__file__).with_name("torchrun_script.py")


class Job:
    """Two processes under torchrun."""

    def __init__(self, folder, save_freq=1, restarts=0, seconds=0.02):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node=2", f"--max-restarts={restarts}", "--monitor-interval=0.1"]
        with open(folder / "output", "a") as output:
            self.process = subprocess.Popen(
                [*command, str(SCRIPT), str(folder), str(save_freq), str(seconds)],
                env={
                    **os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
                    "PYTHONPATH": str(REPOSITORY), "TORCHKERAS_TIMEOUT_S": "60",
                },
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def worker(self, start, rank, timeout_s=120):
        """Number of a process that has begun to train."""
        path, end = self.folder / "pids" / f"{start}-{rank}", time.monotonic() + timeout_s
        while not (path.exists() and path.read_text()):
            assert self.process.poll() is None, self.told()
            assert time.monotonic() < end, self.told()
            time.sleep(0.01)
        return int(path.read_text())

    def told(self):
        return (self.folder / "output").read_text()[-6000:]

    def wait(self):
        try:
            return self.process.wait(timeout=180)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGTERM)
                self.process.wait(timeout=60)

    def results(self):
        assert not (self.folder / "backup").exists()
        assert not [name for name in os.listdir(self.folder) if name.endswith("-tmp")]
        return pickle.loads((self.folder / "results.pickle").read_bytes())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    found = {}

    def get(save_freq):
        if save_freq not in found:
            job = Job(tmp_path_factory.mktemp("whole") / "job", save_freq, seconds=0)
            assert job.wait() == 0, job.told()
            found[save_freq] = job.results()[1], (job.folder / "log.csv").read_text()
        return found[save_freq]

    return get


def check_same(job, starts, expected):
    assert job.wait() == 0, job.told()
    start, found = job.results()
    assert start == starts
    for name, values in expected[0].items():
        for ours, theirs in zip(found[name], values, strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
    assert (job.folder / "log.csv").read_text() == expected[1]


@pytest.mark.parametrize("save_freq", [1, "epoch"])
def test_killed_at_random_moments(tmp_path, undisturbed, save_freq):
    expected = undisturbed(save_freq)
    draw = random.SystemRandom()
    job = Job(tmp_path / "job", save_freq, restarts=2)
    for start in range(2):
        numbers = [job.worker(start, rank) for rank in (0, 1)]
        time.sleep(draw.uniform(0, 0.35))  # all steps together take 0.8 s or more
        os.kill(numbers[draw.randrange(2)], signal.SIGKILL)
    check_same(job, 2, expected)


def test_told_to_end(tmp_path, undisturbed):
    """SIGTERM to torchrun goes to all of them; the same command goes on."""
    expected = undisturbed(1)
    draw = random.SystemRandom()
    for _ in range(2):
        job = Job(tmp_path / "job")
        for rank in (0, 1):
            job.worker(0, rank)
        time.sleep(draw.uniform(0, 0.25))
        job.process.send_signal(signal.SIGTERM)
        assert job.wait() != 0
        assert os.listdir(tmp_path / "job" / "backup") == ["latest.safetensors"], job.told()
        for path in (tmp_path / "job" / "pids").iterdir():
            path.unlink()
    job = Job(tmp_path / "job")
    check_same(job, 0, expected)
