"""Encrypts the headers of a webhook that carry credentials, and opens them for the one that sends it.

They are bound to their tenant, their name and the URL they are sent to: copied to another tenant's task, or to
one that calls elsewhere, they do not open.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from domain.actions.credentials import is_credential
from domain.actions.model import Action, Http, SealedValue
from infra.encryption.keys import NONCE_BYTES, KeyRing, Sealed, Undecryptable

PURPOSE = "webhook-header"


class HeaderSeals:
    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    @property
    def usable(self) -> bool:
        return self._keys.usable

    def sealed(self, tenant: str, action: Action) -> Action:
        """Without a key it stays as it is: such a webhook is refused when it is asked for."""
        if not isinstance(action, Http) or not self.usable:
            return action
        if not any(_is_plain_credential(name, value) for name, value in action.headers.items()):
            return action
        headers = {
            name: self._seal(value, tenant, name, action.url) if _is_plain_credential(name, value) else value
            for name, value in action.headers.items()
        }
        return replace(action, headers=headers)

    def opened(self, tenant: str, http: Http) -> dict[str, str]:
        """The headers as they are sent. Raises Undecryptable."""
        return {
            name: self._open(value, tenant, name, http.url) if isinstance(value, SealedValue) else value
            for name, value in http.headers.items()
        }

    def resealed(self, tenant: str, http: Http) -> Http:
        """With the newest key throughout. Raises Undecryptable."""
        opened = self.opened(tenant, http)
        plain = {
            name: value
            if isinstance(value, SealedValue) and _key_id(value) == self._keys.newest
            else opened[name]
            for name, value in http.headers.items()
        }
        sealed = self.sealed(tenant, replace(http, headers=plain))
        assert isinstance(sealed, Http), "it stays a webhook"
        return sealed

    def _seal(self, value: object, tenant: str, name: str, url: str) -> SealedValue:
        sealed = self._keys.seal(str(value).encode(), PURPOSE, tenant, name.lower(), url)
        packed = base64.b64encode(sealed.nonce + sealed.ciphertext).decode()
        return SealedValue(f"{sealed.key_id}:{packed}")

    def _open(self, value: SealedValue, tenant: str, name: str, url: str) -> str:
        try:
            packed = base64.b64decode(value.text.partition(":")[2], validate=True)
        except binascii.Error as error:
            raise Undecryptable("it is not what an encrypted value looks like") from error
        sealed = Sealed(key_id=_key_id(value), nonce=packed[:NONCE_BYTES], ciphertext=packed[NONCE_BYTES:])
        return self._keys.open(sealed, PURPOSE, tenant, name.lower(), url).decode()


def _is_plain_credential(name: str, value: object) -> bool:
    return not isinstance(value, SealedValue) and is_credential(name)


def _key_id(value: SealedValue) -> str:
    return value.text.partition(":")[0]
