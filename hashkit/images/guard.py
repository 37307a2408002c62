"""Which requests the page's server answers: hosts, token, cross-site requests, and headers that limit the browser."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "hashkit_token"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not "no-referrer": with it a browser sends a form's Origin as "null".
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Lets a request through or answers it with a refusal.

    Parameters
    ----------
    port : int
        Where the server listens: part of every Host header.
    token : str or None
        What every request must carry, as a cookie or, the first time, as ``?token=``. None where only this machine
        can ask.
    hosts : tuple of str
        Names under which the server may be asked, besides those of this machine itself. With a token any IP address
        is one of them: a foreign site cannot send the token.
    """

    def __init__(self, port: int, token: str | None = None, hosts: tuple[str, ...] = ()) -> None:
        self._port, self._token = port, token
        self._hosts = {*LOOPBACK, *(host.lower() for host in hosts)}

    def around(self, app: ASGIApp) -> ASGIApp:
        """`app` behind this guard: requests are refused, or passed on, and answers get the headers."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_bound(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update(HEADERS)
                await send(message)

            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            await (self.refusal(Request(scope)) or app)(scope, receive, send_bound)

        return guarded

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request that must not pass."""
        if not self._host_is_known(request.headers.get("host", "")):
            return PlainTextResponse("this server is not known under that name", 421)
        if request.method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("this method is not allowed", 405)
        if self._is_cross_site(request):
            return PlainTextResponse("requests from other sites are refused", 403)
        return self._ask_for_token(request) if self._token else None

    def _host_is_known(self, value: str) -> bool:
        name, colon, port = value.lower().rpartition(":")
        if not colon or value.endswith("]"):
            name, port = value.lower(), "80"
        return port == str(self._port) and (name in self._hosts or (self._token is not None and _is_address(name)))

    def _is_cross_site(self, request: Request) -> bool:
        site = request.headers.get("sec-fetch-site", "same-origin")
        origin = request.headers.get("origin")
        own = f"http://{request.headers.get('host', '').lower()}"
        if request.method == "POST":
            return site != "same-origin" or origin not in (None, own)
        # A link on another site may lead to a page; its pictures and data are not for other sites.
        followed = request.headers.get("sec-fetch-mode") == "navigate"
        return site not in ("same-origin", "none") and not followed

    def _ask_for_token(self, request: Request) -> Response | None:
        token = self._token or ""
        if _equal(request.cookies.get(COOKIE, ""), token):
            return None
        if not _equal(request.query_params.get("token", ""), token):
            return PlainTextResponse("open the address with the token that the command has shown", 401)
        rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
        response = RedirectResponse(request.url.path + ("?" + urlencode(rest) if rest else ""), 303)
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return response


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
