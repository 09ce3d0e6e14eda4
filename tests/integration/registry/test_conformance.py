"""Every MUST of the OCI distribution specification that binds a registry, as a test named after it.

The name of a test is the sentence, shortened; its docstring is the section.  (MUSTs that bind clients are in
tests/integration/distribution/test_client_musts.py.)
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from corten.registry.config import Options
from corten.spec import media_types
from corten.spec.digest import Digest
from corten.spec.distribution import next_link, referrers_tag
from rig.serving import Session, make_image, scenario, serving, session, sha512

NAME = "conformance/app"
ABSENT = Digest.of(b"absent")
IMAGE = make_image()
CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED",
    "UNSUPPORTED", "TOOMANYREQUESTS",
}  # fmt: skip


@asynccontextmanager
async def registry(root: Path, **options: Any) -> AsyncIterator[Session]:
    async with serving(root, Options(**options)) as served, session(served) as asked:
        yield asked


def conformance(test: Callable[[Session], Awaitable[None]]) -> Callable[[Path], None]:
    """A test against a registry that holds one image."""

    @scenario
    async def run(tmp_path: Path) -> None:
        async with registry(tmp_path) as asked:
            await asked.push_image(NAME, IMAGE, "v1")
            await test(asked)

    run.__doc__ = test.__doc__
    return run


def artifact(subject: Digest | None = None, size: int = 2, **fields: Any) -> bytes:
    empty = {"mediaType": media_types.OCI_EMPTY, "digest": str(Digest.of(b"{}")), "size": 2}
    body: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": empty,
        "layers": [empty],
    }
    if subject is not None:
        body["subject"] = {"mediaType": media_types.OCI_MANIFEST, "digest": str(subject), "size": size}
    return json.dumps(body | fields).encode()


async def push_artifact(asked: Session, data: bytes, tag: str | None = None) -> Any:
    await asked.push_blob(NAME, b"{}")
    answer = await asked.push_manifest(NAME, data, media_types.OCI_MANIFEST, tag)
    assert answer.status == 201, answer
    return answer


# -- Determining support


@conformance
async def test_v2_is_200(asked: Session) -> None:
    """Determining Support"""
    assert (await asked.ask("GET", "/v2/")).status == 200


# -- Pull


@conformance
async def test_reference_must_be_a_digest_or_a_tag(asked: Session) -> None:
    """Pulling manifests"""
    for reference in ("-bad", "a" * 129, ".x", "sha256:abc"):
        assert (await asked.ask("GET", f"/v2/{NAME}/manifests/{reference}")).status in (400, 404)
        put = await asked.push_manifest(NAME, IMAGE.manifest, IMAGE.media_type, reference)
        assert put.status == 400


@conformance
async def test_name_must_match_the_grammar(asked: Session) -> None:
    """Pulling manifests"""
    for name in ("UPPER", "a//b", "-a", "a-", "a___b", "a..b", "a/_b", "%2e%2e/x"):
        answer = await asked.ask("GET", f"/v2/{name}/manifests/v1")
        assert answer.status in (400, 404), name
        assert (await asked.ask("POST", f"/v2/{name}/blobs/uploads/")).status in (400, 404), name


@conformance
async def test_tag_must_be_at_most_128_characters(asked: Session) -> None:
    """Pulling manifests"""
    assert (await asked.push_manifest(NAME, IMAGE.manifest, IMAGE.media_type, "t" * 128)).status == 201
    assert (await asked.ask("GET", f"/v2/{NAME}/manifests/{'t' * 128}")).status == 200
    assert (await asked.push_manifest(NAME, IMAGE.manifest, IMAGE.media_type, "t" * 129)).status == 400


@conformance
async def test_get_manifest_must_provide_the_expected_manifest_with_200(asked: Session) -> None:
    """Pulling manifests"""
    for reference in ("v1", str(IMAGE.digest)):
        answer = await asked.ask("GET", f"/v2/{NAME}/manifests/{reference}")
        assert (answer.status, answer.body) == (200, IMAGE.manifest)
        assert answer.headers["Content-Type"] == IMAGE.media_type


@conformance
async def test_manifest_response_must_contain_docker_content_digest(asked: Session) -> None:
    """Pulling manifests"""
    for method in ("GET", "HEAD"):
        answer = await asked.ask(method, f"/v2/{NAME}/manifests/v1")
        assert answer.headers["Docker-Content-Digest"] == str(IMAGE.digest)


@conformance
async def test_absent_manifest_must_be_404(asked: Session) -> None:
    """Pulling manifests"""
    for reference in ("absent", str(ABSENT)):
        for method in ("GET", "HEAD"):
            answer = await asked.ask(method, f"/v2/{NAME}/manifests/{reference}")
            assert answer.status == 404
            assert method == "HEAD" or answer.code == "MANIFEST_UNKNOWN"


@conformance
async def test_get_blob_must_provide_the_expected_blob_with_200(asked: Session) -> None:
    """Pulling blobs"""
    for digest, data in IMAGE.blobs.items():
        answer = await asked.ask("GET", f"/v2/{NAME}/blobs/{digest}")
        assert (answer.status, answer.body) == (200, data)


@conformance
async def test_blob_digest_header_must_match_the_body(asked: Session) -> None:
    """Pulling blobs"""
    for digest in IMAGE.blobs:
        answer = await asked.ask("GET", f"/v2/{NAME}/blobs/{digest}")
        assert answer.headers["Docker-Content-Digest"] == str(Digest.of(answer.body)) == str(digest)


@conformance
async def test_absent_blob_must_be_404(asked: Session) -> None:
    """Pulling blobs"""
    for method in ("GET", "HEAD"):
        assert (await asked.ask(method, f"/v2/{NAME}/blobs/{ABSENT}")).status == 404
    elsewhere = next(iter(IMAGE.blobs))
    assert (await asked.ask("GET", f"/v2/other/blobs/{elsewhere}")).status == 404


@conformance
async def test_registry_should_support_range(asked: Session) -> None:
    """Pulling blobs"""
    layer = IMAGE.parsed.layers[0]
    data = IMAGE.blobs[layer.digest]
    path = f"/v2/{NAME}/blobs/{layer.digest}"
    for header, expected in (("bytes=0-9", data[:10]), ("bytes=100-", data[100:]), ("bytes=-7", data[-7:])):
        answer = await asked.ask("GET", path, headers={"Range": header})
        assert (answer.status, answer.body) == (206, expected)
        first = len(data) - 7 if header == "bytes=-7" else int(header[6:].partition("-")[0])
        assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(data)}"
    beyond = await asked.ask("GET", path, headers={"Range": f"bytes={len(data)}-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(data)}")


@conformance
async def test_head_must_be_200_with_digest_and_length(asked: Session) -> None:
    """Checking if content exists in the registry"""
    layer = IMAGE.parsed.layers[0]
    blob = await asked.ask("HEAD", f"/v2/{NAME}/blobs/{layer.digest}")
    assert (blob.status, blob.headers["Content-Length"]) == (200, str(layer.size))
    assert blob.headers["Docker-Content-Digest"] == str(layer.digest)
    manifest = await asked.ask("HEAD", f"/v2/{NAME}/manifests/v1")
    assert (manifest.status, manifest.headers["Content-Length"]) == (200, str(len(IMAGE.manifest)))


@conformance
async def test_pull_of_an_absent_repository_must_be_404(asked: Session) -> None:
    """Pushing manifests"""
    for path in ("manifests/latest", f"blobs/{ABSENT}", "tags/list"):
        assert (await asked.ask("GET", f"/v2/no/such/{path}")).status == 404


# -- Push


@conformance
async def test_manifest_with_absent_subject_must_be_accepted(asked: Session) -> None:
    """Push"""
    await push_artifact(asked, artifact(ABSENT))


@conformance
async def test_manifest_that_names_an_absent_blob_must_result_in_manifest_blob_unknown(asked: Session) -> None:
    """Push"""
    other = make_image(seed=99)
    answer = await asked.push_manifest(NAME, other.manifest, other.media_type, "broken")
    assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert (await asked.ask("GET", f"/v2/{NAME}/manifests/broken")).status == 404


@conformance
async def test_post_upload_must_be_202_with_location(asked: Session) -> None:
    """POST then PUT"""
    answer = await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/")
    assert answer.status == 202
    assert answer.headers["Location"]


@conformance
async def test_location_must_contain_a_unique_session_id(asked: Session) -> None:
    """POST then PUT"""
    places = {(await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/")).headers["Location"] for _ in range(20)}
    assert len(places) == 20
    assert all(re.search(r"[0-9a-f]{32}$", place) for place in places)


@conformance
async def test_put_upload_must_be_201_with_a_pullable_location(asked: Session) -> None:
    """POST then PUT"""
    data = b"monolithic" * 1000
    began = await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/")
    done = await asked.ask("PUT", f"{began.headers['Location']}?digest={Digest.of(data)}", data)
    assert done.status == 201
    assert (await asked.ask("GET", done.headers["Location"])).body == data


@conformance
async def test_single_post_must_be_201_with_a_pullable_location(asked: Session) -> None:
    """Single POST"""
    data = b"single" * 1000
    done = await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={Digest.of(data)}", data)
    assert done.status == 201
    assert (await asked.ask("GET", done.headers["Location"])).body == data


@conformance
async def test_digest_must_match_the_content(asked: Session) -> None:
    """Single POST"""
    answer = await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={ABSENT}", b"something else")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    began = await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/")
    answer = await asked.ask("PUT", f"{began.headers['Location']}?digest={ABSENT}", b"something else")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert (await asked.ask("HEAD", f"/v2/{NAME}/blobs/{ABSENT}")).status == 404


@conformance
async def test_unsupported_or_malformed_digest_should_be_400(asked: Session) -> None:
    """Pushing blobs"""
    for digest in ("md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:short", "nonsense", ""):
        began = await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/")
        assert (await asked.ask("PUT", f"{began.headers['Location']}?digest={digest}", b"x")).status == 400


@conformance
async def test_each_chunk_must_be_202_with_location_and_range(asked: Session) -> None:
    """Pushing a blob in chunks"""
    place = (await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/", headers={"Content-Length": "0"})).headers["Location"]
    for first in range(0, 300, 100):
        answer = await asked.ask("PATCH", place, b"c" * 100, {"Content-Range": f"{first}-{first + 99}"})
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{first + 99}")
        place = answer.headers["Location"]
    done = await asked.ask("PUT", f"{place}?digest={Digest.of(b'c' * 300)}")
    assert done.status == 201
    assert (await asked.ask("GET", done.headers["Location"])).body == b"c" * 300


@conformance
async def test_chunk_out_of_order_must_be_416(asked: Session) -> None:
    """Pushing a blob in chunks"""
    place = (await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/")).headers["Location"]
    assert (await asked.ask("PATCH", place, b"x" * 10, {"Content-Range": "5-14"})).status == 416
    await asked.ask("PATCH", place, b"x" * 10, {"Content-Range": "0-9"})
    for wrong in ("0-9", "9-18", "11-20"):
        assert (await asked.ask("PATCH", place, b"x" * 10, {"Content-Range": wrong})).status == 416
    final = await asked.ask("PUT", f"{place}?digest={ABSENT}", b"x", {"Content-Range": "30-30"})
    assert final.status == 416
    data = b"x" * 10 + b"y"
    assert (await asked.ask("PUT", f"{place}?digest={Digest.of(data)}", b"y", {"Content-Range": "10-10"})).status == 201


@conformance
async def test_content_range_must_match_its_grammar(asked: Session) -> None:
    """Pushing a blob in chunks"""
    place = (await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/")).headers["Location"]
    for wrong in ("0", "a-b", "-5", "5-", "9-0"):
        assert (await asked.ask("PATCH", place, b"x" * 10, {"Content-Range": wrong})).status == 416


@conformance
async def test_closing_put_must_include_the_digest_of_the_whole(asked: Session) -> None:
    """Pushing a blob in chunks"""
    place = (await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/")).headers["Location"]
    await asked.ask("PATCH", place, b"first ", {"Content-Range": "0-5"})
    assert (await asked.ask("PUT", place, b"last")).status == 400
    done = await asked.ask("PUT", f"{place}?digest={Digest.of(b'first last')}", b"last", {"Content-Range": "6-9"})
    assert done.status == 201


@conformance
async def test_status_of_an_upload_must_be_204_with_location_and_range(asked: Session) -> None:
    """Pushing a blob in chunks"""
    place = (await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/")).headers["Location"]
    await asked.ask("PATCH", place, b"x" * 10, {"Content-Range": "0-9"})
    answer = await asked.ask("GET", place)
    assert (answer.status, answer.headers["Range"]) == (204, "0-9")
    assert answer.headers["Location"]


@conformance
async def test_cancelled_upload_is_204_then_404(asked: Session) -> None:
    """Cancel a blob upload"""
    place = (await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/")).headers["Location"]
    assert (await asked.ask("DELETE", place)).status == 204
    answer = await asked.ask("GET", place)
    assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")


@conformance
async def test_digest_algorithm_sha512(asked: Session) -> None:
    """Pushing a blob in chunks"""
    data = b"long digests" * 100
    began = await asked.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest-algorithm=sha512")
    done = await asked.ask("PUT", f"{began.headers['Location']}?digest={sha512(data)}", data)
    assert done.status == 201
    assert (await asked.ask("GET", f"/v2/{NAME}/blobs/{sha512(data)}")).body == data


@conformance
async def test_mount_must_be_201_with_location(asked: Session) -> None:
    """Mounting a blob from another repository"""
    digest, data = next(iter(IMAGE.blobs.items()))
    answer = await asked.ask("POST", f"/v2/other/repo/blobs/uploads/?mount={digest}&from={NAME}")
    assert answer.status == 201
    assert (await asked.ask("GET", answer.headers["Location"])).body == data


@conformance
async def test_mount_that_cannot_be_should_be_202(asked: Session) -> None:
    """Mounting a blob from another repository"""
    digest = next(iter(IMAGE.blobs))
    for query in (f"mount={ABSENT}&from={NAME}", f"mount={digest}&from=no/such", f"mount={digest}"):
        answer = await asked.ask("POST", f"/v2/other/repo/blobs/uploads/?{query}")
        assert answer.status == 202
        assert answer.headers["Location"]


@conformance
async def test_manifest_must_be_stored_in_its_exact_bytes(asked: Session) -> None:
    """Pushing Manifests"""
    strange = json.dumps(json.loads(IMAGE.manifest), indent=7).encode() + b"\n\n"
    assert (await asked.push_manifest(NAME, strange, IMAGE.media_type, "strange")).status == 201
    assert (await asked.ask("GET", f"/v2/{NAME}/manifests/strange")).body == strange


@conformance
async def test_manifest_put_must_be_201_with_a_pullable_location_and_the_digest(asked: Session) -> None:
    """Pushing Manifests"""
    for tag in ("v2", None):
        answer = await asked.push_manifest(NAME, IMAGE.manifest, IMAGE.media_type, tag)
        assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, str(IMAGE.digest))
        assert (await asked.ask("GET", answer.headers["Location"])).body == IMAGE.manifest


@conformance
async def test_manifest_under_a_digest_not_its_own_is_refused(asked: Session) -> None:
    """Pushing Manifests"""
    answer = await asked.ask(
        "PUT", f"/v2/{NAME}/manifests/{ABSENT}", IMAGE.manifest, {"Content-Type": IMAGE.media_type}
    )
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


@conformance
async def test_accepted_tags_of_a_push_by_digest_must_be_named(asked: Session) -> None:
    """Pushing Manifests"""
    tags = [f"t{number}" for number in range(12)]
    query = "&".join(f"tag={tag}" for tag in tags)
    path = f"/v2/{NAME}/manifests/{IMAGE.digest}?{query}"
    answer = await asked.ask("PUT", path, IMAGE.manifest, {"Content-Type": IMAGE.media_type})
    named = [tag.strip() for value in answer.headers.getall("OCI-Tag") for tag in value.split(",")]
    assert (answer.status, named) == (201, tags)
    assert (await asked.ask("GET", f"/v2/{NAME}/manifests/t11")).body == IMAGE.manifest


@conformance
async def test_manifests_of_four_megabytes_are_accepted_and_larger_ones_are_413(asked: Session) -> None:
    """Pushing Manifests"""
    await asked.push_blob(NAME, b"{}")
    for size, status in ((4 << 20, 201), (9 << 20, 413)):
        data = artifact(annotations={"filler": "x" * size})
        answer = await asked.push_manifest(NAME, data, media_types.OCI_MANIFEST, "large")
        assert answer.status == status


@conformance
async def test_subject_must_be_answered_with_oci_subject(asked: Session) -> None:
    """Pushing Manifests with Subject"""
    answer = await push_artifact(asked, artifact(IMAGE.digest))
    assert answer.headers["OCI-Subject"] == str(IMAGE.digest)
    assert "OCI-Subject" not in (await push_artifact(asked, artifact())).headers


# -- Content discovery


@conformance
async def test_tags_must_be_200_json_in_lexical_order(asked: Session) -> None:
    """Listing Tags"""
    for tag in ("b", "a10", "a2", "Z", "0"):
        await asked.push_manifest(NAME, IMAGE.manifest, IMAGE.media_type, tag)
    answer = await asked.ask("GET", f"/v2/{NAME}/tags/list")
    assert answer.status == 200
    assert answer.json == {"name": NAME, "tags": sorted(["v1", "b", "a10", "a2", "Z", "0"])}


@conformance
async def test_tags_must_include_n_results_with_a_next_link(asked: Session) -> None:
    """Listing Tags"""
    for tag in ("a", "b", "c", "d"):
        await asked.push_manifest(NAME, IMAGE.manifest, IMAGE.media_type, tag)
    path: str | None = f"/v2/{NAME}/tags/list?n=2"
    pages = []
    while path:
        answer = await asked.ask("GET", path)
        pages.append(answer.json["tags"])
        path = next_link(answer.headers.get("Link"))
    assert pages == [["a", "b"], ["c", "d"], ["v1"]]


@conformance
async def test_tags_with_n_zero_must_be_empty_without_a_link(asked: Session) -> None:
    """Listing Tags"""
    answer = await asked.ask("GET", f"/v2/{NAME}/tags/list?n=0")
    assert (answer.status, answer.json["tags"]) == (200, [])
    assert "Link" not in answer.headers


@conformance
async def test_last_must_be_a_tag_and_is_not_included(asked: Session) -> None:
    """Listing Tags"""
    for tag in ("a", "b", "c"):
        await asked.push_manifest(NAME, IMAGE.manifest, IMAGE.media_type, tag)
    assert (await asked.ask("GET", f"/v2/{NAME}/tags/list?last=b")).json["tags"] == ["c", "v1"]
    assert (await asked.ask("GET", f"/v2/{NAME}/tags/list?n=1&last=a")).json["tags"] == ["b"]
    assert (await asked.ask("GET", f"/v2/{NAME}/tags/list?n=x")).status == 400


@conformance
async def test_referrers_must_never_be_404_and_be_an_empty_index(asked: Session) -> None:
    """Listing Referrers"""
    for path in (f"/v2/{NAME}/referrers/{IMAGE.digest}", f"/v2/{NAME}/referrers/{ABSENT}"):
        answer = await asked.ask("GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, media_types.OCI_INDEX)
        assert answer.json == {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": []}


@conformance
async def test_referrers_of_an_invalid_digest_must_be_400(asked: Session) -> None:
    """Listing Referrers"""
    for digest in ("sha256:short", "latest", "md5:d41d8cd98f00b204e9800998ecf8427e"):
        assert (await asked.ask("GET", f"/v2/{NAME}/referrers/{digest}")).status == 400


@conformance
async def test_referrers_must_include_artifact_type_and_annotations(asked: Session) -> None:
    """Listing Referrers"""
    typed = artifact(IMAGE.digest, artifactType="application/vnd.example.sbom", annotations={"a": "1"})
    untyped = artifact(IMAGE.digest, annotations={"b": "2"})
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_INDEX,
            "manifests": [],
            "subject": {"mediaType": IMAGE.media_type, "digest": str(IMAGE.digest), "size": len(IMAGE.manifest)},
            "annotations": {"c": "3"},
        }
    ).encode()
    for data in (typed, untyped):
        await push_artifact(asked, data)
    assert (await asked.push_manifest(NAME, index, media_types.OCI_INDEX)).status == 201
    listed = (await asked.ask("GET", f"/v2/{NAME}/referrers/{IMAGE.digest}")).json["manifests"]
    found = {entry["digest"]: entry for entry in listed}
    assert set(found) == {str(Digest.of(data)) for data in (typed, untyped, index)}
    assert found[str(Digest.of(typed))]["artifactType"] == "application/vnd.example.sbom"
    assert found[str(Digest.of(typed))]["annotations"] == {"a": "1"}
    assert found[str(Digest.of(untyped))]["artifactType"] == media_types.OCI_EMPTY
    assert "artifactType" not in found[str(Digest.of(index))]
    assert found[str(Digest.of(index))]["annotations"] == {"c": "3"}


@conformance
async def test_applied_filter_must_be_told(asked: Session) -> None:
    """Listing Referrers"""
    for kind in ("application/vnd.a", "application/vnd.b"):
        await push_artifact(asked, artifact(IMAGE.digest, artifactType=kind))
    answer = await asked.ask("GET", f"/v2/{NAME}/referrers/{IMAGE.digest}?artifactType=application/vnd.a")
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert [entry["artifactType"] for entry in answer.json["manifests"]] == ["application/vnd.a"]
    assert "OCI-Filters-Applied" not in (await asked.ask("GET", f"/v2/{NAME}/referrers/{IMAGE.digest}")).headers


@conformance
async def test_referrers_that_do_not_fit_one_manifest_must_be_linked(asked: Session) -> None:
    """Listing Referrers"""
    pushed = set()
    for number in range(4):
        data = artifact(IMAGE.digest, annotations={"filler": str(number) * (1 << 20)})
        await push_artifact(asked, data)
        pushed.add(str(Digest.of(data)))
    path: str | None = f"/v2/{NAME}/referrers/{IMAGE.digest}"
    seen, pages = set(), 0
    while path:
        answer = await asked.ask("GET", path)
        assert len(answer.body) <= 4 << 20
        seen |= {entry["digest"] for entry in answer.json["manifests"]}
        path, pages = next_link(answer.headers.get("Link")), pages + 1
    assert seen == pushed
    assert pages > 1


@conformance
async def test_referrers_must_include_those_listed_by_the_tag_schema(asked: Session) -> None:
    """Enabling the Referrers API"""
    data = artifact(artifactType="application/vnd.old")  # pushed when nobody kept a list of referrers
    await push_artifact(asked, data)
    entry = {"mediaType": media_types.OCI_MANIFEST, "digest": str(Digest.of(data)), "size": len(data)}
    listed = json.dumps({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": [entry]}).encode()
    await asked.push_manifest(NAME, listed, media_types.OCI_INDEX, referrers_tag(IMAGE.digest))
    found = (await asked.ask("GET", f"/v2/{NAME}/referrers/{IMAGE.digest}")).json["manifests"]
    assert [entry["digest"] for entry in found] == [str(Digest.of(data))]


@conformance
async def test_referrers_must_include_newly_pushed_manifests(asked: Session) -> None:
    """Enabling the Referrers API"""
    await push_artifact(asked, artifact(IMAGE.digest))
    assert len((await asked.ask("GET", f"/v2/{NAME}/referrers/{IMAGE.digest}")).json["manifests"]) == 1


# -- Content management


@conformance
async def test_deleted_tag_must_be_202_then_404(asked: Session) -> None:
    """Deleting tags"""
    assert (await asked.ask("DELETE", f"/v2/{NAME}/manifests/v1")).status == 202
    assert (await asked.ask("GET", f"/v2/{NAME}/manifests/v1")).status == 404
    assert (await asked.ask("GET", f"/v2/{NAME}/manifests/{IMAGE.digest}")).status == 200


@conformance
async def test_deleted_manifest_must_be_202_then_404_with_its_tags(asked: Session) -> None:
    """Deleting Manifests"""
    assert (await asked.ask("DELETE", f"/v2/{NAME}/manifests/{IMAGE.digest}")).status == 202
    for reference in ("v1", str(IMAGE.digest)):
        assert (await asked.ask("GET", f"/v2/{NAME}/manifests/{reference}")).status == 404
    assert (await asked.ask("DELETE", f"/v2/{NAME}/manifests/{IMAGE.digest}")).status == 404


@conformance
async def test_delete_in_an_absent_repository_must_be_404(asked: Session) -> None:
    """Deleting Manifests"""
    assert (await asked.ask("DELETE", f"/v2/no/such/manifests/{IMAGE.digest}")).status == 404


@conformance
async def test_deleted_referrer_is_no_longer_listed(asked: Session) -> None:
    """Deleting Manifests"""
    data = artifact(IMAGE.digest)
    await push_artifact(asked, data)
    await asked.ask("DELETE", f"/v2/{NAME}/manifests/{Digest.of(data)}")
    assert (await asked.ask("GET", f"/v2/{NAME}/referrers/{IMAGE.digest}")).json["manifests"] == []


@conformance
async def test_deleted_blob_must_be_202_then_404(asked: Session) -> None:
    """Deleting Blobs"""
    digest = await asked.push_blob(NAME, b"not needed")
    assert (await asked.ask("DELETE", f"/v2/{NAME}/blobs/{digest}")).status == 202
    assert (await asked.ask("GET", f"/v2/{NAME}/blobs/{digest}")).status == 404


@conformance
async def test_delete_of_an_absent_blob_must_be_404(asked: Session) -> None:
    """Deleting Blobs"""
    assert (await asked.ask("DELETE", f"/v2/{NAME}/blobs/{ABSENT}")).status == 404


@conformance
async def test_needed_blob_is_not_deleted(asked: Session) -> None:
    """Deleting Blobs: nothing that is referenced may go"""
    digest = IMAGE.parsed.layers[0].digest
    assert (await asked.ask("DELETE", f"/v2/{NAME}/blobs/{digest}")).status == 405
    assert (await asked.ask("HEAD", f"/v2/{NAME}/blobs/{digest}")).status == 200


@pytest.mark.parametrize("options", [{"deletes": False}, {"read_only": True}], ids=["no deletes", "read-only"])
@scenario
async def test_disabled_deletion_must_be_400_or_405(tmp_path: Path, options: dict[str, bool]) -> None:
    """Content Management"""
    async with registry(tmp_path) as asked:
        await asked.push_image(NAME, IMAGE, "v1")
    async with registry(tmp_path, **options) as asked:
        for path in ("manifests/v1", f"manifests/{IMAGE.digest}", f"blobs/{IMAGE.parsed.layers[0].digest}"):
            assert (await asked.ask("DELETE", f"/v2/{NAME}/{path}")).status in (400, 405)
            assert (await asked.ask("HEAD", f"/v2/{NAME}/{path}")).status == 200


# -- API


@conformance
async def test_error_bodies_must_have_the_format_and_known_codes(asked: Session) -> None:
    """Error Codes"""
    layer = IMAGE.parsed.layers[0].digest
    requests = [
        ("GET", f"/v2/{NAME}/manifests/absent", {}),
        ("GET", f"/v2/{NAME}/blobs/{ABSENT}", {}),
        ("GET", f"/v2/{NAME}/blobs/nonsense", {}),
        ("GET", f"/v2/{NAME}/blobs/{layer}", {"Range": "bytes=99999999-"}),
        ("GET", "/v2/UPPER/tags/list", {}),
        ("GET", "/v2/no/such/tags/list", {}),
        ("GET", f"/v2/{NAME}/tags/list?n=-1", {}),
        ("PATCH", f"/v2/{NAME}/tags/list", {}),
        ("PUT", f"/v2/{NAME}/manifests/x", {"Content-Type": IMAGE.media_type}),
        ("PUT", f"/v2/{NAME}/manifests/-x", {"Content-Type": IMAGE.media_type}),
        ("PATCH", f"/v2/{NAME}/blobs/uploads/0123", {}),
        ("GET", "/v2/strange", {}),
    ]
    for method, path, headers in requests:
        answer = await asked.ask(method, path, headers=headers)
        assert 400 <= answer.status < 500, (method, path)
        for error in answer.json["errors"]:
            assert error["code"] in CODES, (path, error)
            assert re.fullmatch("[A-Z_]+", error["code"])
