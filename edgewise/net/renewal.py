"""A certificate is renewed before it ends: the node makes a new key, asks its server with the old one, and replaces both files.

    POST /identity/renew    body: a certificate signing request (DER), over mutual TLS        200: the certificate (PEM)

The server signs for the node and the role on the certificate that was shown, and for nothing else that the request may hold. A
certificate that ended within `certificates.GRACE` is still good for this one question. The new key never leaves the node; an
answer that is lost costs nothing but a line in the authority's record.

It does not know when it is asked: `certificates.due` says when, `keep` asks then. The server needs the authority's key at hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding

from edgewise.core.errors import IdentityError, LinkError
from edgewise.net.allowance import Allowances
from edgewise.net.certificates import NODE_DAYS, Role, due, facts, hosts_in, sign_node, subject
from edgewise.net.connect import REFUSED
from edgewise.net.identity import AUTHORITY, Identity, client_context, read_certificate, read_pair, write_pair
from edgewise.net.listen import RENEW, Listener
from edgewise.net.revocation import record

log = logging.getLogger(__name__)
LARGEST = 8 << 10
EVERY = 3600.0  # s between two looks at the calendar
TIMEOUT = aiohttp.ClientTimeout(total=10.0)


# The server's side


def sign_request(folder: Path, request: bytes, shown: x509.Certificate, now: float, days: float = NODE_DAYS) -> tuple[str, bytes]:
    """A certificate (its serial number, and PEM) for the node that showed one; IdentityError where the request wants another.

    It is for the key in `request`, which must be signed by that key and name that node and role; extensions are not looked at.
    """
    of = facts(shown)
    if len(request) > LARGEST:
        raise IdentityError("a request for a certificate is too large", got=f"{len(request)} bytes", allowed=LARGEST)
    try:
        asked = x509.load_der_x509_csr(request)
        key, proven = asked.public_key(), asked.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError("a request for a certificate cannot be read", got=type(error).__name__, allowed="DER") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise IdentityError("a request brings another kind of key", got=type(key).__name__, allowed="P-256")
    if not proven:
        raise IdentityError("a request is not signed by its own key", hint="Who asks must hold the key.")
    if asked.subject != subject(of.node, of.role):
        got = asked.subject.rfc4514_string() or "no name"
        raise IdentityError("a request is for another name or role", got=got, allowed=subject(of.node, of.role).rfc4514_string())
    if key == shown.public_key():
        raise IdentityError("a request brings the old key again", allowed="a new key", hint="Keys end with their certificates.")
    authority, authority_key = read_pair(folder, AUTHORITY)
    hosts = hosts_in(shown) if of.role == "edge" else ()
    signed = sign_node(authority, authority_key, of.node, cast(Role, of.role), key, hosts, days, now)
    record(folder, facts(signed))
    return facts(signed).serial, signed.public_bytes(Encoding.PEM)


def renewal_route(
    folder: Path,
    listener: Listener,
    clock: Callable[[], float] = time.time,
    on_renewed: Callable[[str, str], None] | None = None,
    on_refused: Callable[[str, str], None] | None = None,
) -> web.RouteDef:
    """POST `/identity/renew`; a node may ask four times, then once in ten minutes. `on_renewed` is told who, and the number."""
    allowances = Allowances(rate=1 / 600, burst=4)

    async def renew(request: web.Request) -> web.Response:
        peer = listener.peer(request, roles=("device", "edge", "operator", "federator"))
        if not allowances.take(peer.node, 1, clock()):
            return _no(429, IdentityError(f"{peer.node} asks for certificates too often", hint="Once in ten minutes will do."))
        try:
            shown = x509.load_der_x509_certificate(request.get_extra_info("ssl_object").getpeercert(True))
            body = await request.content.read(LARGEST + 1)
            while len(body) <= LARGEST and (more := await request.content.read(LARGEST + 1)):
                body += more
            serial, pem = sign_request(folder, body, shown, clock())
        except IdentityError as error:
            if on_refused is not None:
                on_refused("refused renewal", f"{peer.node}: {error}")
            return _no(403, error)
        if on_renewed is not None:
            on_renewed(peer.node, serial)
        return web.Response(body=pem, content_type="application/x-pem-file")

    return web.post(RENEW, renew)


def renew_own(folder: Path, identity: Identity, now: float, days: float = NODE_DAYS) -> bool:
    """Renew a node whose authority is in the same folder, where it is due: an edge server, at its start and daily."""
    shown = read_certificate(identity.certificate)
    if not due(facts(shown), now) or not (folder / f"{AUTHORITY}.key").exists():
        return False
    request, key = _request(identity)
    _, pem = sign_request(folder, request, shown, now, days)
    write_pair(identity.certificate.parent, identity.node, key, x509.load_pem_x509_certificate(pem))
    return True


# The node's side


async def renew(address: str, identity: Identity, clock: Callable[[], float] = time.time) -> float:
    """Ask the server at `https://host:port` for a new certificate and take it; when it ends (s since 1970).

    IdentityError where the server refuses, or gives another one than was asked for; then the old files stay.
    """
    request, key = _request(identity)
    connector = aiohttp.TCPConnector(ssl=client_context(identity, clock=clock), force_close=True)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as client,
            client.post(address.rstrip("/") + RENEW, data=request) as reply,
        ):
            body = await reply.content.read(2 * LARGEST)
            status, said = reply.status, reply.headers.get(REFUSED)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise LinkError("a new certificate did not come", got=str(error) or type(error).__name__) from None
    if status != 200:
        raise IdentityError("the server gives no new certificate", got=said or f"HTTP status {status}")
    write_pair(identity.certificate.parent, identity.node, key, _accepted(body, identity, key.public_key()))
    return facts(read_certificate(identity.certificate)).ends


async def keep(
    address: str,
    identity: Identity,
    renewed: Callable[[float], None],
    clock: Callable[[], float] = time.time,
    every: float = EVERY,
    wanted: asyncio.Event | None = None,
) -> None:
    """Renew `identity` whenever it is due by `clock`, until cancelled; a try that fails is logged, and made again later.

    `wanted` may be set by whoever heard from a server that the certificate has expired: then it is due whatever the clock says.
    """
    wanted = wanted or asyncio.Event()
    while True:
        asked = wanted.is_set()
        wanted.clear()
        try:
            if asked or due(facts(read_certificate(identity.certificate)), clock()):
                ends = await renew(address, identity, clock)
                log.info("a new certificate", extra={"node": identity.node, "ends": time.strftime("%Y-%m-%d", time.gmtime(ends))})
                renewed(ends)
        except (LinkError, OSError) as error:
            log.warning("the certificate of %s is due and was not renewed: %s", identity.node, error)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every):
                await wanted.wait()


def _request(identity: Identity) -> tuple[bytes, EllipticCurvePrivateKey]:
    key = generate_private_key(SECP256R1())
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject(identity.node, identity.role))
    return asked.sign(key, hashes.SHA256()).public_bytes(Encoding.DER), key


def _accepted(body: bytes, identity: Identity, key: EllipticCurvePublicKey) -> x509.Certificate:
    """The certificate in a server's answer, if it is the one that was asked for."""
    authority = read_certificate(identity.authority)
    try:
        given = x509.load_pem_x509_certificate(body)
        maker = authority.public_key()
        assert isinstance(maker, EllipticCurvePublicKey)
        maker.verify(given.signature, given.tbs_certificate_bytes, ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature) as error:
        got = type(error).__name__
        raise IdentityError("the server's new certificate is not of our authority", got=got, hint="The old one stays.") from None
    of = facts(given)
    if (of.node, of.role) != (identity.node, identity.role) or given.public_key() != key:
        got = given.subject.rfc4514_string()
        raise IdentityError("the server's new certificate is not the one asked for", got=got, hint="The old one stays.")
    return given


def _no(status: int, error: IdentityError) -> web.Response:
    said = str(error).encode("ascii", "replace").decode("ascii").replace("\n", " ").replace("\r", " ")
    return web.Response(status=status, text=str(error), headers={REFUSED: said})
