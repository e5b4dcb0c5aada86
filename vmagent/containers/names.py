"""Container names and ids. A reference is looked up as dockerd does: full id, then exact name, then prefix of an id.

Names and ids are unique. A name is reserved before its container exists, so that one of two concurrent creates fails.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_left, insort

from vmagent.containers.model import ContainerId
from vmagent.errors import BadRequest, Conflict, NotFound

NAME = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")

QUALITIES = (
    "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "candid", "clear", "clever", "copper", "coral",
    "crisp", "daring", "deft", "eager", "early", "fair", "fleet", "fond", "frank", "fresh", "gentle", "glad",
    "golden", "grand", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "lucid", "lucky",
    "mellow", "merry", "mild", "neat", "nimble", "noble", "open", "patient", "plain", "proud", "quick", "quiet",
    "ready", "rosy", "sage", "serene", "sharp", "silver", "smooth", "snug", "sober", "solid", "steady", "still",
    "sturdy", "sunny", "swift", "tidy", "trusty", "upbeat", "vivid", "warm", "wise", "witty", "young", "zesty",
)  # fmt: skip
PEOPLE = (
    "abel", "archimedes", "avicenna", "babbage", "banach", "bardeen", "bell", "bernoulli", "bohr", "boole", "borg",
    "bose", "brahe", "cantor", "carson", "cauchy", "chandra", "clarke", "curie", "darwin", "dijkstra", "dirac",
    "einstein", "erdos", "euclid", "euler", "faraday", "fermat", "fermi", "feynman", "fourier", "franklin",
    "galileo", "galois", "gauss", "germain", "goodall", "hamilton", "hawking", "heisenberg", "hertz", "hilbert",
    "hopper", "huygens", "hypatia", "jacobi", "joliot", "kepler", "khayyam", "knuth", "kovalevskaya", "lagrange",
    "lamarr", "laplace", "leibniz", "lovelace", "maxwell", "mayer", "meitner", "mendel", "mirzakhani", "newton",
    "noether", "pascal", "pasteur", "pauli", "planck", "poincare", "ptolemy", "raman", "riemann", "ritchie",
    "sagan", "shannon", "tesla", "thales", "turing", "volta", "wiles", "wozniak", "wu", "yalow",
)  # fmt: skip


class Names:
    """The registry of names and ids. Not thread-safe: it belongs to the engine's loop."""

    def __init__(self) -> None:
        self._by_name: dict[str, ContainerId] = {}
        self._ids: list[ContainerId] = []  # sorted: a prefix is found by bisection

    def reserve(self, name: str, container_id: ContainerId) -> None:
        """Give `name` (without slash) to `container_id`. Raises Conflict if another has it."""
        if (holder := self._by_name.get(name)) is not None:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )
        self._by_name[name] = container_id

    def release(self, name: str) -> None:
        self._by_name.pop(name, None)

    def add_id(self, container_id: ContainerId) -> None:
        insort(self._ids, container_id)

    def drop_id(self, container_id: ContainerId) -> None:
        at = bisect_left(self._ids, container_id)
        if at < len(self._ids) and self._ids[at] == container_id:
            del self._ids[at]

    def generate(self) -> str:
        """A free name of the form quality_person; a number is appended if no free one is found."""
        for attempt in range(12):
            name = f"{random.choice(QUALITIES)}_{random.choice(PEOPLE)}"  # a label, not a secret
            if attempt > 5:
                name += str(random.randrange(10))
            if name not in self._by_name:
                return name
        return f"{random.choice(QUALITIES)}_{random.choice(PEOPLE)}_{random.randrange(1 << 32):x}"

    def resolve(self, ref: str) -> ContainerId:
        """The id of the container `ref`. Raises NotFound; BadRequest if `ref` is a prefix of several ids."""
        if not ref:
            raise BadRequest("No container name or ID supplied")
        at = bisect_left(self._ids, ref)
        if at < len(self._ids) and self._ids[at] == ref:
            return self._ids[at]
        if (named := self._by_name.get(ref.removeprefix("/"))) is not None:
            return named
        if at < len(self._ids) and self._ids[at].startswith(ref):
            if at + 1 < len(self._ids) and self._ids[at + 1].startswith(ref):
                raise BadRequest(f"multiple IDs found with provided prefix: {ref}")
            return self._ids[at]
        raise NotFound(f"No such container: {ref}")


def checked_name(name: str) -> str:
    """`name` without its leading slash. Raises BadRequest for a name that docker refuses."""
    if not NAME.fullmatch(name):
        raise BadRequest(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return name.removeprefix("/")
