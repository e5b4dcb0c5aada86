"""What a user can write wrongly: each fault is named with file, line and column, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from desktop.compose.errors import ComposeError
from desktop.compose.project import Options, load

WEB = "services:\n  web:\n    image: i\n"
# The name of the fault: the files, the place of the fault (file:line:column), the sentence.
FAULTS: Mapping[str, tuple[Mapping[str, str], str, str]] = {
    "malformed YAML": (
        {"compose.yaml": "services:\n  web: [a\n"},
        "compose.yaml:3:1",
        "this is not valid YAML: did not find expected ',' or ']' (while parsing a flow sequence)",
    ),
    "a tab": (
        {"compose.yaml": "services:\n\tweb: {}\n"},
        "compose.yaml:2:1",
        "this is not valid YAML: found character that cannot start any token (while scanning for the next token)",
    ),
    "unknown alias": (
        {"compose.yaml": "services:\n  web: *nope\n"},
        "compose.yaml:2:8",
        "this is not valid YAML: found undefined alias",
    ),
    "a key twice": (
        {"compose.yaml": WEB + "    image: j\n"},
        "compose.yaml:4:5",
        "the key 'image' is there already, in line 3",
    ),
    "unknown key": (
        {"compose.yaml": WEB + "    enviroment: {A: 1}\n"},
        "compose.yaml:4:5",
        "services.web has an unknown key 'enviroment'; did you mean 'environment'?",
    ),
    "unknown key at the top": (
        {"compose.yaml": WEB + "volums: {}\n"},
        "compose.yaml:4:1",
        "there is an unknown key 'volums'; did you mean 'volumes'?",
    ),
    "unknown key in a long syntax": (
        {"compose.yaml": WEB + "    ports:\n      - target: 80\n        publish: 8080\n"},
        "compose.yaml:6:9",
        "services.web.ports[0] has an unknown key 'publish'; did you mean 'published'?",
    ),
    "wrong type": (
        {"compose.yaml": WEB + "    ports: 80\n"},
        "compose.yaml:4:5",
        "services.web.ports must be a list; it is 80, a number",
    ),
    "wrong type of an item": (
        {"compose.yaml": WEB + "    cap_add: [A, {x: 1}]\n"},
        "compose.yaml:4:18",
        "services.web.cap_add[1] must be a string; it is a mapping",
    ),
    "no boolean": (
        {"compose.yaml": WEB + "    privileged: perhaps\n"},
        "compose.yaml:4:5",
        "services.web.privileged must be true or false; it is the string 'perhaps'",
    ),
    "no number": (
        {"compose.yaml": WEB + "    pids_limit: many\n"},
        "compose.yaml:4:5",
        "services.web.pids_limit must be a whole number; it is the string 'many'",
    ),
    "no duration": (
        {"compose.yaml": WEB + "    stop_grace_period: 10\n"},
        "compose.yaml:4:5",
        "services.web.stop_grace_period: '10' is no duration; one is written like 1m30s, 500ms or 2h",
    ),
    "no size": (
        {"compose.yaml": WEB + "    mem_limit: big\n"},
        "compose.yaml:4:5",
        "services.web.mem_limit: 'big' is no size; one is written like 512, 64m or 1.5gb",
    ),
    "no word of a choice": (
        {"compose.yaml": WEB + "    depends_on: {db: {condition: service_helthy}}\n  db: {image: i}\n"},
        "compose.yaml:4:23",
        "services.web.depends_on.db.condition must be one of service_started, service_healthy, "
        "service_completed_successfully; it is the string 'service_helthy'; did you mean service_healthy?",
    ),
    "no port": (
        {"compose.yaml": WEB + "    ports:\n      - '80:http'\n"},
        "compose.yaml:5:9",
        "services.web.ports[0]: invalid port in '80:http': http",
    ),
    "no port that is exposed": (
        {"compose.yaml": WEB + "    expose: [80, abc]\n"},
        "compose.yaml:4:18",
        "services.web.expose[1]: invalid port in 'abc': abc",
    ),
    "a port of the host that is exposed": (
        {"compose.yaml": WEB + "    expose: ['80:80']\n"},
        "compose.yaml:4:14",
        "services.web.expose[0]: '80:80' has a port of the host, which only `ports` takes",
    ),
    "ranges of different length": (
        {"compose.yaml": WEB + "    ports: ['80-81:1-3']\n"},
        "compose.yaml:4:13",
        "services.web.ports[0]: the ranges of '80-81:1-3' differ in length",
    ),
    "no volume": (
        {"compose.yaml": WEB + "    volumes: ['v1:/b:ro:c']\n"},
        "compose.yaml:4:15",
        "services.web.volumes[0]: invalid volume 'v1:/b:ro:c': too many colons",
    ),
    "missing variable": (
        {"compose.yaml": WEB + "    user: ${WHO:?set it}\n"},
        "compose.yaml:4:11",
        "required variable WHO is missing a value: set it",
    ),
    "bad variable": (
        {"compose.yaml": WEB + "    user: a ${WHO\n"},
        "compose.yaml:4:11",
        "'a ${WHO' has a `${` without its `}`",
    ),
    "a lone dollar": (
        {"compose.yaml": WEB + "    command: cost 5$\n"},
        "compose.yaml:4:14",
        "'cost 5$' has a `$` without a variable's name; a `$` itself is written `$$`",
    ),
    "cycle in depends_on": (
        {
            "compose.yaml": WEB
            + "    depends_on: [b]\n  b: {image: i, depends_on: [c]}\n  c: {image: i, depends_on: [web]}\n"
        },
        "compose.yaml:6:30",
        "dependency cycle detected: web -> b -> c -> web",
    ),
    "cycle in extends": (
        {"compose.yaml": "services:\n  a: {image: i, extends: b}\n  b: {extends: {service: a}}\n"},
        "compose.yaml:2:17",
        "circular reference:\n  a in {folder}/compose.yaml\n  extends b in {folder}/compose.yaml\n"
        "  extends a in {folder}/compose.yaml",
    ),
    "extends nothing": (
        {"compose.yaml": "services:\n  a: {image: i, extends: nope}\n"},
        "compose.yaml:2:17",
        "cannot extend service 'a': {folder}/compose.yaml has no service 'nope'",
    ),
    "missing file of extends": (
        {"compose.yaml": "services:\n  a: {extends: {file: nope.yaml, service: a}}\n"},
        "compose.yaml:2:17",
        "compose file {folder}/nope.yaml not found",
    ),
    "fault in a file of extends": (
        {
            "compose.yaml": "services:\n  a: {extends: {file: sub/b.yaml, service: a}}\n",
            "sub/b.yaml": "services:\n  a:\n    imagee: x\n",
        },
        "sub/b.yaml:3:5",
        "services.a has an unknown key 'imagee'; did you mean 'image'?",
    ),
    "missing include": (
        {"compose.yaml": "include:\n  - nope.yaml\n" + WEB},
        "compose.yaml:2:5",
        "compose file {folder}/nope.yaml not found",
    ),
    "missing env file of include": (
        {"compose.yaml": "include:\n  - {path: b.yaml, env_file: nope.env}\n", "b.yaml": WEB},
        "compose.yaml:2:5",
        "env file {folder}/nope.env not found",
    ),
    "cycle in include": (
        {"compose.yaml": "include: [b.yaml]\n", "b.yaml": "include: [compose.yaml]\n"},
        "b.yaml:1:11",
        "include cycle detected:\n{folder}/compose.yaml\n include {folder}/b.yaml\n include {folder}/compose.yaml",
    ),
    "conflict with an include": (
        {"compose.yaml": "include: [b.yaml]\n" + WEB, "b.yaml": "services: {web: {image: other}}\n"},
        "compose.yaml:3:3",
        "services.web conflicts with the one of an included file",
    ),
    "missing env file": (
        {"compose.yaml": WEB + "    env_file:\n      - nope.env\n"},
        "compose.yaml:5:9",
        "env file {folder}/nope.env not found",
    ),
    "fault in an env file": (
        {"compose.yaml": WEB + "    env_file: a.env\n", "a.env": "A=1\n\nB='x\n"},
        "a.env:3:3",
        "the quote is not closed",
    ),
    "undefined network": (
        {"compose.yaml": WEB + "    networks: [frnt]\nnetworks: {front: }\n"},
        "compose.yaml:4:16",
        "service 'web' refers to undefined network 'frnt'; did you mean 'front'?",
    ),
    "undefined volume": (
        {"compose.yaml": WEB + "    volumes: ['data:/data']\n"},
        "compose.yaml:4:15",
        "service 'web' refers to undefined volume 'data'",
    ),
    "undefined secret": (
        {"compose.yaml": WEB + "    secrets: [s]\n"},
        "compose.yaml:4:15",
        "service 'web' refers to undefined secret 's'",
    ),
    "undefined config": (
        {"compose.yaml": WEB + "    configs: [c]\n"},
        "compose.yaml:4:15",
        "service 'web' refers to undefined config 'c'",
    ),
    "undefined dependency": (
        {"compose.yaml": WEB + "    depends_on: [dbb]\n  db: {image: i}\n"},
        "compose.yaml:4:18",
        "service 'web' depends on undefined service 'dbb'; did you mean 'db'?",
    ),
    "inactive dependency": (
        {"compose.yaml": WEB + "    depends_on: [db]\n  db: {image: i, profiles: [p, q]}\n"},
        "compose.yaml:4:18",
        "service 'web' depends on 'db', whose profile is not active (p, q)",
    ),
    "neither image nor build": (
        {"compose.yaml": "services:\n  web:\n    command: x\n"},
        "compose.yaml:2:3",
        "service 'web' has neither an image nor a build context",
    ),
    "name and several containers": (
        {"compose.yaml": WEB + "    container_name: c\n    scale: 2\n"},
        "compose.yaml:4:5",
        "service 'web' has a container_name, so it cannot have 2 containers",
    ),
    "two services with one container name": (
        {"compose.yaml": WEB + "    container_name: c\n  db: {image: i, container_name: c}\n"},
        "compose.yaml:5:18",
        "services 'web' and 'db' have the same container_name 'c'",
    ),
    "one host port twice": (
        {"compose.yaml": WEB + "    ports: ['8080:80']\n  db: {image: i, ports: ['127.0.0.1:8080:80']}\n"},
        "compose.yaml:5:26",
        "services 'web' and 'db' both publish the host's port 8080/tcp",
    ),
    "secret without content": (
        {"compose.yaml": WEB + "secrets:\n  s: {}\n"},
        "compose.yaml:5:3",
        "secrets.s needs one of file, environment",
    ),
    "config with two contents": (
        {"compose.yaml": WEB + "configs:\n  c: {file: x, content: y}\n"},
        "compose.yaml:5:3",
        "configs.c has file and content; they exclude each other",
    ),
    "external volume with a driver": (
        {"compose.yaml": WEB + "volumes:\n  v: {external: true, driver: local}\n"},
        "compose.yaml:5:23",
        "volumes.v is external, so it cannot have 'driver'",
    ),
    "bad project name": (
        {"compose.yaml": "name: 'Ä Ö'\n" + WEB},
        "compose.yaml:1:1",
        "invalid project name 'Ä Ö': must consist only of lowercase alphanumeric characters, hyphens, and "
        "underscores as well as start with a letter or number",
    ),
    "half of a limit": (
        {"compose.yaml": WEB + "    ulimits: {nofile: {hard: 10}}\n"},
        "compose.yaml:4:15",
        "services.web.ulimits.nofile lacks its 'soft'",
    ),
    "a negative size": (
        {"compose.yaml": WEB + "    volumes: [{type: tmpfs, target: /t, tmpfs: {size: -1}}]\n"},
        "compose.yaml:4:49",
        "services.web.volumes[0].tmpfs.size must be greater than or equal to 0",
    ),
    "no compose file": (
        {"compose.yaml": "- just\n- a list\n"},
        "compose.yaml:1:1",
        "the file must be a mapping; it is a list",
    ),
    "text": ({"compose.yaml": "hello\n"}, "compose.yaml:1:1", "the file must be a mapping; it is the string 'hello'"),
    "an alias within itself": (
        {"compose.yaml": "services: &s\n  web: *s\n"},
        "compose.yaml:2:3",
        "this alias stands within the value that it names",
    ),
}


def _options(folder: Path) -> Options:
    return Options(folder=str(folder), environ={})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_place(tmp_path: Path, fault: str) -> None:
    files, place, sentence = FAULTS[fault]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(ComposeError) as caught:
        load(_options(tmp_path)).check_runnable()
    assert str(caught.value) == f"{tmp_path}/{place}: {sentence.replace('{folder}', str(tmp_path))}"


def test_a_name_that_is_not_allowed_is_used_without_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("name: My Shop\n" + WEB)
    said: list[str] = []
    assert load(replace(_options(tmp_path), warn=said.append)).name == "myshop"
    assert said == [f"{tmp_path}/compose.yaml:1:1: the project name 'My Shop' is not allowed; 'myshop' is used"]


def test_an_empty_file_is_no_compose_file(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("# nothing\n")
    with pytest.raises(ComposeError, match=r"^empty compose file: .*/compose.yaml$"):
        load(_options(tmp_path))


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r"^no configuration file provided: "):
        load(_options(tmp_path))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ComposeError, match=r"^compose file .*/compose.yaml is not UTF-8 text$"):
        load(_options(tmp_path))


def test_aliases_of_aliases_are_refused(tmp_path: Path) -> None:
    levels = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 9))
    (tmp_path / "compose.yaml").write_text(f"x-bomb:\n  l0: &l0 [x]\n{levels}" + WEB)
    with pytest.raises(ComposeError, match="the aliases of this file describe too many values"):
        load(_options(tmp_path))


def test_ten_thousand_services(tmp_path: Path) -> None:
    services = "".join(f"  s{n}: {{image: i, depends_on: [s{n - 1}]}}\n" for n in range(1, 10_000))
    (tmp_path / "compose.yaml").write_text("services:\n  s0: {image: i}\n" + services)
    assert len(load(_options(tmp_path)).services) == 10_000
