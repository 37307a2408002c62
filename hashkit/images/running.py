"""A query by the page's server, if one runs for the gallery: its model is loaded already.

The server writes its port and a secret into ``serving.json`` beside the index, which only its user may read. Whoever
answers on that port must prove to know the secret. Imports the standard library alone: it is used to save time.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import secrets
from collections.abc import Iterator
from typing import Any

FILE = "serving.json"
CONNECT_SECONDS, ANSWER_SECONDS = 0.5, 60.0


@contextlib.contextmanager
def announced(path: str, port: int, secret: str) -> Iterator[None]:
    """Tell other commands of this user meanwhile that a server of the gallery at `path` listens."""
    file = os.path.join(path, FILE)
    text = json.dumps({"port": port, "secret": secret})
    try:
        _write(file, text)
    except OSError:  # a gallery that cannot be written to: queries load the model themselves
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError), open(file, encoding="utf-8") as stream:
            if stream.read() == text:  # not that of a server that was started later
                os.unlink(file)


def _write(file: str, text: str) -> None:
    temporary = f"{file}.{secrets.token_hex(8)}.tmp"
    with open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(temporary, file)


def proof(secret: str, challenge: str) -> str:
    """What only those who know the secret can answer to a challenge."""
    return hmac.new(secret.encode(), challenge.encode(), hashlib.sha256).hexdigest()


def query_running(path: str, picture: str, k: int, rerank: bool) -> list[dict[str, Any]] | None:
    """What the server of the gallery at `path` finds by a file: path, distance and similarity of each match.

    Returns
    -------
    matches : list of dict, or None
        None where no server runs, or it does not answer as it should: then the caller does the work.
    """
    try:
        with open(os.path.join(path, FILE), encoding="utf-8") as stream:
            notes = json.load(stream)
        port, secret = int(notes["port"]), str(notes["secret"])
        if not os.path.isfile(picture):  # a named pipe would never end
            return None
        with open(picture, "rb") as stream_of_picture:
            data = stream_of_picture.read()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CONNECT_SECONDS)
        with contextlib.closing(connection):
            challenge = secrets.token_hex(16)
            if _asked(connection, "GET", f"/proof/{challenge}")["proof"] != proof(secret, challenge):
                return None
            if connection.sock is not None:
                connection.sock.settimeout(ANSWER_SECONDS)
            headers = {"Content-Type": "application/octet-stream"}
            key = _asked(connection, "POST", "/search", data, headers)["location"].rpartition("/")[2]
            matches = _asked(connection, "GET", f"/matches/{key}?k={k}&rerank={int(rerank)}")["matches"]
        return [{name: match[name] for name in ("path", "distance", "similarity")} for match in matches]
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return None


def _asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Any:
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 200:
        raise ValueError(f"the server answered {answer.status}")
    return json.loads(data)
