"""What `--platform` may be, and images of another system."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.images.kit import BadRegistry, Driver, Entry, MadeImage, tar_of
from vmagent.errors import BadRequest
from vmagent.images.platforms import Platform

NewStore = Callable[..., Driver]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("foobar", '"foobar": unknown operating system or architecture: invalid argument'),
        ("linux/", '"" is an invalid component of "linux/": platform specifier component must match'),
        ("a b", '"a b" is an invalid component of "a b"'),
        ("linux/arm/v7/x", '"linux/arm/v7/x": cannot parse platform specifier: invalid argument'),
        ("windows", "operating system is not supported"),
        ("windows/amd64", "operating system is not supported"),
    ],
)
def test_a_platform_that_cannot_be_is_refused_before_the_registry_is_asked(
    new_store: NewStore, text: str, words: str
) -> None:
    driver = new_store()
    with pytest.raises(BadRequest) as failed:  # port 1 would say "connection refused"
        driver.pull("127.0.0.1:1/x:1", platform=text)
    assert str(failed.value).startswith(words)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("arm64", "linux/arm64"), ("AArch64", "linux/arm64"), ("linux/x86_64", "linux/amd64"), ("linux/foobar", None)],
)
def test_platforms_have_gos_names(text: str, meant: str | None) -> None:
    assert str(Platform.parse(text)) == (meant or text)


def test_an_image_of_another_system_is_refused(bad: BadRegistry, new_store: NewStore) -> None:
    image = MadeImage(tar_of(Entry("x", b"x")), platform=("windows", "amd64"))
    bad.add(image, "1")
    driver = new_store()
    before = driver.left()
    with pytest.raises(BadRequest) as failed:
        driver.pull(f"{bad.address}/x:1")
    assert str(failed.value) == 'cannot download image with operating system "windows" when requesting "linux"'
    assert driver.left() == before
