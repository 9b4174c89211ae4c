"""Sign-in by an OpenID Connect provider: the code flow with state, nonce and PKCE.

Authlib makes the messages and judges the ID token, joserfc its signature. Every request goes through the runtime's HTTP
client, which bounds time and size and connects to public addresses only; Authlib's own clients would not.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from bridge.errors import SignInFailed
from bridge.http import check_url
from bridge.messages import N_
from bridge.runtime import Runtime

DEADLINE_S = 3.0
KEPT_S = 3600.0
"""The provider's metadata and keys are kept for this long."""
LEEWAY_S = 60
MAX_BYTES = 256 * 1024
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signature algorithms with a private key of the provider."""
SCOPE = "openid email profile"

_AWAY = N_("the provider does not answer")
_ODD = N_("the provider's answer can't be used ({reason})")


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as the provider names them; the provider has verified the e-mail."""

    issuer: str
    subject: str
    email: str


class Provider:
    """The provider of BRIDGE_OIDC_ISSUER."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        settings = runtime.settings
        self._issuer = settings.bridge_oidc_issuer
        self._client_id = settings.bridge_oidc_client_id
        self._client_secret = settings.bridge_oidc_client_secret
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    def begin(self, redirect_uri: str) -> tuple[str, dict[str, str]]:
        """Return the address at the provider, and what the session must keep until the person comes back."""
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        kept = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        url = prepare_grant_uri(
            self._address("authorization_endpoint"),
            self._client_id,
            "code",
            redirect_uri,
            SCOPE,
            kept["state"],
            nonce=kept["nonce"],
            code_challenge=create_s256_code_challenge(kept["verifier"]),
            code_challenge_method="S256",
        )
        return url, {**kept, "redirect_uri": redirect_uri}

    def finish(self, url: str, kept: Mapping[str, str]) -> Identity:
        """Return the person who came back with this address; raise SignInFailed where any check of the answer fails."""
        from authlib.oauth2 import OAuth2Error
        from authlib.oauth2.auth import ClientAuth
        from authlib.oauth2.rfc6749.parameters import parse_authorization_code_response, prepare_token_request
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import JoseError

        try:
            given = parse_authorization_code_response(url, kept["state"])
        except OAuth2Error as error:
            raise SignInFailed(_ODD, reason=error.error) from None
        metadata = self._metadata()
        if given.get("iss", metadata["issuer"]) != metadata["issuer"]:  # RFC 9207: another provider's answer
            raise SignInFailed(_ODD, reason="iss")
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=kept["redirect_uri"],
            code=given["code"],
            code_verifier=kept["verifier"],
        )
        auth = ClientAuth(self._client_id, self._client_secret, self._auth_method(metadata))
        endpoint, headers, body = auth.prepare("POST", self._address("token_endpoint"), {}, body)
        answer = self._ask("POST", endpoint, form=body, headers=headers)
        try:
            token = self._decoded(str(answer.get("id_token", "")))
            claims = CodeIDToken(
                token.claims,
                token.header,
                {
                    "iss": {"essential": True, "value": metadata["issuer"]},
                    "aud": {"essential": True, "value": self._client_id},
                },
                {"nonce": kept["nonce"], "client_id": self._client_id, "access_token": answer.get("access_token")},
            )
            claims.validate(now=self._runtime.clock_ms() // 1000, leeway=LEEWAY_S)
        except JoseError as error:
            raise SignInFailed(_ODD, reason=getattr(error, "claim", "") or error.error) from None
        about = dict(claims)
        if "email" not in about and "userinfo_endpoint" in metadata:
            about = self._userinfo(str(answer.get("access_token", "")), about)
        email = about.get("email")
        if not isinstance(email, str) or about.get("email_verified") not in {True, "true"}:
            raise SignInFailed(N_("the provider does not say that your e-mail is verified"))
        return Identity(metadata["issuer"], str(claims["sub"]), email)

    def _decoded(self, id_token: str) -> Any:
        """Return the token after its signature was verified; for an unknown key the provider's keys are fetched once
        more."""
        from joserfc import jwt
        from joserfc.errors import BadSignatureError, InvalidKeyIdError
        from joserfc.jwk import KeySet

        def decoded() -> Any:
            return jwt.decode(id_token, KeySet.import_key_set(self._keys()), algorithms=ALGORITHMS)

        try:
            return decoded()
        except (BadSignatureError, InvalidKeyIdError):
            self._kept.pop(self._address("jwks_uri"), None)
            return decoded()
        except (KeyError, TypeError, ValueError) as error:
            raise SignInFailed(_ODD, reason=type(error).__name__) from None

    def _userinfo(self, access_token: str, claims: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {access_token}"}
        about = self._ask("GET", self._address("userinfo_endpoint"), headers=headers)
        if about.get("sub") != claims["sub"]:
            raise SignInFailed(_ODD, reason="sub")
        return about

    def _metadata(self) -> dict[str, Any]:
        found = self._remembered(f"{self._issuer}/.well-known/openid-configuration")
        if str(found.get("issuer", "")).rstrip("/") != self._issuer:
            raise SignInFailed(_ODD, reason="issuer")
        return found

    def _keys(self) -> Any:
        return self._remembered(self._address("jwks_uri"))

    def _address(self, name: str) -> str:
        url = str(self._metadata().get(name, ""))
        if not url or check_url(url, self._runtime.settings.bridge_allow_private_destinations):
            raise SignInFailed(_ODD, reason=name)
        return url

    def _auth_method(self, metadata: Mapping[str, Any]) -> str:
        if not self._client_secret:
            return "none"
        supported = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return "client_secret_basic" if "client_secret_basic" in supported else "client_secret_post"

    def _remembered(self, url: str) -> dict[str, Any]:
        at_s, found = self._kept.get(url, (0.0, {}))
        if not found or time.monotonic() - at_s > KEPT_S:
            found = self._ask("GET", url)
            self._kept[url] = (time.monotonic(), found)
        return found

    def _ask(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        try:
            answer = self._runtime.http.request(method, url, deadline_s=DEADLINE_S, max_bytes=MAX_BYTES, **more)
        except (httpx.HTTPError, httpx.InvalidURL):
            raise SignInFailed(_AWAY, hint=N_("sign in with a password, or try again later")) from None
        if answer.status_code >= 500:
            raise SignInFailed(_AWAY, hint=N_("sign in with a password, or try again later"))
        try:
            found = answer.json()
        except ValueError:
            found = None
        if answer.status_code != 200 or not isinstance(found, dict):
            raise SignInFailed(_ODD, reason=answer.status_code)
        return found
