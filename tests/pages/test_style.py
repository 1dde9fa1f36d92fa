"""The style sheet: readable contrast in light and dark (WCAG 2.2 1.4.3), nothing from elsewhere."""

import re
from importlib import resources

import pytest

STYLE = resources.files("fhir_server.pages").joinpath("static/pages.css").read_text("utf-8")
LIGHT, DARK = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
TEXT_ON = [
    *((ink, paper) for ink in ("ink", "soft", "act") for paper in ("paper", "card", "shade")),
    *((ink, "card") for ink in ("ok", "bad", "ai", "software")),
    *((ink, "paper") for ink in ("ok", "bad")),
    ("ai", "ai-paper"),
    ("software", "software-paper"),
    ("paper", "ink"),
]


def colours(block):
    return dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6});", block))


def luminance(colour):
    def linear(part):
        share = int(part, 16) / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(colour[at : at + 2]) for at in (0, 2, 4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("block", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "paper"), TEXT_ON)
def test_text_has_a_contrast_of_at_least_4_5(block, ink, paper):
    found = colours(block)
    assert contrast(found[ink], found[paper]) >= 4.5


def test_light_and_dark_name_the_same_colours():
    assert colours(LIGHT).keys() == colours(DARK).keys()


def test_the_style_fetches_nothing():
    assert not re.search(r"url\(|@import|@font-face", STYLE)
