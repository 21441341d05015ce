"""Who is who: one authority for a site, and a certificate for each node that it signs, in files; and TLS with them.

Both sides of a link show theirs (mutual TLS 1.3). Dates are judged here and by the `Listener`, not by OpenSSL: so a device whose
clock stands in 1970 can still connect, and one whose certificate has just ended can still ask for a new one.

A pair of key and certificate is replaced in three renames, and `load_identity` finishes what a power cut left between them.

It does not know when to renew (renewal.py), nor which certificates were taken back (revocation.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import time
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from msgspec import Struct

from edgewise.core.errors import IdentityError
from edgewise.net.certificates import AUTHORITY_DAYS, NODE_DAYS, ROLES, Role, facts, facts_of_peer, sign_authority, sign_node
from edgewise.net.revocation import record

AUTHORITY = "authority"
NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which `ssl` does not name
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_AGAIN = "Make certificates with `edgewise keys`, or ask the one who runs the server for yours."


class Identity(Struct, frozen=True):
    """What a node shows and whom it trusts: files of its certificate, its key, and the authority's certificate."""

    node: str
    role: Role
    certificate: Path
    key: Path
    authority: Path


def make_authority(folder: Path, days: float = AUTHORITY_DAYS, now: float | None = None) -> Path:
    """Write `authority.pem` and `authority.key` (mode 0600) into `folder`; the certificate's path."""
    folder.mkdir(parents=True, exist_ok=True)
    key = generate_private_key(SECP256R1())
    write_pair(folder, AUTHORITY, key, sign_authority(key, days, time.time() if now is None else now))
    return folder / f"{AUTHORITY}.pem"


def issue(
    folder: Path, node: str, role: Role, hosts: Iterable[str] = (), days: float = NODE_DAYS, now: float | None = None
) -> Identity:
    """Sign a certificate for `node` by the authority in `folder`, beside which it is written (key with mode 0600).

    `hosts` are names and addresses under which a server is reached; localhost is always among them.
    """
    if not _NAME.fullmatch(node) or node.casefold() == AUTHORITY:
        allowed = "letters, digits, dot, dash and underscore, 64 at most, and not `authority`"
        raise IdentityError("a node cannot have this name", got=repr(node), allowed=allowed)
    if role not in ROLES:
        raise IdentityError("a node has an unknown role", got=role, allowed=", ".join(ROLES))
    authority, authority_key = read_pair(folder, AUTHORITY)
    key = generate_private_key(SECP256R1())
    at = time.time() if now is None else now
    certificate = sign_node(authority, authority_key, node, role, key.public_key(), hosts, days, at)
    record(folder, facts(certificate))  # first: what was not written down could not be taken back
    write_pair(folder, node, key, certificate)
    return _identity(folder, node, role)


def load_identity(folder: Path, node: str) -> Identity:
    """The identity that was written for `node`; IdentityError where it is missing, broken or another's.

    Its dates are not judged: the clock may be wrong, and who is asked will say so.
    """
    _finish(folder, node)
    certificate, _ = read_pair(folder, node)
    read_certificate(folder / f"{AUTHORITY}.pem")
    of = facts(certificate)
    if of.node != node or of.role not in ROLES:
        got = certificate.subject.rfc4514_string()
        raise IdentityError("a certificate is another node's", got=got, allowed=f"CN={node} with a role: {', '.join(ROLES)}")
    return _identity(folder, node, cast(Role, of.role))


def server_context(identity: Identity, *, required: bool = True) -> ssl.SSLContext:
    """TLS for a server: clients must show a certificate of the same authority, or may (`required=False`, for a page beside
    the devices' door; the door still asks for one). Dates and revocation of what they show are judged by the Listener."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    context.num_tickets = 0
    return context


def client_context(
    identity: Identity,
    *,
    clock: Callable[[], float] = time.time,
    revoked: Callable[[], Container[str]] = tuple,
    on_refused: Callable[[str, str], None] | None = None,
) -> ssl.SSLContext:
    """TLS for a device: shows its certificate, and trusts whoever shows a server's certificate of its authority.

    By which name or address the server is reached does not matter: the authority is the site's own and signs nobody else's
    servers, and a device's certificate is not fit to serve (it lacks that use), so another device cannot pass for the server.
    The server's certificate has ended where `clock`, or the beginning of our own, says so; `revoked` are serial numbers. What is
    refused is told to `on_refused`, kind and sentence.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity)
    context.check_hostname = False
    began = facts(read_certificate(identity.certificate)).begins

    def judge(peer: dict[str, Any]) -> None:
        of, now = facts_of_peer(peer), max(clock(), began)
        if now > of.ends:
            day = time.strftime("%Y-%m-%d", time.gmtime(now))
            raise _refusal(f"certificate has expired: that of {of.node} has ended, if today is {day}")
        if of.serial in revoked():
            raise _refusal(f"certificate is revoked: that of {of.node}")

    def told(error: ssl.SSLCertVerificationError) -> None:
        if on_refused is not None:
            on_refused("refused server", f"a server's certificate is not to be trusted; got {error.verify_message}.")

    class Judged(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
                judge(self.getpeercert() or {})
            except ssl.SSLCertVerificationError as error:
                told(error)
                raise

    class JudgedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
                judge(self.getpeercert() or {})
            except ssl.SSLCertVerificationError as error:
                told(error)
                raise

    context.sslobject_class, context.sslsocket_class = Judged, JudgedSocket
    return context


def _refusal(message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_message = message
    return error


def _context(protocol: int, identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= NO_CHECK_TIME
    try:
        context.load_cert_chain(identity.certificate, identity.key)
        context.load_verify_locations(identity.authority)
    except (OSError, ssl.SSLError) as error:
        raise IdentityError(f"the certificate of {identity.node} cannot be used", got=error, hint=_AGAIN) from None
    return context


# Files


def _identity(folder: Path, node: str, role: Role) -> Identity:
    return Identity(node, role, folder / f"{node}.pem", folder / f"{node}.key", folder / f"{AUTHORITY}.pem")


def write_pair(folder: Path, name: str, key: EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    """Replace `name`.key (mode 0600) and `name`.pem; a power cut leaves the old pair, the new one, or what `_finish` ends."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(folder / f".{name}.pem", certificate.public_bytes(Encoding.PEM), 0o644)
    _write(folder / f".{name}.key", pem, 0o600)
    (folder / f".{name}.key").replace(folder / f"{name}.key")
    (folder / f".{name}.pem").replace(folder / f"{name}.pem")
    _sync(folder)


def _finish(folder: Path, name: str) -> None:
    """Where the key was replaced and its certificate not yet, do it; what was written beside them and not begun is removed."""
    fresh = folder / f".{name}.pem"
    if not fresh.exists():
        return
    with contextlib.suppress(IdentityError):
        certificate, key = read_certificate(fresh), read_key(folder / f"{name}.key")
        if key.public_key() == certificate.public_key():
            fresh.replace(folder / f"{name}.pem")
            _sync(folder)
            return
    fresh.unlink(missing_ok=True)
    (folder / f".{name}.key").unlink(missing_ok=True)


def _write(path: Path, data: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)  # so that the mode is ours, whoever wrote there before
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_pair(folder: Path, name: str) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    """Certificate and key of `name`, which belong together."""
    certificate, path = read_certificate(folder / f"{name}.pem"), folder / f"{name}.key"
    key = read_key(path)
    if key.public_key() != certificate.public_key():
        raise IdentityError("a private key does not belong to its certificate", got=path, hint=_AGAIN)
    return certificate, key


def read_key(path: Path) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = error if isinstance(error, OSError) else type(error).__name__  # never what the file holds
        raise IdentityError("a private key cannot be read", got=f"{path}: {reason}", hint=_AGAIN) from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise IdentityError("a private key is of another kind", got=type(key).__name__, allowed="elliptic curve", hint=_AGAIN)
    return key


def read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IdentityError("a certificate cannot be read", got=f"{path}: {error}", hint=_AGAIN) from None
