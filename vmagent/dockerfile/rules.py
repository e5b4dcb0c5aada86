"""The build checks: names, descriptions and addresses as BuildKit publishes them, and which of them are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.excerpt import excerpt
from vmagent.dockerfile.text import go_quote
from vmagent.dockerfile.values import boolean

_ADDRESS = "https://docs.docker.com/go/dockerfile/rule/"


@dataclass(frozen=True, slots=True)
class Rule:
    """A check. An experimental one runs only where it is asked for."""

    name: str
    page: str
    description: str
    experimental: bool = False

    @property
    def url(self) -> str:
        return f"{_ADDRESS}{self.page}/" if self.page else ""


STAGE_NAME_CASING = Rule("StageNameCasing", "stage-name-casing", "Stage names should be lowercase")
FROM_AS_CASING = Rule("FromAsCasing", "from-as-casing", "The 'as' keyword should match the case of the 'from' keyword")
NO_EMPTY_CONTINUATION = Rule(
    "NoEmptyContinuation",
    "no-empty-continuation",
    "Empty continuation lines will become errors in a future release",
)
CONSISTENT_INSTRUCTION_CASING = Rule(
    "ConsistentInstructionCasing",
    "consistent-instruction-casing",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
)
DUPLICATE_STAGE_NAME = Rule("DuplicateStageName", "duplicate-stage-name", "Stage names should be unique")
RESERVED_STAGE_NAME = Rule(
    "ReservedStageName", "reserved-stage-name", "Reserved words should not be used as stage names"
)
JSON_ARGS_RECOMMENDED = Rule(
    "JSONArgsRecommended",
    "json-args-recommended",
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
)
MAINTAINER_DEPRECATED = Rule(
    "MaintainerDeprecated",
    "maintainer-deprecated",
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
)
UNDEFINED_ARG_IN_FROM = Rule("UndefinedArgInFrom", "undefined-arg-in-from", "FROM command must use declared ARGs")
WORKDIR_RELATIVE_PATH = Rule(
    "WorkdirRelativePath",
    "workdir-relative-path",
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base"
    " image changes",
)
UNDEFINED_VAR = Rule("UndefinedVar", "undefined-var", "Variables should be defined before their use")
MULTIPLE_INSTRUCTIONS_DISALLOWED = Rule(
    "MultipleInstructionsDisallowed",
    "multiple-instructions-disallowed",
    "Multiple instructions of the same type should not be used in the same stage",
)
LEGACY_KEY_VALUE_FORMAT = Rule(
    "LegacyKeyValueFormat",
    "legacy-key-value-format",
    "Legacy key/value format with whitespace separator should not be used",
)
INVALID_BASE_IMAGE_PLATFORM = Rule(
    "InvalidBaseImagePlatform", "", "Base image platform does not match expected target platform"
)
REDUNDANT_TARGET_PLATFORM = Rule(
    "RedundantTargetPlatform",
    "redundant-target-platform",
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
)
SECRETS_USED_IN_ARG_OR_ENV = Rule(
    "SecretsUsedInArgOrEnv",
    "secrets-used-in-arg-or-env",
    "Sensitive data should not be used in the ARG or ENV commands",
)
INVALID_DEFAULT_ARG_IN_FROM = Rule(
    "InvalidDefaultArgInFrom",
    "invalid-default-arg-in-from",
    "Default value for global ARG results in an empty or invalid base image name",
)
FROM_PLATFORM_FLAG_CONST_DISALLOWED = Rule(
    "FromPlatformFlagConstDisallowed",
    "from-platform-flag-const-disallowed",
    "FROM --platform flag should not use a constant value",
)
COPY_IGNORED_FILE = Rule(
    "CopyIgnoredFile", "copy-ignored-file", "Attempting to Copy file that is excluded by .dockerignore"
)
INVALID_DEFINITION_DESCRIPTION = Rule(
    "InvalidDefinitionDescription",
    "invalid-definition-description",
    "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not"
    " intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    experimental=True,
)
EXPOSE_PROTO_CASING = Rule(
    "ExposeProtoCasing", "expose-proto-casing", "Protocol in EXPOSE instruction should be lowercase"
)
EXPOSE_INVALID_FORMAT = Rule(
    "ExposeInvalidFormat",
    "expose-invalid-format",
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future"
    " release",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says about one place."""

    rule: Rule
    message: str
    lines: Lines

    @property
    def short(self) -> str:
        """The warning's line in progress output."""
        return f"{self.rule.name}: {self.message} (line {self.lines.first})"


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """`# check=skip=…;error=…;experimental=…`."""

    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    experimental: frozenset[str] = frozenset()
    experimental_all: bool = False
    error: bool = False

    def wants(self, rule: Rule) -> bool:
        if rule.experimental:
            return self.experimental_all or rule.name in self.experimental
        return not self.skip_all and rule.name not in self.skip


def parse_check_options(text: str) -> CheckOptions:
    """The value of the check directive, or of --build-arg BUILDKIT_DOCKERFILE_CHECK. Raises DockerfileError."""
    try:
        return _parse_check_options(text.strip())
    except DockerfileError as error:
        raise DockerfileError(f"failed to parse check options: {error}") from error


def _parse_check_options(text: str) -> CheckOptions:
    names = {"skip": frozenset[str](), "experimental": frozenset[str]()}
    error = False
    for part in text.split(";", 2) if text else ():
        key, sign, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not sign:
            raise DockerfileError(f"invalid check option {go_quote(part)}")
        if key in names:
            names[key] = frozenset(name.strip() for name in value.split(","))
        elif key == "error":
            flag = boolean(value)
            if flag is None:
                reason = f"strconv.ParseBool: parsing {go_quote(value)}: invalid syntax"
                raise DockerfileError(f"failed to parse check option {go_quote(part)}: {reason}")
            error = flag
        else:
            raise DockerfileError(f"invalid check option {go_quote(key)}")
    only = frozenset({"all"})
    return CheckOptions(
        names["skip"], names["skip"] == only, names["experimental"], names["experimental"] == only, error
    )


def check_error(findings: Iterable[Finding]) -> DockerfileError | None:
    """What a build with `error=true` fails with, None where no check found anything."""
    names = sorted({finding.rule.name for finding in findings})
    return DockerfileError(f"lint violation found for rules: {', '.join(names)}") if names else None


def report(findings: Iterable[Finding], source: str, filename: str, error: DockerfileError | None = None) -> str:
    """The text of `docker build --check`: by rule, each with the lines it is about; then the error, if there is one."""
    parts: list[str] = []
    for finding in sorted(findings, key=lambda finding: finding.rule.name):
        address = f" - {finding.rule.url}" if finding.rule.url else ""
        parts.append(f"\nWARNING: {finding.rule.name}{address}\n{finding.message}\n")
        parts.append(excerpt(source, filename, (finding.lines,)))
    if error is not None:
        parts.append(f"\nERROR: {error}\n")
        parts.append(excerpt(source, filename, (error.lines,) if error.lines else ()))
    return "".join(parts)
