"""StopSignals: SIGTERM and SIGINT noted, for a loop to end where its state is whole."""

import signal
import threading

_SIGNALS = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}


class StopSignals:
    """Takes SIGTERM and SIGINT in place of their default handlers, and asks the training to stop.

    Handlers of the program's own stay. A second signal of a kind does what it would have done
    without. Outside of the main thread nothing is taken, as Python allows it there alone.

    Attributes:
        received: int, the number of the signal that came; 0 for none.

    Example:

    >>> from torchkeras.callbacks.stop_signals import StopSignals
    >>> signals = StopSignals(lambda: print("stop"))
    >>> signals.received, signals.release()
    (0, None)
    """

    def __init__(self, stop):
        self.received = 0
        self._stop = stop
        self._taken = {}
        if threading.current_thread() is not threading.main_thread():
            return
        for number, default in _SIGNALS.items():
            if signal.getsignal(number) is default:
                signal.signal(number, self._note)
                self._taken[number] = default

    def _note(self, number, frame):
        self.received = int(number)
        self._give_back(number)
        self._stop()

    def _give_back(self, number):
        default = self._taken.pop(number, None)
        if default is not None and signal.getsignal(number) == self._note:
            signal.signal(number, default)

    def release(self):
        """Give the signals back to their default handlers."""
        for number in list(self._taken):
            self._give_back(number)


def end_by(number):
    """End the program as a signal does: by KeyboardInterrupt, or exit code 128 + its number.

    Example:

    >>> from torchkeras.callbacks.stop_signals import end_by
    >>> end_by(15)
    Traceback (most recent call last):
    SystemExit: 143
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
