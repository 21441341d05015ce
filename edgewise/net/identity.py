"""Who is who: one authority for a run or a site, and a certificate for each node that it signs (P-256; browsers know no Ed25519).

A node's name is the common name, its role the organisational unit. Both sides of a link show theirs (mutual TLS 1.3); a page is
served with the edge server's, which names localhost and the hosts that it is asked for. An authority signs and nothing else:
some TLS stacks refuse a self-signed certificate that is used by a server as well.

It does not know revocation: certificates are short-lived, and a new authority ends all of them.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from edgewise.core.errors import IdentityError

Role = Literal["device", "edge"]
AUTHORITY = "authority"
LOCAL = ("localhost", "127.0.0.1", "::1")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_AGAIN = "Make certificates with `make_authority` and `issue`, or ask the one who runs the server for yours."


class Identity(Struct, frozen=True):
    """What a node shows and whom it trusts: files of its certificate, its key, and the authority's certificate."""

    node: str
    role: Role
    certificate: Path
    key: Path
    authority: Path


def make_authority(folder: Path, days: float = 365) -> Path:
    """Write `authority.pem` and `authority.key` (mode 0600) into `folder`; the certificate's path."""
    folder.mkdir(parents=True, exist_ok=True)
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgewise authority")])
    usage = _usage(digital_signature=False, signs=True)
    certificate = (
        _builder(name, name, key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _write(folder, AUTHORITY, key, certificate)[0]


def issue(folder: Path, node: str, role: Role, hosts: Iterable[str] = (), days: float = 365) -> Identity:
    """Sign a certificate for `node` by the authority in `folder`, beside which it is written (key with mode 0600).

    `hosts` are names and addresses under which a server is reached; localhost is always among them.
    """
    if not _NAME.fullmatch(node) or node == AUTHORITY:
        allowed = "letters, digits, dot, dash and underscore, 64 at most, and not `authority`"
        raise IdentityError("a node cannot have this name", got=repr(node), allowed=allowed)
    if role not in ("device", "edge"):
        raise IdentityError("a node has an unknown role", got=role, allowed="device, edge")
    authority, authority_key = _read(folder, AUTHORITY)
    key = generate_private_key(SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role), x509.NameAttribute(NameOID.COMMON_NAME, node)]
    )
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if role == "edge" else [])
    names = dict.fromkeys((*LOCAL, *hosts)) if role == "edge" else {node: None}
    certificate = (
        _builder(subject, authority.subject, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True, signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return Identity(node, role, *_write(folder, node, key, certificate), folder / f"{AUTHORITY}.pem")


def load_identity(folder: Path, node: str) -> Identity:
    """The identity that was written for `node`; IdentityError where it is missing, broken, expired or another's."""
    certificate, _ = _read(folder, node)
    _read_certificate(folder / f"{AUTHORITY}.pem")
    names = {a.oid: str(a.value) for a in certificate.subject}
    role = names.get(NameOID.ORGANIZATIONAL_UNIT_NAME, "")
    if names.get(NameOID.COMMON_NAME) != node or role not in ("device", "edge"):
        got = certificate.subject.rfc4514_string()
        raise IdentityError("a certificate is another node's", got=got, allowed=f"CN={node} with role device or edge")
    if certificate.not_valid_after_utc < datetime.now(UTC):
        got = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        raise IdentityError(f"the certificate of {node} has expired", got=got, allowed="a day from today on", hint=_AGAIN)
    return Identity(node, cast(Role, role), folder / f"{node}.pem", folder / f"{node}.key", folder / f"{AUTHORITY}.pem")


def server_context(identity: Identity, *, required: bool = True) -> ssl.SSLContext:
    """TLS for a server: clients must show a certificate of the same authority, or may (`required=False`, for a page beside
    the devices' door; the door still asks for one)."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    context.num_tickets = 0
    return context


def client_context(identity: Identity) -> ssl.SSLContext:
    """TLS for a device: shows its certificate, and trusts whoever shows a server's certificate of its authority.

    By which name or address the server is reached does not matter: the authority is the site's own and signs nobody else's
    servers, and a device's certificate is not fit to serve (it lacks that use), so another device cannot pass for the server.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity)
    context.check_hostname = False
    return context


def _context(protocol: int, identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(identity.certificate, identity.key)
        context.load_verify_locations(identity.authority)
    except (OSError, ssl.SSLError) as error:
        raise IdentityError(f"the certificate of {identity.node} cannot be used", got=error, hint=_AGAIN) from None
    return context


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, days: float) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # a device's clock may lag
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, digital_signature: bool, signs: bool) -> x509.KeyUsage:
    no = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
        False,
    )
    return x509.KeyUsage(digital_signature=digital_signature, key_cert_sign=signs, crl_sign=signs, **no)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise IdentityError("a host's name cannot stand in a certificate", got=repr(host), allowed="ASCII names") from None


def _write(folder: Path, name: str, key: EllipticCurvePrivateKey, certificate: x509.Certificate) -> tuple[Path, Path]:
    public, private = folder / f"{name}.pem", folder / f"{name}.key"
    private.unlink(missing_ok=True)  # so that the mode is ours, whoever wrote there before
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    public.write_bytes(certificate.public_bytes(Encoding.PEM))
    return public, private


def _read(folder: Path, name: str) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    certificate = _read_certificate(folder / f"{name}.pem")
    path = folder / f"{name}.key"
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError("a private key cannot be read", got=f"{path}: {error}", hint=_AGAIN) from None
    if not isinstance(key, EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise IdentityError("a private key does not belong to its certificate", got=path, hint=_AGAIN)
    return certificate, key


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IdentityError("a certificate cannot be read", got=f"{path}: {error}", hint=_AGAIN) from None
