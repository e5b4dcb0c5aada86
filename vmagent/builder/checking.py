"""The build checks of `vmagent.dockerfile.lint`, reported as a build's warnings."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vmagent.builder.cache import key_of
from vmagent.builder.progress import Progress, VertexWarning
from vmagent.builder.request import InvalidBuild
from vmagent.dockerfile import lint
from vmagent.dockerfile.tree import Dockerfile


def check(
    dockerfile: Dockerfile,
    *,
    given: Mapping[str, str],
    predefined: Mapping[str, str],
    images: Mapping[int, lint.BaseImage],
    stages: Collection[int],
    platform: str,
    progress: Progress,
) -> None:
    """Report what the checks find in `stages`. Raises InvalidBuild if the file wants findings to be errors."""
    options = lint.check_options(dockerfile, given)
    found = lint.check(
        lint.CheckInput(
            dockerfile=dockerfile,
            given=given,
            predefined=predefined,
            images=images,
            stages=stages,
            target_platform=platform,
        ),
        options,
    )
    for finding in found.findings:
        progress.warning(
            VertexWarning(
                vertex=f"sha256:{key_of('checks')}",
                short=finding.short,
                detail=(finding.rule.description,),
                url=finding.rule.url,
                lines=((finding.lines.first, finding.lines.last),),
                rule=finding.rule.name,
            )
        )
    if options.error and found.findings:
        names = ", ".join(sorted({finding.rule.name for finding in found.findings}))
        raise InvalidBuild(f"lint violation found for rules: {names}", line=found.findings[0].lines.first)
