"""Every MUST of the OCI distribution specification that binds a client, as a test named after it.

The registry is a strict one of the test's own: it refuses whatever the specification forbids clients to do, and changes
whatever it is free to change.  (MUSTs that bind a registry are in tests/integration/registry/test_conformance.py.)
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from corten.distribution.client import Distribution
from corten.distribution.model import RegistryConfig, Retries
from corten.errors import Invalid
from corten.spec import media_types
from corten.spec.digest import Digest
from corten.spec.distribution import referrers_tag
from corten.spec.reference import Reference
from corten.store.content import Content
from rig.serving import Image, answering, make_image, scenario

QUICK = Retries(attempts=4, first_pause=0.01, longest_pause=0.05, longest_wait=2.0)
IMAGE = make_image(size=300_000)
LARGE = make_image(size=1_500_000, layers=1)


class Strict:
    """A registry in memory."""

    def __init__(self, **ways: Any) -> None:
        self.ways = ways
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[bytes, str]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.chunks: list[int] = []
        self.asked: list[str] = []
        self.turns: dict[str, int] = {}

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        self.asked.append(f"{request.method} {path}")
        if path == "/v2/":
            return web.Response(body=b"{}")
        if path.startswith("/elsewhere/"):
            assert "Authorization" not in request.headers
            return web.Response(body=self.blobs[path.removeprefix("/elsewhere/")])
        found = re.fullmatch(r"/v2/(team/app)/(blobs/uploads/|session/|blobs/|manifests/|tags/list)(.*)", path)
        assert found is not None
        match found[2]:
            case "blobs/uploads/":
                assert request.method == "POST"
                session = f"s{len(self.uploads)}"
                self.uploads[session] = bytearray()
                least = {"OCI-Chunk-Min-Length": str(self.ways.get("chunk_told", self.ways.get("chunk_least", 0)))}
                return self.place(request, session, 202, least)
            case "session/":
                return await self.session(request, found[3])
            case "blobs/":
                return self.blob(request, found[3])
            case "tags/list":
                return self.tags(request)
            case _:
                return await self.manifest(request, found[3])

    def place(
        self, request: web.BaseRequest, session: str, status: int, more: dict[str, str] | None = None
    ) -> web.Response:
        """Each answer names another location, with state in its query: only the latest is good."""
        turn = self.turns[session] = self.turns.get(session, 0) + 1
        location = f"/v2/team/app/session/{session}?_state={turn}%2B&x=1"
        if self.ways.get("absolute"):
            location = f"http://{request.host}{location}"
        told = {"Location": location, "Range": f"0-{max(0, len(self.uploads[session]) - 1)}"}
        return web.Response(status=status, headers=told | (more or {}))

    async def session(self, request: web.BaseRequest, session: str) -> web.Response:
        query = parse_qs(request.query_string)
        if self.ways.pop("forget", False):
            del self.uploads[session]
        if session not in self.uploads:
            return web.Response(status=404, body=b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}')
        assert query["_state"] == [f"{self.turns[session]}+"] and query["x"] == ["1"], "not the latest location"
        if request.method == "GET":
            return self.place(request, session, 204)
        data = await request.content.read()
        upload = self.uploads[session]
        assert request.headers["Content-Type"] == "application/octet-stream"
        assert int(request.headers["Content-Length"]) == len(data)
        if span := request.headers.get("Content-Range"):
            first, last = re.fullmatch(r"([0-9]+)-([0-9]+)", span).groups()  # type: ignore[union-attr]
            assert (int(first), int(last)) == (len(upload), len(upload) + len(data) - 1)
        upload += data
        if request.method == "PATCH":
            self.chunks.append(len(data))
            return self.place(request, session, 202)
        assert request.method == "PUT"
        assert query["digest"] == [str(Digest.of(bytes(upload)))]
        self.blobs[query["digest"][0]] = bytes(upload)
        return web.Response(status=201, headers={"Location": f"/v2/team/app/blobs/{query['digest'][0]}"})

    def blob(self, request: web.BaseRequest, digest: str) -> web.StreamResponse:
        if digest not in self.blobs:
            return web.Response(status=404)
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": str(len(self.blobs[digest]))})
        if self.ways.get("redirect"):
            raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{request.url.port}/elsewhere/{digest}")
        data = self.blobs[digest]
        return web.Response(body=bytes(len(data)) if self.ways.get("forge") else data)

    def tags(self, request: web.BaseRequest) -> web.Response:
        """One at a time, under links that no client could guess."""
        names = sorted(name for name in self.manifests if not name.startswith("sha256"))
        at = int(parse_qs(request.query_string).get("page", ["0"])[0])
        headers = {"Link": f'</v2/team/app/tags/list?page={at + 1}>; rel="next"'} if at + 1 < len(names) else {}
        return web.json_response({"name": "team/app", "tags": names[at : at + 1]}, headers=headers)

    async def manifest(self, request: web.BaseRequest, name: str) -> web.Response:
        if request.method == "PUT":
            data = await request.read()
            body = json.loads(data)
            assert request.headers["Content-Type"] == body["mediaType"]
            if ":" in name:
                assert name == str(Digest.of(data))
            for part in [body.get("config"), *body.get("layers", [])]:
                assert part is None or part["digest"] in self.blobs, "a manifest before its blobs"
            for key in (name, str(Digest.of(data))):
                self.manifests[key] = (data, body["mediaType"])
            subject = body.get("subject", {}).get("digest") if self.ways.get("referrers") else None
            headers = {"Docker-Content-Digest": str(Digest.of(data))} | ({"OCI-Subject": subject} if subject else {})
            return web.Response(status=201, headers=headers | {"Location": request.path})
        if name not in self.manifests:
            return web.Response(status=404, body=b'{"errors": [{"code": "SOMETHING_NEW", "message": "no such"}]}')
        data, kind = self.manifests[name]
        accepted = ",".join(request.headers.getall("Accept", []))
        assert kind in accepted, f"{kind} is not among {accepted!r}"
        return web.Response(body=data, headers={"Content-Type": kind, "Docker-Content-Digest": str(Digest.of(data))})


@asynccontextmanager
async def meeting(strict: Strict, chunk_size: int = 0) -> AsyncIterator[tuple[Distribution, Reference]]:
    async with answering(strict) as host:
        distribution = Distribution(RegistryConfig(certificates=(), retries=QUICK, chunk_size=chunk_size))
        try:
            yield distribution, Reference.parse(f"{host}/team/app:v1")
        finally:
            await distribution.close()


def content_at(root: Path, image: Image | None = None) -> Content:
    content = Content(root)
    content.make()
    for data in (image.blobs if image else {}).values():
        content.write(data)
    return content


async def push(distribution: Distribution, reference: Reference, root: Path, image: Image, **options: Any) -> None:
    content = content_at(root, image)
    await distribution.push(reference, image.manifest, image.media_type, image.descriptors, content, **options)


def pointing_at(image: Image, seed: int, **fields: Any) -> Image:
    subject = {"mediaType": image.media_type, "digest": str(image.digest), "size": len(image.manifest)}
    return make_image(seed=seed, layers=1, size=100, subject=subject, **fields)


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
@pytest.mark.parametrize("image", [IMAGE, LARGE], ids=["monolithic", "streamed"])
@scenario
async def test_upload_must_go_to_the_latest_location_with_its_query(
    tmp_path: Path, image: Image, absolute: bool
) -> None:
    """Pushing a blob monolithically: Content-Length, Content-Type, digest, and the location as it was told."""
    strict = Strict(absolute=absolute)
    async with meeting(strict) as (distribution, reference):
        await push(distribution, reference, tmp_path, image)
    assert strict.manifests["v1"][0] == image.manifest
    assert set(strict.blobs) == {str(digest) for digest in image.blobs}


@scenario
async def test_chunks_must_be_uploaded_in_order_from_the_last_end_plus_one(tmp_path: Path) -> None:
    """Pushing a blob in chunks."""
    strict = Strict()
    async with meeting(strict, 400_000) as (distribution, reference):
        await push(distribution, reference, tmp_path, LARGE)
    assert len(strict.chunks) > 3 and max(strict.chunks) <= 400_000


@scenario
async def test_chunks_must_have_the_least_length_that_the_registry_tells(tmp_path: Path) -> None:
    """Pushing a blob in chunks: OCI-Chunk-Min-Length binds all but the last."""
    strict = Strict(chunk_least=700_000)
    async with meeting(strict, 100_000) as (distribution, reference):
        await push(distribution, reference, tmp_path, LARGE)
    assert len(strict.chunks) > 1 and all(size >= 700_000 for size in strict.chunks[:-1])


@scenario
async def test_a_least_length_that_is_no_number_is_none(tmp_path: Path) -> None:
    """Nor is one that no number has, in digits that are not 0 to 9, or in thousands of them."""
    for told in ("x", "\u00b2", "9" * 5000):
        strict = Strict(chunk_told=told)
        async with meeting(strict, 400_000) as (distribution, reference):
            await push(distribution, reference, tmp_path, LARGE)
        assert max(strict.chunks) <= 400_000


@scenario
async def test_unknown_upload_must_be_restarted(tmp_path: Path) -> None:
    """Errors of an upload: 404 for a session means from the start."""
    strict = Strict(forget=True)
    async with meeting(strict, 400_000) as (distribution, reference):
        await push(distribution, reference, tmp_path, LARGE)
    assert strict.manifests["v1"][0] == LARGE.manifest


@scenario
async def test_mount_that_is_answered_with_202_goes_on_as_an_upload(tmp_path: Path) -> None:
    """Mounting a blob from another repository."""
    strict = Strict()
    async with meeting(strict) as (distribution, reference):
        await push(distribution, reference, tmp_path, IMAGE, mount_from=["team/other"])
    begun = [line for line in strict.asked if line.startswith("POST")]
    assert len(begun) == len(IMAGE.blobs)  # the upload that the 202 opened is used, not another


@scenario
async def test_manifest_must_come_after_its_blobs_with_its_own_media_type(tmp_path: Path) -> None:
    """Pushing manifests; also for Docker's types."""
    strict = Strict()
    async with meeting(strict) as (distribution, reference):
        await push(distribution, reference, tmp_path, make_image(media_type=media_types.DOCKER_MANIFEST))
    assert strict.asked[-1].startswith("PUT /v2/team/app/manifests/")


@scenario
async def test_fetched_content_must_be_verified_against_the_digest_it_was_asked_by(tmp_path: Path) -> None:
    """Content digests."""
    strict = Strict(forge=True)
    async with meeting(strict) as (distribution, reference):
        await push(distribution, reference, tmp_path / "a", IMAGE)
        content = content_at(tmp_path / "b")
        with pytest.raises(Invalid):
            await distribution.pull(reference, content)
        assert not any(content.has(layer.digest) for layer in IMAGE.parsed.layers)


@scenario
async def test_redirected_blobs_are_followed_without_credentials(tmp_path: Path) -> None:
    """Pulling blobs: a registry may redirect."""
    strict = Strict(redirect=True)
    async with meeting(strict) as (distribution, reference):
        await push(distribution, reference, tmp_path / "a", IMAGE)
        content = content_at(tmp_path / "b")
        await distribution.pull(reference, content)
        assert all(content.read(digest) == data for digest, data in IMAGE.blobs.items())


@scenario
async def test_without_oci_subject_the_list_of_referrers_must_be_kept_under_its_tag(tmp_path: Path) -> None:
    """Pushing manifests with subject: pull the list, start an empty one, append, push; annotations are copied."""
    strict = Strict()
    signature = pointing_at(IMAGE, 20, artifactType="application/vnd.test.signature", annotations={"by": "alice"})
    plain = pointing_at(IMAGE, 21)
    async with meeting(strict) as (distribution, reference):
        await push(distribution, reference, tmp_path / "a", IMAGE)
        for image in (signature, plain, signature):  # the second time changes nothing
            await push(distribution, reference.with_tag("signed"), tmp_path / "b", image)
    data, kind = strict.manifests[referrers_tag(IMAGE.digest)]
    assert kind == media_types.OCI_INDEX
    first, second = json.loads(data)["manifests"]
    assert (first["digest"], first["size"]) == (str(signature.digest), len(signature.manifest))
    assert first["artifactType"] == "application/vnd.test.signature" and first["annotations"] == {"by": "alice"}
    assert second["digest"] == str(plain.digest)
    assert second["artifactType"] == plain.parsed.config.media_type  # where there is no artifactType


@scenario
async def test_with_oci_subject_no_list_of_referrers_is_kept(tmp_path: Path) -> None:
    """Pushing manifests with subject, to a registry that keeps referrers itself."""
    strict = Strict(referrers=True)
    async with meeting(strict) as (distribution, reference):
        await push(distribution, reference, tmp_path / "a", IMAGE)
        await push(distribution, reference.with_tag("signed"), tmp_path / "b", pointing_at(IMAGE, 22))
    assert referrers_tag(IMAGE.digest) not in strict.manifests


@scenario
async def test_links_of_tags_are_followed_to_the_end(tmp_path: Path) -> None:
    """Listing tags: the Link header tells of more, and how to get it."""
    strict = Strict()
    async with meeting(strict) as (distribution, reference):
        for tag in ("a", "b", "c"):
            await push(distribution, reference.with_tag(tag), tmp_path, IMAGE)
        assert await distribution.tags(reference) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "name", ["host:5000/UPPER/x:v1", "host:5000/a//b", "host:5000/a/.b", f"host:5000/a:{'t' * 129}", "host:5000/a:-t"]
)
def test_names_and_tags_must_match_their_grammar(name: str) -> None:
    """Pulling manifests: what no registry may accept is not asked for."""
    with pytest.raises(Invalid):
        Reference.parse(name)
