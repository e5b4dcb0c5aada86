"""The colours have the required contrast in both themes."""

from __future__ import annotations

import pytest

from desktop.ui.kit.tokens import SCHEMES, Scheme, contrast, high_contrast

TEXT_ON_SURFACE = {  # minimal contrast on surface, and on the worst background that it is drawn on (sel)
    "light": {
        "text": (18.0, 14.7), "text2": (8.3, 6.8), "text3": (5.9, 4.8), "accent": (6.6, 5.4), "run": (5.7, 4.7),
        "start": (6.1, 5.0), "pause": (6.5, 5.3), "bad": (6.5, 5.3), "stop": (5.9, 4.8),
    },
    "dark": {
        "text": (14.4, 10.7), "text2": (8.8, 6.5), "text3": (6.4, 4.8), "accent": (8.5, 6.4), "run": (8.1, 6.0),
        "start": (7.8, 5.8), "pause": (9.0, 6.7), "bad": (7.6, 5.7), "stop": (6.4, 4.8),
    },
}  # fmt: skip
ON_SOFT = {
    "light": {"run": 5.0, "start": 5.2, "pause": 5.7, "bad": 5.7, "stop": 5.2},
    "dark": {"run": 6.9, "start": 6.7, "pause": 7.7, "bad": 7.0, "stop": 5.5},
}
GROUNDS = ("canvas", "sidebar", "surface", "raised", "sunken", "hover", "press", "sel")
BOTH = pytest.mark.parametrize("scheme", ["light", "dark"])


@BOTH
def test_text_has_the_contrast_that_the_design_states(scheme: Scheme) -> None:
    tokens = SCHEMES[scheme]
    for name, (on_surface, on_sel) in TEXT_ON_SURFACE[scheme].items():
        assert contrast(tokens[name], tokens["surface"]) == pytest.approx(on_surface, abs=0.06), name
        assert contrast(tokens[name], tokens["sel"]) == pytest.approx(on_sel, abs=0.06), name
    for name, ratio in ON_SOFT[scheme].items():
        assert contrast(tokens[name], tokens[f"{name}soft"]) == pytest.approx(ratio, abs=0.06), name


@BOTH
def test_text_reads_on_every_ground(scheme: Scheme) -> None:
    for tokens in (SCHEMES[scheme], high_contrast(SCHEMES[scheme])):
        for name in TEXT_ON_SURFACE[scheme]:
            for ground in GROUNDS:
                assert contrast(tokens[name], tokens[ground]) >= 4.5, (name, ground)
        for fill in ("accentfill", "accentfillhover", "badfill", "badfillhover"):
            assert contrast(tokens["onfill"], tokens[fill]) >= 4.5, fill
        assert contrast(tokens["accent"], tokens["accentsoft"]) >= 4.5


@BOTH
def test_controls_and_data_stand_out(scheme: Scheme) -> None:
    tokens = SCHEMES[scheme]
    for name in ("ctl", "focus", "indicator"):
        assert contrast(tokens[name], tokens["surface"]) >= 3, name
    floor = {"light": 4.6, "dark": 6.4}[scheme]
    for name in ("c1", "c2", "c3", "c4", "c5", "c6"):
        assert contrast(tokens[name], tokens["surface"]) >= floor - 0.06, name


def test_both_themes_have_the_same_names() -> None:
    assert SCHEMES["light"].keys() == SCHEMES["dark"].keys()
