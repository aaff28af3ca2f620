# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# A certification authority of the tests' own. Leaves are made on demand, good and bad.

import base64
import datetime
import hashlib
import ipaddress
import os
import shutil

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .configuration import GROUP

DAY = datetime.timedelta(days=1)
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH


class Certificate:
    """A certificate with its key, and the files they are in."""

    def __init__(self, directory, stem, certificate, key, chain=()):
        self.certificate = certificate
        self.key = key
        self.pin = _pin(key.public_key())
        self.key_file = directory / f"{stem}.key"
        self.chain_file = directory / f"{stem}.pem"
        self.key_file.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        self.chain_file.write_bytes(b"".join(_pem(one) for one in (certificate, *chain)))
        for file in (self.key_file, self.chain_file):
            file.chmod(0o644)


    def for_server(self):
        """The entry in tls.certificates: the key is readable for who serves, and for nobody else."""
        self.key_file.chmod(0o640)
        if os.geteuid() == 0:
            shutil.chown(self.key_file, group=GROUP)
        return {"chain": str(self.chain_file), "key": str(self.key_file)}


class Authority:
    """A root certificate that signs leaves."""

    def __init__(self, directory, name="dotproxy test root"):
        self._directory = directory
        self._count = 0
        self._stem = name.replace(" ", "-")
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = _name(name)
        self.certificate = _sign(self.subject, self.key, self.subject, self.key, [
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (_usage(key_cert_sign=True, crl_sign=True), True)])
        self.file = directory / f"{self._stem}.pem"
        self.file.write_bytes(_pem(self.certificate))
        self.file.chmod(0o644)
        self.pin = _pin(self.key.public_key())

    def leaf(self, names=("dot.example",), ips=(), *, common_name="a server", purpose=SERVER_AUTH,
             valid=(-DAY, 30 * DAY), key=None, chain=(), self_signed=False, extra=(),
             weakly_signed=False):
        """A leaf; every argument is one way to make it bad."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        extensions = [(x509.BasicConstraints(ca=False, path_length=None), True),
                      (_usage(digital_signature=True, key_encipherment=isinstance(
                          key, rsa.RSAPrivateKey)), True)]
        if names or ips:
            extensions.append((x509.SubjectAlternativeName(
                [x509.DNSName(one) for one in names] +
                [x509.IPAddress(ipaddress.ip_address(one)) for one in ips]), False))
        if purpose:
            extensions.append((x509.ExtendedKeyUsage([purpose]), False))
        subject = _name(common_name)
        issuer, issuer_key = (subject, key) if self_signed else (self.subject, self.key)
        certificate = _sign(subject, key, issuer, issuer_key, extensions + list(extra), valid)
        if weakly_signed:
            certificate = _sign_with_sha1(certificate, issuer_key)
        self._count += 1
        return Certificate(self._directory, f"{self._stem}-{self._count}", certificate, key, chain)

    def intermediate(self, name, constraints=None):
        """An authority below this one."""
        below = Authority(self._directory, name)
        extensions = [(x509.BasicConstraints(ca=True, path_length=0), True),
                      (_usage(key_cert_sign=True, crl_sign=True), True)]
        if constraints:
            extensions.append((constraints, True))
        below.certificate = _sign(below.subject, below.key, self.subject, self.key, extensions)
        return below


def weak_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pin(public_key):
    info = public_key.public_bytes(serialization.Encoding.DER,
                                   serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(info).digest()).decode()


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(**on):
    fields = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
              "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{field: on.get(field, False) for field in fields})


def _sign(subject, key, issuer, issuer_key, extensions, valid=(-DAY, 365 * DAY)):
    now = datetime.datetime.utcnow()
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(now + valid[0]).not_valid_after(now + valid[1])
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                   issuer_key.public_key()), False))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _der(tag, content):
    """The content, of less than 128 octets or more than 255, under its tag."""
    size = len(content)
    head = bytes((size,)) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes((tag,)) + head + content


def _sign_with_sha1(certificate, issuer_key):
    """The same once more with a signature that newer libraries do not offer to make."""
    with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")  # the AlgorithmIdentifiers of ECDSA
    with_sha1 = bytes.fromhex("300906072a8648ce3d0401")
    signed = certificate.tbs_certificate_bytes
    assert signed[:2] == b"\x30\x82" and signed.count(with_sha256) == 1
    signed = _der(0x30, signed[4:].replace(with_sha256, with_sha1))
    signature = issuer_key.sign(signed, ec.ECDSA(hashes.SHA1()))
    return x509.load_der_x509_certificate(
        _der(0x30, signed + with_sha1 + _der(0x03, b"\0" + signature)))
