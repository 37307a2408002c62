"""A gallery's page, served by a thread, and requests to it exactly as they are written."""

import http.client
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

from hashkit.images.server import serve


@contextmanager
def serving(gallery, **options):
    """Serve a gallery meanwhile; gives the `address` to open and the `port`."""
    ready, running = threading.Event(), SimpleNamespace()

    def started(address, server):
        running.address, running.port, running.server = address, urlsplit(address).port, server
        ready.set()

    thread = threading.Thread(target=serve, args=(gallery,), kwargs={**options, "started": started})
    thread.start()
    assert ready.wait(30)
    try:
        yield running
    finally:
        running.server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def ask(site, path, *, method="GET", body=None, **headers):
    """One request: a client's library would tidy the path."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return SimpleNamespace(status=answer.status, headers=answer.headers, data=answer.read())
    finally:
        connection.close()
