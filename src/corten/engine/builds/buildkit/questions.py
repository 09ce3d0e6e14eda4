"""Questions about a Dockerfile that need no build: ``docker build --check`` asks for ``frontend.lint``."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from corten.build.dockerfile.failures import DockerfileError
from corten.build.lint.check import check
from corten.build.lint.options import Options
from corten.build.lint.rules import Finding
from corten.buildkit.messages.control import VertexWarning
from corten.buildkit.messages.shared import Position, Range, SourceInfo
from corten.buildkit.workshop import Built
from corten.engine.builds.buildkit.options import Frontend
from corten.engine.builds.contexts import Context
from corten.errors import NotImplementedYet

LINT = "frontend.lint"
_VERSION = b"1.0.0"
_CHECK_ARG = "BUILDKIT_DOCKERFILE_CHECK"


def answer(frontend: Frontend, definition: Context) -> Built:
    """The answer, as metadata of a result without an image."""
    if frontend.question != LINT:
        raise NotImplementedYet(f"unsupported request {frontend.question}")
    found = findings(frontend, definition)
    name = definition.name
    warnings = [
        {
            "ruleName": each.rule.name,
            "description": each.rule.description,
            "url": each.rule.url,
            "detail": each.message,
            "location": {"ranges": [_lines(each)]},
        }
        for each in found
    ]
    data = base64.b64encode(definition.dockerfile.encode()).decode()
    source = {"filename": name, "language": "Dockerfile", "data": data}
    report = {"warnings": warnings, "sources": [source]}
    text = "".join(f"WARNING: {each.rule.name} - {each.rule.url}\n{each.message}\n{name}:{each.location.start}\n\n"
                   for each in found)  # fmt: skip
    return Built(
        "",
        {
            "result.json": json.dumps(report, indent=2).encode(),
            "result.txt": text.encode(),
            "result.statuscode": b"1" if found else b"0",
            "version": _VERSION,
        },
    )


def findings(frontend: Frontend, definition: Context) -> Sequence[Finding]:
    """What the checks find; a file that cannot be parsed has no findings, its build fails."""
    options = Options.parse(text) if (text := frontend.options.build_args.get(_CHECK_ARG)) else None
    try:
        return check(definition.dockerfile, build_args=frontend.options.build_args, options=options).findings
    except DockerfileError:
        if frontend.question:
            raise
        return []


def warning(finding: Finding, vertex: str, definition: Context) -> VertexWarning:
    """A finding as a build shows it."""
    info = SourceInfo(definition.name, definition.dockerfile.encode(), "Dockerfile")
    at = finding.location
    where = Range(Position(at.start), Position(at.end))
    short = f"{finding.rule.name}: {finding.message} (line {at.start})"
    return VertexWarning(
        vertex, 1, short.encode(), [finding.rule.description.encode()], finding.rule.url, info, [where]
    )


def _lines(finding: Finding) -> dict[str, dict[str, int]]:
    return {"start": {"line": finding.location.start}, "end": {"line": finding.location.end}}
