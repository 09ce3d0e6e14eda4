"""TLS towards registries: certs.d, unknown authorities, insecure registries, client certificates."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from aiohttp import web

from corten.distribution.client import Distribution
from corten.distribution.model import RegistryConfig, Retries
from corten.errors import Invalid, NotFound, Unavailable
from corten.spec.reference import Reference
from rig.serving import answering, scenario, serving

# A name that is not loopback by itself, so that nothing is insecure by default; /etc/hosts is not touched.
CONFIG = RegistryConfig(certificates=(), retries=Retries(attempts=0))


def certificate(folder: Path, name: str = "corten-test.invalid") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", folder / "key.pem", "-out", folder / "ca.crt"],
        check=True, capture_output=True,
    )  # fmt: skip


def server_context(folder: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "ca.crt", folder / "key.pem")
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def pull(config: RegistryConfig, host: str) -> None:
    distribution = Distribution(config)
    try:
        await distribution.resolve(Reference.parse(f"{host}/no/such:image"))
    finally:
        await distribution.close()


def resolving_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """``corten-test.invalid`` is this host, for this test's resolver only."""

    real = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: object, **options: object) -> object:
        return real("127.0.0.1" if host == "corten-test.invalid" else host, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@scenario
async def test_authorities_of_certs_d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to_loopback(monkeypatch)
    certificate(tmp_path / "tls")
    async with serving(tmp_path / "store", context=server_context(tmp_path / "tls")) as served:
        host = f"corten-test.invalid:{served.port}"
        with pytest.raises(Unavailable, match="x509: certificate signed by unknown authority"):
            await pull(CONFIG, host)
        folder = tmp_path / "certs.d" / host
        folder.mkdir(parents=True)
        shutil.copy(tmp_path / "tls" / "ca.crt", folder)
        trusting = dataclasses.replace(CONFIG, certificates=(tmp_path / "certs.d",))
        with pytest.raises(NotFound):  # reached, and the image is not there
            await pull(trusting, host)
        with pytest.raises(NotFound):
            await pull(dataclasses.replace(CONFIG, insecure=frozenset({host})), host)


@scenario
async def test_certificate_of_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to_loopback(monkeypatch)
    certificate(tmp_path / "tls", "other.invalid")
    async with serving(tmp_path / "store", context=server_context(tmp_path / "tls")) as served:
        host = f"corten-test.invalid:{served.port}"
        folder = tmp_path / "certs.d" / host
        folder.mkdir(parents=True)
        shutil.copy(tmp_path / "tls" / "ca.crt", folder)
        with pytest.raises(Unavailable, match="failed to verify certificate: x509: Hostname mismatch"):
            await pull(dataclasses.replace(CONFIG, certificates=(tmp_path / "certs.d",)), host)


@scenario
async def test_client_certificates(tmp_path: Path) -> None:
    certificate(tmp_path / "server")
    certificate(tmp_path / "client")
    context = server_context(tmp_path / "server", tmp_path / "client" / "ca.crt")
    async with serving(tmp_path / "store", context=context) as served:
        with pytest.raises(Unavailable):
            await pull(CONFIG, served.host)
        folder = tmp_path / "certs.d" / served.host
        folder.mkdir(parents=True)
        shutil.copy(tmp_path / "client" / "ca.crt", folder / "client.cert")
        config = dataclasses.replace(CONFIG, certificates=(tmp_path / "certs.d",))
        with pytest.raises(Invalid, match=r"missing key client\.key for client certificate"):
            await pull(config, served.host)
        shutil.copy(tmp_path / "client" / "key.pem", folder / "client.key")
        with pytest.raises(NotFound):
            await pull(config, served.host)


@scenario
async def test_plain_http_where_tls_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:

    resolving_to_loopback(monkeypatch)

    async def plain(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    async with answering(plain) as host:
        name = host.replace("localhost", "corten-test.invalid")
        with pytest.raises(Unavailable, match="http: server gave HTTP response to HTTPS client"):
            await pull(CONFIG, name)
