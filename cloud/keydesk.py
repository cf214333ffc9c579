"""The cloud's online keys, looked after by whoever stands in front of it: what is in force, what comes next.

keys          the key set in force
keys_request  the next one, for the root to sign. The root itself never comes here
keys_install  the signed set: in use from now on, and every connected box is told
"""

from __future__ import annotations

import msgspec

from cloud.accounts import Accounts
from common import trust
from common.desk import LOCAL_ONLY, Plain, Request
from common.domain import iso
from common.policy import Claims


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    at_once: bool = False
    drop_old: bool = False


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class KeyDesk:
    """Answers the requests of the module; `cloud.management` offers them."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.requests = {
            "keys": Request(_Nothing, LOCAL_ONLY, self._keys),
            "keys_request": Request(_Request, LOCAL_ONLY, self._request),
            "keys_install": Request(trust.SignedKeySet, LOCAL_ONLY, self._install),
        }

    async def _keys(self, _: _Nothing, __: Claims) -> Plain:
        return self._in_force()

    def _in_force(self) -> Plain:
        keyring = self._accounts.keyring
        signing = keyring.issuing.issuer
        return {
            "number": keyring.keys.number,
            "root": keyring.root,
            "root_is_here": keyring.root_is_here,
            "keys": [
                {
                    "id": trust.fingerprint(key.public),
                    "signs": key.public == signing.public,
                    "from": iso(key.from_ms) if key.from_ms else None,
                    "until": iso(key.not_after_ms),
                }
                for key in keyring.keys.keys
            ],
        }

    async def _request(self, args: _Request, _: Claims) -> Plain:
        wanted = self._accounts.keyring.request(at_once=args.at_once, drop_old=args.drop_old)
        told: Plain = msgspec.to_builtins(wanted)
        return told

    async def _install(self, signed: trust.SignedKeySet, claims: Claims) -> Plain:
        await self._accounts.install_keys(signed, claims.principal)
        return self._in_force()
