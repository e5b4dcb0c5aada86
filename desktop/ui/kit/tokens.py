"""Every colour of the window, by name, for both themes, and the arithmetic of contrast.

The style sheet, the palette and everything that paints read these dicts; a test checks that their contrast
ratios are high enough, so that a change of colour cannot lower the contrast unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Scheme = Literal["light", "dark"]
Tokens = Mapping[str, str]

LIGHT: Final[Tokens] = {
    "canvas": "#FAFBFB",
    "sidebar": "#F1F4F4",
    "surface": "#FFFFFF",
    "raised": "#FFFFFF",
    "sunken": "#F3F6F6",
    "hover": "#EEF3F3",
    "press": "#E4EBEC",
    "sel": "#D8ECF0",
    "line": "#E2E8E9",
    "line2": "#C9D3D5",
    "ctl": "#7F8D92",
    "text": "#10181B",
    "text2": "#435056",
    "text3": "#5A666D",
    "accent": "#0A667B",
    "accentfill": "#0B6F86",
    "accentfillhover": "#095D71",
    "accentsoft": "#E1F0F3",
    "onfill": "#FFFFFF",
    "focus": "#0B7F99",
    "run": "#18753F",
    "runsoft": "#E2F3E8",
    "start": "#1F5FBF",
    "startsoft": "#E5EEFC",
    "pause": "#835400",
    "pausesoft": "#FBF0D9",
    "bad": "#B3261E",
    "badsoft": "#FCEBE9",
    "badfill": "#B3261E",
    "badfillhover": "#96201A",
    "stop": "#5A666D",
    "stopsoft": "#EDF1F2",
    "c1": "#0B7F99",
    "c2": "#6B54C6",
    "c3": "#B4580A",
    "c4": "#2C6FD1",
    "c5": "#A83279",
    "c6": "#5B7A12",
    "cidle": "#D3DCDE",
    "term": "#0F1518",
    "shadow": "#0B1C22",
    "indicator": "#0B6F86",  # the 3 px bar of the current item and of tabs: accentfill in light, accent in dark
}

DARK: Final[Tokens] = {
    "canvas": "#12171A",
    "sidebar": "#0D1214",
    "surface": "#171E21",
    "raised": "#1E272B",
    "sunken": "#0F1416",
    "hover": "#1D2529",
    "press": "#263035",
    "sel": "#16383F",
    "line": "#273136",
    "line2": "#3A474D",
    "ctl": "#6E7D84",
    "text": "#E9EEF0",
    "text2": "#B1BDC3",
    "text3": "#95A2A9",
    "accent": "#62C6DC",
    "accentfill": "#0F7289",
    "accentfillhover": "#117E97",
    "accentsoft": "#12303A",
    "onfill": "#FFFFFF",
    "focus": "#62C6DC",
    "run": "#54C987",
    "runsoft": "#12301F",
    "start": "#84B1FF",
    "startsoft": "#172A47",
    "pause": "#E6B655",
    "pausesoft": "#352811",
    "bad": "#FF8E84",
    "badsoft": "#3B1A19",
    "badfill": "#B3352B",
    "badfillhover": "#9C2D24",
    "stop": "#95A2A9",
    "stopsoft": "#222B2F",
    "c1": "#45B4CD",
    "c2": "#A493F2",
    "c3": "#E8975A",
    "c4": "#7BAAF7",
    "c5": "#E58BC2",
    "c6": "#A9C65B",
    "cidle": "#344146",
    "term": "#0B0F11",
    "shadow": "#000000",
    "indicator": "#62C6DC",
}

SCHEMES: Final[Mapping[Scheme, Tokens]] = {"light": LIGHT, "dark": DARK}

SHADOW_ALPHA: Final[Mapping[Scheme, float]] = {"light": 0.16, "dark": 0.50}
SCRIM_ALPHA: Final[Mapping[Scheme, float]] = {"light": 0.30, "dark": 0.50}


def channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of `#RRGGBB`."""
    value = int(colour.removeprefix("#"), 16)
    return value >> 16, (value >> 8) & 0xFF, value & 0xFF


def luminance(colour: str) -> float:
    """Relative luminance of `#RRGGBB`, 0 to 1 (WCAG 2.2, "relative luminance")."""

    def linear(channel: int) -> float:
        part = channel / 255
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(channel) for channel in channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def high_contrast(tokens: Tokens) -> Tokens:
    """The theme for desktops set to high contrast: strong borders of controls, no soft fills."""
    strong = dict(tokens)
    strong["line2"] = tokens["ctl"]
    strong["text3"] = tokens["text2"]
    for soft in ("accentsoft", "runsoft", "startsoft", "pausesoft", "badsoft", "stopsoft"):
        strong[soft] = tokens["surface"]
    return strong
