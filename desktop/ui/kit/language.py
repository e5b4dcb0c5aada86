"""The language of the window: Qt's own words and ours, from the catalogues in `languages`.

A catalogue is a file of Qt Linguist, `languages/CODE.ts`. `make setup` compiles it to CODE.qm, which is loaded here.
`words.tr` and `words.counted` ask the application for the texts, so `install` comes before the window is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

from desktop.settings.table import DESKTOP, LANGUAGES

_FOLDER = Path(__file__).with_name("languages")
SOURCE = "en"  # the language of the texts in the code


def chosen(wanted: object, desktop: Iterable[str]) -> str:
    """The code of the language to use: `wanted`, a value of the setting, or the first of `desktop` that there is.

    `desktop`: the desktop's languages, the best one first, as BCP 47 tags: "de-AT".
    """
    if wanted != DESKTOP and wanted in LANGUAGES:
        return str(wanted)
    codes = (tag.partition("-")[0].lower() for tag in desktop)
    return next((code for code in codes if code in LANGUAGES), SOURCE)


def install(app: QCoreApplication, wanted: object) -> Sequence[QTranslator]:
    """Let `app` speak the language that the setting names; returns the catalogues, which `app` owns.

    A catalogue that is missing, as in a source tree without `make setup`, leaves the texts in English.
    """
    code = chosen(wanted, QLocale.system().uiLanguages())
    if code == SOURCE:
        return ()
    of_qt = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    installed = []
    for name, folder in ((f"qtbase_{code}", of_qt), (code, str(_FOLDER))):
        translator = QTranslator(app)
        if translator.load(name, folder):
            app.installTranslator(translator)
            installed.append(translator)
    return installed
