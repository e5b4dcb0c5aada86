"""Every text of the window is translated, and the catalogue that is shipped has the translations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PySide6.QtCore import QTranslator

from desktop.settings.table import LANGUAGES
from desktop.ui.kit.language import SOURCE, chosen
from desktop.ui.kit.words import COUNTED
from tests.project.languages import CONTEXT, FOLDER, FORMS, Text, read, texts_in, window_texts

CATALOGUES = sorted(FOLDER.glob("*.ts"))
_FIELD = re.compile(r"\{\w+\}")


def test_each_language_of_the_setting_has_a_catalogue() -> None:
    assert {SOURCE, *(catalogue.stem for catalogue in CATALOGUES)} == set(LANGUAGES)


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ('f"{tr(\'in a format\')}"', {Text("in a format")}),
        ('A = "a constant"\ntr(A)', {Text("a constant")}),
        ('A: str = "a typed constant"\ntr(A)', {Text("a typed constant")}),
        ('tr(words := "named at once") + tr(words)', None),
        ('tr("one" if n else "other")', {Text("one"), Text("other")}),
        ('words.tr("of the module")', {Text("of the module")}),
        ('counted(n, "one", "many")', {Text("one"), Text("many", is_plural=True)}),
        (
            'def f():\n one, many = "1 a", "n a"\n counted(n, one, many)\n'
            'def g():\n one, many = "1 b", "n b"\n counted(n, one, many)',
            {Text("1 a"), Text("1 b"), Text("n a", is_plural=True), Text("n b", is_plural=True)},
        ),
        ("tr(unknown)", None), ("tr(f'{n} of it')", None), ("counted(n, *both)", None), ("map(tr, texts)", None),
        ("counted(n, 'one')", None),
    ],
)  # fmt: skip
def test_a_text_is_found_in_each_shape_of_a_call_or_the_call_is_refused(source: str, texts: set[Text] | None) -> None:
    if texts is None:
        with pytest.raises(ValueError, match=r"here\.py:1: the texts? of "):
            list(texts_in(source, "here.py"))
    else:
        assert set(texts_in(source, "here.py")) == texts


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.stem)
def test_every_text_of_the_window_is_translated(catalogue: Path) -> None:
    texts, messages = window_texts(), read(catalogue)
    assert len(texts) > 1_000
    missing = [text.words for text in texts if text not in messages or not messages[text].is_finished]
    assert not missing, "run `make languages`, then translate what is marked as unfinished"
    assert not [text.words for text in messages if text not in texts], (
        "the window no longer says this: `make languages`"
    )


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.stem)
def test_a_translation_says_what_the_text_says(catalogue: Path) -> None:
    wrong = []
    for text, message in read(catalogue).items():
        assert len(message.forms) == (FORMS if text.is_plural else 1), text.words
        for number, form in enumerate(message.forms, 1):
            has_fields = sorted(_FIELD.findall(form)) == sorted(_FIELD.findall(text.words))
            says_one = text.is_plural and number == 1  # which may need no number: "its volume"
            alike = all(form.endswith(end) == text.words.endswith(end) for end in ("…", ".", "?", ":"))
            if not form or not (has_fields or says_one) or not alike or form != form.strip():
                wrong.append((text.words, form))
    assert not wrong


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.stem)
def test_the_compiled_catalogue_has_every_text(catalogue: Path) -> None:
    translator = QTranslator()
    assert translator.load(catalogue.stem, str(FOLDER)), "`make setup` compiles it"
    wrong = []
    for text, message in read(catalogue).items():
        for number, form in enumerate(message.forms, 1):
            said = (
                translator.translate(CONTEXT, text.words, COUNTED, number)
                if text.is_plural
                else translator.translate(CONTEXT, text.words)
            )
            if said != form:
                wrong.append((text.words, form, said))
    assert not wrong


@pytest.mark.parametrize(
    ("wanted", "desktop", "code"),
    [
        ("desktop", ["de-AT", "en-GB"], "de"), ("desktop", ["fr-FR", "de-CH", "en"], "de"), ("desktop", ["C"], "en"),
        ("desktop", ["fr"], "en"), ("en", ["de-DE"], "en"), ("de", ["en-US"], "de"), ("xx", ["de"], "de"),
        (None, ["de"], "de"), ("desktop", [], "en"),
    ],
)  # fmt: skip
def test_the_setting_or_the_desktop_chooses(wanted: object, desktop: list[str], code: str) -> None:
    assert chosen(wanted, desktop) == code
