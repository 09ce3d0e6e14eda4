"""Docker's build checks on a context that was received: findings as clients get them.  Nothing is built."""

from __future__ import annotations

from typing import Any

from corten.build.args import Platforms
from corten.build.dockerfile.failures import DockerfileError
from corten.build.dockerfile.ignore import Matcher, read
from corten.build.lint.check import Report, check
from corten.build.lint.options import Options
from corten.engine.builds.contexts import Context
from corten.engine.builds.options import BuildOptions
from corten.errors import CortenError
from corten.kernel.paths import Root

IGNORE_LIMIT = 1 << 20
# docker: what a Dockerfile's `# check=` says can be said by the client instead.
ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"


def findings(options: BuildOptions, context: Context, platforms: Platforms) -> dict[str, Any]:
    """The report: each finding with its rule, the text it is about, and whether it is to fail the build.

    Raises DockerfileError, with the lines, where the file does not parse.
    """
    asked = options.build_args.get(ARGUMENT)
    try:
        report = check(
            context.dockerfile,
            build_args=options.build_args,
            platforms=platforms,
            matcher=_matcher(context),
            options=Options.parse(asked) if asked else None,
        )
    except DockerfileError as failure:
        failure.show_in(context.dockerfile, context.name)
        raise
    return _body(report, context)


def warnings(options: BuildOptions, context: Context, platforms: Platforms) -> dict[str, Any] | None:
    """The same beside a build, whose own failure tells more: None where there is nothing to tell."""
    try:
        report = findings(options, context, platforms)
    except CortenError:
        return None
    return report if report["findings"] else None


def _matcher(context: Context) -> Matcher | None:
    with Root.at(context.directory) as root:
        for name in (f"{context.name}.dockerignore", ".dockerignore"):
            try:
                return Matcher(read(root.read_bytes(name, IGNORE_LIMIT).decode("utf-8", "replace")))
            except OSError:
                continue
            except CortenError:
                return None
    return None


def _body(report: Report, context: Context) -> dict[str, Any]:
    return {
        "file": context.name,
        "source": context.dockerfile,
        "is_error": report.options.is_error and bool(report.findings),
        "findings": [
            {
                "rule": finding.rule.name,
                "description": finding.rule.description,
                "url": finding.rule.url,
                "message": finding.message,
                "start": finding.location.start,
                "end": finding.location.end,
            }
            for finding in report.findings
        ],
    }
