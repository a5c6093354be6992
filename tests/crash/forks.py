"""Functions in children of this process, which can be killed at any time."""

import contextlib
import json
import os
import signal
import sys
import time
import traceback

# What shows that a file is touched. The kill comes before it happens.
_EVENTS = {
    *("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown"),
    *("os.truncate", "os.listdir", "os.scandir", "fcntl.flock", "shutil.rmtree"),
}


class Child:
    """A function that runs in a child of this process.

    Args:
        function: callable that is given a descriptor to tell something by, single bytes, before
            the arguments. What it returns is told after them, as JSON.
        *arguments: for it.

    Attributes:
        pid: int.
    """

    def __init__(self, function, *arguments):
        self._reader, writer = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            os.close(writer)
            self._content = b""
            return
        os.close(self._reader)
        code = 1
        try:
            os.write(writer, json.dumps(function(writer, *arguments)).encode())
            code = 0
        except SystemExit as error:  # as the interpreter ends, without its memory of this process
            code = error.code
        except KeyboardInterrupt:
            code = 130
        except BaseException:
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(code)

    def wait_for_byte(self):
        """Wait for the next byte that the function writes to its first argument."""
        byte = os.read(self._reader, 1)
        assert byte, f"the child ended with {self.wait()}"
        self._content += byte
        return byte

    def kill(self, number=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self):
        """`(exit code, what it wrote)`; the code is negative after a signal."""
        while part := os.read(self._reader, 1 << 16):
            self._content += part
        os.close(self._reader)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status), self._content.decode()


def call(function, *arguments):
    """What a function gives in a child, as JSON keeps it."""
    code, text = Child(lambda writer: function(*arguments)).wait()
    assert code == 0, f"exit code {code}: {text}"
    return json.loads(text)


def kill_before_event(number):
    """Let this process kill itself before its `number`-th use of a file from here on, from 1."""
    left = number

    def hook(event, arguments):
        nonlocal left
        if event in _EVENTS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def sleep_exactly(seconds):
    """Sleep; the last part of it awake, as a sleeping process wakes up late."""
    end = time.perf_counter() + seconds
    if seconds > 0.002:
        time.sleep(seconds - 0.001)
    while time.perf_counter() < end:
        pass
