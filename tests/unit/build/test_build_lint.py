"""Docker's build checks."""

from __future__ import annotations

import pytest

from corten.build.dockerfile.ignore import Matcher
from corten.build.lint.check import check
from corten.build.lint.options import Options
from corten.build.lint.rules import RULES
from corten.errors import Invalid

# A file, and the rules it breaks with their lines.
TABLE: list[tuple[str, list[str]]] = [
    ("FROM scratch\nCOPY a /b\n", []),
    ("FROM scratch AS Build\n", ["StageNameCasing 1"]),
    ("FROM scratch as b\n", ["FromAsCasing 1"]),
    ("from scratch as b\n", []),
    ("FROM scratch\nRUN a \\\n\nb\n", ["NoEmptyContinuation 4"]),
    ("FROM scratch\ncopy a /b\n", ["ConsistentInstructionCasing 2"]),
    ("FROM scratch AS a\nFROM scratch AS a\n", ["DuplicateStageName 2"]),
    ("FROM scratch AS context\n", ["ReservedStageName 1"]),
    ("FROM scratch\nCMD a\n", ["JSONArgsRecommended 2"]),
    ('FROM scratch\nSHELL ["x"]\nCMD a\n', []),
    ("FROM scratch\nMAINTAINER me\n", ["MaintainerDeprecated 2"]),
    ("ARG VERSION=1\nFROM x:${VERSIN}\n", ["UndefinedArgInFrom 2", "InvalidDefaultArgInFrom 2"]),
    ("FROM scratch\nWORKDIR a\nWORKDIR b\n", ["WorkdirRelativePath 2"]),
    ("FROM scratch\nWORKDIR /a\nWORKDIR b\n", []),
    ("FROM scratch\nENV name=1\nCOPY $nam /b\n", ["UndefinedVar 3"]),
    ("FROM scratch\nARG a\nCOPY $a /b\n", []),
    ('FROM scratch\nCMD ["a"]\nCMD ["b"]\n', ["MultipleInstructionsDisallowed 2"]),
    ("FROM scratch\nENV a b\n", ["LegacyKeyValueFormat 2"]),
    ("FROM --platform=$TARGETPLATFORM scratch\n", ["RedundantTargetPlatform 1"]),
    ("FROM scratch\nARG API_TOKEN\nENV PUBLIC_KEY=x\n", ["SecretsUsedInArgOrEnv 2"]),
    ("ARG TAG\nFROM x:${TAG}\n", ["InvalidDefaultArgInFrom 2"]),
    ("FROM --platform=linux/arm64 scratch AS b\n", ["FromPlatformFlagConstDisallowed 1"]),
    ("FROM --platform=linux/arm64 scratch AS b_arm64\n", []),
    ("FROM scratch\nCOPY x.log /b\n", ["CopyIgnoredFile 2"]),
    ("FROM scratch\nEXPOSE 80/TCP\n", ["ExposeProtoCasing 2"]),
    ("FROM scratch\nEXPOSE 1:80\n", ["ExposeInvalidFormat 2"]),
    ("# check=skip=MaintainerDeprecated\nFROM scratch\nMAINTAINER me\n", []),
    ("FROM scratch\n# check=skip=all\nMAINTAINER me\n", []),
    ("# check=experimental=all\n# about it\nFROM scratch AS b\n", ["InvalidDefinitionDescription 3"]),
]

# The words of some of them.
MESSAGES: list[tuple[str, str]] = [
    ("FROM scratch AS Build\n", "Stage name 'Build' should be lowercase"),
    ("FROM scratch as b\n", "'as' and 'FROM' keywords' casing do not match"),
    ("FROM scratch\nRUN a \\\n\nb\n", "Empty continuation line"),
    ("FROM scratch\ncopy a /b\n", "Command 'copy' should match the case of the command majority (uppercase)"),
    ("FROM scratch AS a\nFROM scratch AS a\n", 'Duplicate stage name "a", stage names should be unique'),
    ("FROM scratch AS context\n", 'Stage name should not use the same name as reserved stage "context"'),
    ("FROM scratch\nMAINTAINER me\n", "Maintainer instruction is deprecated in favor of using label"),
    ("ARG VERSION=1\nFROM x:${VERSIN}\n", "FROM argument 'VERSIN' is not declared (did you mean VERSION?)"),
    (
        "ARG VERSION=1\nFROM x:${VERSIN}\n",
        "Default value for ARG x:${VERSIN} results in empty or invalid base image name",
    ),
    (
        "FROM scratch\nWORKDIR a\nWORKDIR b\n",
        'Relative workdir "a" can have unexpected results if the base image changes',
    ),
    ("FROM scratch\nENV name=1\nCOPY $nam /b\n", "Usage of undefined variable '$nam' (did you mean $name?)"),
    ("FROM scratch\nENV a b\n", '"ENV key=value" should be used instead of legacy "ENV key value" format'),
    (
        "FROM scratch\nARG API_TOKEN\nENV PUBLIC_KEY=x\n",
        'Do not use ARG or ENV instructions for sensitive data (ARG "API_TOKEN")',
    ),
    ("FROM --platform=linux/arm64 scratch AS b\n", 'FROM --platform flag should not use constant value "linux/arm64"'),
    ("FROM scratch\nCOPY x.log /b\n", 'Attempting to Copy file "x.log" that is excluded by .dockerignore'),
    ("FROM scratch\nEXPOSE 80/TCP\n", "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase"),
    (
        "# check=experimental=all\n# about it\nFROM scratch AS b\n",
        "Comment for FROM should follow the format: `# b <description>`",
    ),
]


@pytest.mark.parametrize(("source", "expected"), TABLE)
def test_table(source: str, expected: list[str]) -> None:
    report = check(source, matcher=Matcher(["*.log"]))
    assert [f"{finding.rule.name} {finding.location.start}" for finding in report.findings] == expected


@pytest.mark.parametrize(("source", "message"), MESSAGES)
def test_messages(source: str, message: str) -> None:
    report = check(source, matcher=Matcher(["*.log"]))
    assert message in [finding.message for finding in report.findings]


def test_options() -> None:
    assert Options.parse("skip=A, B;error=true") == Options(frozenset({"A", "B"}), frozenset(), True)
    for text in ("skip", "foo=1", "error=maybe"):
        with pytest.raises(Invalid):
            Options.parse(text)


def test_the_base_image_environment_counts() -> None:
    source = "FROM x\nCOPY $GOPATH /b\n"
    assert check(source).violated == ["UndefinedVar"]
    assert check(source, environments={"x": {"GOPATH": "/go"}}).findings == []


def test_addresses() -> None:
    assert RULES["JSONArgsRecommended"].url == "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"
    assert len(RULES) == 22
