"""A small OpenID provider over real HTTP, with one client; a test says who is there and what it answers wrongly."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.factories import NOW_MS
from tests.peers import Asked, Peer, Reply

CLIENT, SECRET = "bridge", "a-secret-of-the-client"


class OpenIdProvider:
    """The provider; `claims` are put over those of the ID token, None leaves one out."""

    def __init__(self) -> None:
        self.person = {"sub": "p-1", "email": "bia@example.com", "email_verified": True}
        self.claims: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.key = _key("one")
        self.sign: Callable[[dict[str, Any]], str] = self._signed
        self.status = 200
        self._codes: dict[str, dict[str, str]] = {}
        self._server = Peer(respond=self._answer)

    def __enter__(self) -> OpenIdProvider:
        self._server.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self._server.__exit__(*problem)

    @property
    def url(self) -> str:
        """The issuer."""
        return self._server.url

    def asked(self, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(one.path.startswith(path) for one in self._server.asked)

    def agrees(self, url: str) -> str:
        """Let the person agree at the address to which the bridge leads; return the path to come back to."""
        back = urlsplit(httpx.get(url, follow_redirects=False).headers["Location"])
        return f"{back.path}?{back.query}"

    def _answer(self, asked: Asked) -> Reply:
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query or asked.body.decode()).items()}
        if self.status != 200:
            return Reply(self.status)
        if parts.path == "/authorize":
            return self._authorize(query)
        if parts.path == "/token":
            return self._token(query, asked.headers.get("Authorization", ""))
        found = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/userinfo",
                **self.metadata,
            },
            "/keys": KeySet([self.key]).as_dict(private=False),
            "/userinfo": self.person,
        }
        return _json(found[parts.path])

    def _authorize(self, query: dict[str, str]) -> Reply:
        assert (query["client_id"], query["response_type"]) == (CLIENT, "code")
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self._codes[code] = query
        back = urlencode({"code": code, "state": query["state"]})
        return Reply(302, headers={"Location": f"{query['redirect_uri']}?{back}"})

    def _token(self, form: dict[str, str], authorization: str) -> Reply:
        asked = self._codes.pop(form.get("code", ""), None)
        right = f"Basic {base64.b64encode(f'{CLIENT}:{SECRET}'.encode()).decode()}"
        if self.metadata.get("token_endpoint_auth_methods_supported") == ["client_secret_post"]:
            right, authorization = f"{CLIENT} {SECRET}", f"{form.get('client_id')} {form.get('client_secret')}"
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or authorization != right
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form.get("redirect_uri")
        ):
            return _json({"error": "invalid_grant"}, 400)
        now_s = NOW_MS // 1000
        claims = {"iss": self.url, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": asked["nonce"]}
        claims = {**claims, **self.person, **self.claims}
        token = self.sign({name: value for name, value in claims.items() if value is not None})
        return _json({"access_token": "x", "token_type": "Bearer", "id_token": token})

    def _signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    def changes_its_key(self) -> None:
        """Sign with another key from now on; the old one is published no more."""
        self.key = _key("two")


def _key(name: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"})


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})
