"""What stands in a certificate, and what its dates mean (P-256, X.509 v3; browsers know no Ed25519).

A node's name is the common name, its role the organisational unit. A certificate's life has four parts:

    good     more than a third of its life is left
    due      time to renew
    late     over, for no longer than GRACE: good for asking for a new one, and for nothing else
    ended    over for good

A beginning in the future is no fault of the certificate: an authority signs none for later, so the clock that reads it is behind.

It does not know files (identity.py), nor which certificates were taken back (revocation.py).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from edgewise.core.errors import IdentityError

Role = Literal["device", "edge", "operator", "federator"]
ROLES: tuple[str, ...] = get_args(Role)
Standing = Literal["good", "due", "late", "ended"]
LOCAL = ("localhost", "127.0.0.1", "::1")
DAY = 86400.0
NODE_DAYS = 90.0
AUTHORITY_DAYS = 3650.0
GRACE = 14 * DAY


class Facts(Struct, frozen=True):
    """Who, what for, its number (hex) and its life (s since 1970)."""

    node: str
    role: str
    serial: str
    begins: float
    ends: float


def facts(certificate: x509.Certificate) -> Facts:
    names = {a.oid: str(a.value) for a in certificate.subject}
    return Facts(
        names.get(NameOID.COMMON_NAME, ""),
        names.get(NameOID.ORGANIZATIONAL_UNIT_NAME, ""),
        f"{certificate.serial_number:x}",
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


def facts_of_peer(certificate: Mapping[str, Any]) -> Facts:
    """The same of what `ssl` says of a peer (`getpeercert`)."""
    names = {key: value for part in certificate["subject"] for key, value in part}
    return Facts(
        names.get("commonName", ""),
        names.get("organizationalUnitName", ""),
        f"{int(certificate['serialNumber'], 16):x}",
        float(ssl.cert_time_to_seconds(certificate["notBefore"])),
        float(ssl.cert_time_to_seconds(certificate["notAfter"])),
    )


def standing(of: Facts, now: float, grace: float = GRACE) -> Standing:
    """Where in its life a certificate is.

    >>> of = Facts("pi-07", "device", "1f", begins=0.0, ends=90 * DAY)
    >>> [standing(of, day * DAY) for day in (-9, 59, 61, 91, 105)]
    ['good', 'good', 'due', 'late', 'ended']
    """
    if now > of.ends + grace:
        return "ended"
    if now > of.ends:
        return "late"
    return "due" if due(of, now) else "good"


def due(of: Facts, now: float) -> bool:
    """Whether less than a third of its life is left."""
    return of.ends - now < (of.ends - of.begins) / 3


def sign_authority(key: EllipticCurvePrivateKey, days: float, now: float) -> x509.Certificate:
    """A certificate that signs nodes and nothing else: some TLS stacks refuse one that a server uses as well."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgewise authority")])
    return (
        _builder(name, name, key.public_key(), days, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(digital_signature=False, signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def sign_node(
    authority: x509.Certificate,
    authority_key: EllipticCurvePrivateKey,
    node: str,
    role: Role,
    key: EllipticCurvePublicKey,
    hosts: Iterable[str],
    days: float,
    now: float,
) -> x509.Certificate:
    """A node's certificate, which ends with its authority's at the latest. Only an edge server's is fit to serve, under localhost
    and `hosts`."""
    days = min(days, (authority.not_valid_after_utc.timestamp() - now) / DAY)
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if role == "edge" else [])
    names = dict.fromkeys((*LOCAL, *hosts)) if role == "edge" else {node: None}
    return (
        _builder(subject(node, role), authority.subject, key, days, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True, signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def subject(node: str, role: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role), x509.NameAttribute(NameOID.COMMON_NAME, node)])


def hosts_in(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that a server's certificate holds beside localhost."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    every = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return tuple(name for name in every if name not in LOCAL)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePublicKey, days: float, now: float
) -> x509.CertificateBuilder:
    at = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(hours=1))  # clocks of clients other than ours may lag
        .not_valid_after(at + timedelta(days=days))
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
