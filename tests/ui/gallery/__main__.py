"""Pictures of the window's pages, tabs, dialogs and popups, to be looked at beside the design.

    sudo .venv/bin/python -m tests.ui.gallery FOLDER [LANGUAGE [SCENE...]]

Light and dark at 1280 by 800, light at 1000 by 640, and dark with the text three steps larger, on the monkey's stage;
and the pages of engines with nothing, one container, and a thousand. FOLDER gets one PNG each. LANGUAGE: a code, such
as de; en without one. SCENE: the names of those of `tests.ui.gallery.scenes` to show, none for all.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

# Before Qt is loaded. The screen is large enough for menus beside the window.
os.environ["QT_QPA_PLATFORM"] = f"offscreen:configfile={Path(__file__).with_name('screen.json')}"

from PySide6.QtWidgets import QApplication

from desktop.ui.kit.language import SOURCE, install
from desktop.ui.shell.application import Application
from tests.support.tools import busybox_tar
from tests.ui.gallery.camera import Camera
from tests.ui.gallery.scenes import ONCE, SCENES, lists
from tests.ui.gallery.stage import MANY, full_stage, stage_of


def main(folder: Path, language: str, chosen: Sequence[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    app = Application(["cove-desktop"])
    install(app, language)
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        tar = busybox_tar(home / "busybox.tar")
        with full_stage(tar) as engine:
            camera = Camera(app, engine, folder, home)
            for scene in (*SCENES, *ONCE):
                if not chosen or scene.__name__ in chosen:
                    camera.each_look(partial(scene, camera), () if scene in SCENES else ("light",))
            camera.close()
        for count in (0, 1, MANY) if not chosen else ():
            with stage_of(count, tar) as engine:
                few = Camera(app, engine, folder, home)
                few.each_look(partial(lists, few, count), ("light", "dark"))
                few.close()
    QApplication.processEvents()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), (sys.argv[2:] or [SOURCE])[0], sys.argv[3:]))
