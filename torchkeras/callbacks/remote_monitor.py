"""RemoteMonitor: the logs of each epoch to a web server."""

import json
import urllib.error
import urllib.parse
import urllib.request
import warnings

import numpy as np

from torchkeras.callbacks.callback import Callback
from torchkeras.core.checks import check_switch, check_text
from torchkeras.distribution import process_group

_TIMEOUT_S = 10


class RemoteMonitor(Callback):
    """Sends the logs of each epoch, and its number, to a server by HTTP POST.

    A server that cannot be reached within 10 s gives a warning and the training goes on. What
    the server answers is not looked at. Of several processes of a job the first one sends.

    Args:
        root: str, `http://` or `https://` address of the server.
        path: str, path on it.
        field: str, name of the form field that holds the JSON.
        headers: dict of further HTTP headers, or None.
        send_as_json: bool, send the JSON itself as `application/json`, not a form with it.

    Raises:
        ValueError: `root` is no such address.

    Example:

    >>> keras.callbacks.RemoteMonitor(root="http://localhost:9000").path
    '/publish/epoch/end/'
    """

    def __init__(
        self,
        root="http://localhost:9000",
        path="/publish/epoch/end/",
        field="data",
        headers=None,
        send_as_json=False,
    ):
        super().__init__()
        for name, value in (("root", root), ("path", path), ("field", field)):
            check_text(name, value)
        if not isinstance(headers, (dict, type(None))):
            raise TypeError(
                f"`headers` must be a dict of strings, or None. Received: headers={headers!r} of "
                f"type {type(headers).__name__}. Give names and values."
            )
        check_switch("send_as_json", send_as_json)
        if not root.startswith(("http://", "https://")):
            raise ValueError(
                "`root` must be an http:// or https:// address. Received: "
                f"root={root!r}. Put http:// before the name of the server."
            )
        self.root = root
        self.path = path
        self.field = field
        self.headers = headers
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch, logs=None):
        if not process_group.is_chief():
            return
        logs = {name: _plain(value) for name, value in (logs or {}).items()}
        content = json.dumps({"epoch": epoch, **logs})
        kind = "application/json"
        if not self.send_as_json:
            content = urllib.parse.urlencode({self.field: content})
            kind = "application/x-www-form-urlencoded"
        request = urllib.request.Request(
            self.root + self.path,
            data=content.encode(),
            headers={"Content-Type": kind, **(self.headers or {})},
            method="POST",
        )
        try:
            urllib.request.urlopen(request, timeout=_TIMEOUT_S).close()
        except urllib.error.HTTPError as error:  # it answers, if only with an error
            error.close()
        except OSError as error:
            warnings.warn(
                f"RemoteMonitor cannot reach {self.root}: {error}. The logs of epoch {epoch} "
                "were not sent.",
                stacklevel=2,
            )


def _plain(value):
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
