"""What our registry does beside the protocol: quotas, webhooks, metrics, pages, cache, several processes."""

from __future__ import annotations

import io
import json
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from corten.registry.app import NOTIFICATIONS
from corten.registry.config import Options, QuotaRule, Tls, UpstreamOptions, Webhook
from corten.registry.main import main
from corten.registry.passwords import verify
from corten.spec.digest import Digest
from rig.registry import Registry
from rig.serving import answering, listening_socket, make_image, scenario, serving, session

IMAGE = make_image(size=80_000)


@scenario
async def test_conditional_requests(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        await asked.push_image("a", IMAGE)
        layer = IMAGE.parsed.layers[0]
        for path in ("/v2/a/manifests/latest", f"/v2/a/blobs/{layer.digest}"):
            etag = (await asked.ask("HEAD", path)).headers["ETag"]
            for condition in (etag, f"W/{etag}", f'"x", {etag}', "*"):
                assert (await asked.ask("GET", path, headers={"If-None-Match": condition})).status == 304
            assert (await asked.ask("GET", path, headers={"If-None-Match": '"other"'})).status == 200
        partial = {"Range": "bytes=0-9", "If-Range": f'"{layer.digest}"'}
        assert (await asked.ask("GET", f"/v2/a/blobs/{layer.digest}", headers=partial)).status == 206
        partial["If-Range"] = '"changed"'
        assert (await asked.ask("GET", f"/v2/a/blobs/{layer.digest}", headers=partial)).status == 200


@scenario
async def test_read_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        await asked.push_image("a", IMAGE)
    async with serving(tmp_path, Options(read_only=True)) as served, session(served) as asked:
        assert (await asked.ask("GET", "/v2/a/manifests/latest")).status == 200
        assert (await asked.ask("POST", "/v2/a/blobs/uploads/")).status == 405
        assert (await asked.push_manifest("a", IMAGE.manifest, IMAGE.media_type, "x")).status == 405


@scenario
async def test_quota(tmp_path: Path) -> None:
    rules = (QuotaRule(("small/*",), "100kB"),)
    async with serving(tmp_path, Options(quota=rules)) as served, session(served) as asked:
        await asked.push_blob("large/a", b"x" * 200_000)
        await asked.push_blob("small/a", b"x" * 60_000)
        began = await asked.ask("POST", "/v2/small/a/blobs/uploads/")
        data = b"y" * 60_000
        answer = await asked.ask("PUT", f"{began.headers['Location']}?digest={Digest.of(data)}", data)
        assert (answer.status, answer.code) == (403, "DENIED")
        assert "quota" in answer.json["errors"][0]["message"]
        assert (await asked.ask("HEAD", f"/v2/small/a/blobs/{Digest.of(data)}")).status == 404
        big = Digest.of(b"x" * 200_000)
        assert (await asked.ask("POST", f"/v2/small/a/blobs/uploads/?mount={big}&from=large/a")).status == 403
        await asked.push_blob("small/a", b"z" * 30_000)


@scenario
async def test_webhooks_are_told_and_told_again(tmp_path: Path) -> None:
    told: list[Any] = []

    async def hook(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.json()
        assert request.headers["Authorization"] == "Bearer hook"
        if not told:
            told.append(None)
            return web.Response(status=503)
        told.extend(body["events"])
        return web.Response()

    async with answering(hook) as host:
        webhook = Webhook(f"http://{host}/", {"Authorization": "Bearer hook"}, ("push", "delete"), backoff=0.01)
        async with serving(tmp_path, Options(webhook=(webhook,))) as served, session(served) as asked:
            await asked.push_image("team/a", IMAGE, "v1")
            await asked.ask("GET", "/v2/team/a/manifests/v1")
            await asked.ask("DELETE", "/v2/team/a/manifests/v1")
            await served.app[NOTIFICATIONS].flush()
    events = [event for event in told if event]
    assert {event["action"] for event in events} == {"push", "delete"}
    pushed = next(
        event["target"] for event in events if event["target"].get("tag") == "v1" and event["action"] == "push"
    )
    assert pushed["repository"] == "team/a"
    assert pushed["digest"] == str(IMAGE.digest)
    assert pushed["url"].endswith(f"/v2/team/a/manifests/{IMAGE.digest}")


@scenario
async def test_a_dead_webhook_delays_nobody(tmp_path: Path) -> None:
    with listening_socket() as deaf:  # accepts, never answers
        hook = Webhook(f"http://127.0.0.1:{deaf.getsockname()[1]}/", attempts=1, timeout=0.2)
        async with serving(tmp_path, Options(webhook=(hook,))) as served, session(served) as asked:
            await asked.push_image("a", IMAGE)
            assert (await asked.ask("GET", "/v2/a/manifests/latest")).status == 200


@scenario
async def test_metrics_and_health(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        await asked.push_image("a", IMAGE)
        await asked.ask("GET", "/v2/a/manifests/none")
        text = (await asked.ask("GET", "/metrics")).body.decode()
        assert 'corten_registry_requests_total{kind="manifests",method="GET",status="404"} 1' in text
        assert 'corten_registry_events_total{event="push"} 4' in text
        buckets = re.findall(r'request_seconds_bucket\{kind="manifests",le="\+Inf"\} (\d+)', text)
        assert buckets == ["2"]
        assert (await asked.ask("GET", "/health")).json == {"status": "ok"}
        (tmp_path / "temporary").rename(tmp_path / "gone")
        assert (await asked.ask("GET", "/health")).status == 503


@scenario
async def test_pages(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        empty = await asked.ask("GET", "/ui/")
        assert b"Nothing has been pushed" in empty.body
        await asked.push_image("team/app", IMAGE, "v1")
        assert (await asked.ask("GET", "/")).headers["Location"] == "/ui/"
        assert b'href="/ui/team/app"' in (await asked.ask("GET", "/ui/")).body
        tags = await asked.ask("GET", "/ui/team/app")
        assert f"docker pull {served.host}/team/app:v1".encode() in tags.body
        assert b"linux/amd64" in tags.body
        for path in ("/ui/team/app:v1", f"/ui/team/app@{IMAGE.digest}"):
            image = (await asked.ask("GET", path)).body
            assert str(IMAGE.parsed.layers[1].digest).encode() in image
            assert b"RUN &lt;seed&gt;" in image  # what an image says is text, never markup
        for path in ("/ui/no/such", "/ui/team/app:none", "/ui/%3Cscript%3E", "/ui/team/app@sha256:x"):
            missing = await asked.ask("GET", path)
            assert missing.status in (400, 404), path
            assert b"<script>" not in missing.body
        assert (await asked.ask("GET", "/ui/-/style.css")).status == 200
        assert "default-src 'none'" in tags.headers["Content-Security-Policy"]


@scenario
async def test_search_as_docker_asks_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked:
        for name in ("team/web", "team/db"):
            await asked.push_image(name, IMAGE)
        found = (await asked.ask("GET", "/v1/search?q=web&n=25")).json
        assert [entry["name"] for entry in found["results"]] == ["team/web"]
        assert (await asked.ask("GET", "/v1/_ping")).headers["X-Docker-Registry-Standalone"] == "true"


@scenario
async def test_pull_through_cache(tmp_path: Path) -> None:
    layer = IMAGE.parsed.layers[0].digest
    async with serving(tmp_path / "origin") as origin:
        async with session(origin) as there:
            await there.push_image("library/app", IMAGE, "v1")
        upstream = UpstreamOptions(origin.url, fresh=0.0)
        async with serving(tmp_path / "cache", Options(upstream=upstream)) as cache, session(cache) as here:
            assert (await here.ask("GET", "/v2/library/app/manifests/v1")).body == IMAGE.manifest
            head = await here.ask("HEAD", f"/v2/library/app/blobs/{layer}")
            assert (head.status, head.headers["Content-Length"]) == (200, str(len(IMAGE.blobs[layer])))
            for digest, data in IMAGE.blobs.items():
                assert (await here.ask("GET", f"/v2/library/app/blobs/{digest}")).body == data
            assert (await here.ask("GET", "/v2/library/app/manifests/none")).status == 404
            assert (await here.ask("POST", "/v2/library/app/blobs/uploads/")).status == 405
    async with serving(tmp_path / "cache", Options(upstream=upstream)) as cache, session(cache) as here:
        assert (await here.ask("GET", "/v2/library/app/manifests/v1")).body == IMAGE.manifest  # the origin is gone
        assert (await here.ask("GET", f"/v2/library/app/blobs/{layer}")).body == IMAGE.blobs[layer]


@scenario
async def test_cache_does_not_keep_wrong_bytes(tmp_path: Path) -> None:
    layer = IMAGE.parsed.layers[0].digest

    async def liar(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"not what you asked for")

    async with answering(liar) as host:
        options = Options(upstream=UpstreamOptions(f"http://{host}"))
        async with serving(tmp_path, options) as cache, session(cache) as here:
            assert (await here.ask("GET", f"/v2/a/manifests/{IMAGE.digest}")).status == 502
            await here.ask("GET", f"/v2/a/blobs/{layer}")
    assert not list((tmp_path / "uploads").iterdir())
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


@scenario
async def test_tls(tmp_path: Path) -> None:
    certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "ca.crt", tmp_path / "key.pem")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    async with serving(tmp_path / "store", context=context) as served, session(served) as asked:
        layer = IMAGE.parsed.layers[0].digest
        await asked.push_image("a", IMAGE)
        answer = await asked.ask("GET", f"/v2/a/blobs/{layer}", ssl=trusting)
        assert answer.body == IMAGE.blobs[layer]  # sendfile's fallback, for TLS


def certificate(folder: Path) -> Tls:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", folder / "ca.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    return Tls(str(folder / "ca.crt"), str(folder / "key.pem"))


@scenario
async def test_several_processes_serve_one_store() -> None:
    """Also: what one process began, another goes on with."""
    registry = Registry("--processes", "2")
    try:
        registry.start()
        base = f"http://{registry.address}"

        data = b"0123456789" * 1000
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
            for number in range(5):
                async with http.post(f"{base}/v2/a/blobs/uploads/") as began:
                    place = began.headers["Location"]
                blob = str(number).encode() + data
                for first in range(0, len(blob), 2000):
                    async with http.patch(f"{base}{place}", data=blob[first : first + 2000]) as answer:
                        assert answer.status == 202
                async with http.put(f"{base}{place}?digest={Digest.of(blob)}") as done:
                    assert done.status == 201
                async with http.get(f"{base}/v2/a/blobs/{Digest.of(blob)}") as got:
                    assert await got.read() == blob
    finally:
        registry.remove()


def test_htpasswd_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    assert main(["htpasswd", "--password-stdin", "alice"]) == 0
    user, _, stored = capsys.readouterr().out.strip().partition(":")
    assert user == "alice"
    assert verify("secret", stored)


def test_bad_arguments_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text("tpyo = 1")
    assert main(["serve", "--config", str(tmp_path / "c.toml")]) == 1
    assert "unknown key 'tpyo'" in capsys.readouterr().err
    with listening_socket() as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--root", str(tmp_path), "--addr", f"127.0.0.1:{port}"]) == 1
    assert "address already in use" in capsys.readouterr().err


def test_json_logs() -> None:
    registry = Registry("--log", "json")
    try:
        registry.start()
        lines = [json.loads(line) for line in (registry.root / "log").read_text().splitlines()]
        assert any(line["message"] == "GET /v2/" and line["status"] == 200 for line in lines)
    finally:
        registry.remove()
