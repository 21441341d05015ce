"""What impostors ask for, in `forged.py`'s table: certificates that are not theirs, and what tokens open."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bench.forged import flipped
from bench.impostors import Tell, Try, World, post
from edgewise.net.certificates import subject
from edgewise.net.identity import client_context, read_key
from edgewise.net.listen import RENEW
from edgewise.net.renewal import LARGEST
from edgewise.net.tokens import people

# Requests for certificates


def _asks(
    node: str = "cam",
    role: str = "device",
    key: Any = None,
    change: Callable[[bytes], bytes] = lambda data: data,
    by: str = "cam",
) -> Try:
    """The node `by` asks for a certificate of `node` as `role`, for a key of its choice."""

    async def attempt(world: World, address: str, tell: Tell) -> None:
        made = key(world) if key is not None else ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject(node, role) if node else x509.Name([]))
        asked = builder.sign(made, None if isinstance(made, ed25519.Ed25519PrivateKey) else hashes.SHA256())
        data = change(asked.public_bytes(Encoding.DER))
        await post(f"https://{address}{RENEW}", client_context(world.who(by)), data=data)

    return attempt


def _own_key(world: World) -> ec.EllipticCurvePrivateKey:
    return read_key(world.ours / "cam.key")


REQUESTS: dict[str, Try] = {
    "for another node's name": _asks(node="cam-2"),
    "for the server's name": _asks(node="edge", role="edge"),
    "for another role": _asks(role="operator"),
    "for no name": _asks(node=""),
    "with the old key": _asks(key=_own_key),
    "with an RSA key": _asks(key=lambda world: rsa.generate_private_key(65537, 2048)),
    "with a key of another curve": _asks(key=lambda world: ec.generate_private_key(ec.SECP384R1())),
    "with an Ed25519 key": _asks(key=lambda world: ed25519.Ed25519PrivateKey.generate()),
    "not signed by its key": _asks(change=lambda data: flipped(data, len(data) - 1)),
    "cut short": _asks(change=lambda data: data[:50]),
    "that is nothing": _asks(change=lambda data: b""),
    "above all bounds": _asks(change=lambda data: data + bytes(LARGEST)),
    "by one that ended beyond the grace": _asks(node="ended", by="ended"),
    "by one that was taken back": _asks(node="stolen", by="stolen"),
}


# Tokens


def _says(header: Callable[[World], str | None]) -> Try:
    async def attempt(world: World, address: str, tell: Tell) -> None:
        said = header(world)
        context = ssl.create_default_context(cafile=str(world.ours / "authority.pem"))
        await post(f"https://localhost:{address.split(':')[1]}/people", context, headers={"Authorization": said} if said else {})

    return attempt


TOKENS: dict[str, Try] = {
    "none": _says(lambda w: None),
    "one under another scheme": _says(lambda w: f"Basic {w.tokens['anna']}"),
    "one with a letter changed": _says(lambda w: "Bearer " + flipped(w.tokens["anna"].encode(), 20).decode("ascii", "replace")),
    "one cut short": _says(lambda w: f"Bearer {w.tokens['anna'][:-1]}"),
    "the hash that is stored": _says(lambda w: f"Bearer ew1_{people(w.ours)[0].sha256}"),
    "one that has ended": _says(lambda w: f"Bearer {w.tokens['past']}"),
    "one that was taken back": _says(lambda w: f"Bearer {w.tokens['away']}"),
    "another site's": _says(lambda w: f"Bearer {w.tokens['theirs']}"),
    "a viewer's where an operator is asked for": _says(lambda w: f"Bearer {w.tokens['eve']}"),
    "one of eight thousand letters": _says(lambda w: "Bearer ew1_" + "x" * 8000),
}
