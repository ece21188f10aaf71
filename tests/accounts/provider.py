"""A small provider of OpenID Connect: real HTTP, signed tokens, one person at a time."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "abm", "abm's own secret at the provider"


class Provider(ThreadingHTTPServer):
    """Who comes to it is `claims`; `refuses` makes it say no."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self.claims: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.refuses = ""
        self.breaks = False
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join(5)

    def id_token(self) -> str:
        now = int(time.time())
        values = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, **self.claims}
        return jwt.encode(values, self.key, algorithm="RS256", headers={"kid": "1"})


class Answer(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/.well-known/openid-configuration":
            names = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
            places = {f"{name}_endpoint": f"{self.server.url}/{at}" for name, at in names.items()}
            more = {"issuer": self.server.url, "jwks_uri": f"{self.server.url}/keys"}
            self._say({**places, **more})
        elif parts.path == "/authorize":
            self._authorize({name: values[0] for name, values in parse_qs(parts.query).items()})
        elif parts.path == "/userinfo":
            is_ours = self.headers["Authorization"] == "Bearer access"
            self._say(self.server.claims if is_ours else {}, 200 if is_ours else 401)
        else:
            self._say({}, 404)

    def _authorize(self, asked: dict[str, str]) -> None:
        assert asked["client_id"] == CLIENT
        assert asked["response_type"] == "code"
        told = {"state": asked["state"]}
        if self.server.refuses:
            told["error"] = self.server.refuses
        else:
            told["code"] = f"code-{len(self.server.codes)}"
            self.server.codes[told["code"]] = asked
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri']}?{urlencode(told)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        posted = {n: v[0] for n, v in parse_qs(self.rfile.read(length).decode()).items()}
        asked = self.server.codes.pop(posted.get("code", ""), None)
        if self.server.breaks or asked is None or not self._is_client(posted):
            self._say({"error": "invalid_grant", "why": "hunter2"}, 400)
            return
        # PKCE (RFC 7636): only who began may end it.
        digest = hashlib.sha256(posted["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
        token = {"access_token": "access", "token_type": "Bearer", "expires_in": 300}
        self._say({**token, "id_token": self.server.id_token()})

    def _is_client(self, posted: dict[str, str]) -> bool:
        return (posted.get("client_id"), posted.get("client_secret")) == (CLIENT, SECRET)

    def _say(self, values: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass
