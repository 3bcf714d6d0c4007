"""Colours that readers with any common colour blindness can tell apart, and that stay with their set."""

from __future__ import annotations

import json
import math
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from workbench.model.states import STATES
from workbench.ui import palette
from workbench.ui.palette import THEMES, SetColours, glyph, kind_of, pair, set_colours, theme
from workbench.ui.plots import on

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
BLIND = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(colour: str) -> list[float]:
    values = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]


def seen(colour: str, kind: str) -> list[float]:
    rgb = linear(colour)
    return [min(1.0, max(0.0, sum(m * c for m, c in zip(row, rgb, strict=True)))) for row in BLIND[kind]]


def oklab(rgb: list[float]) -> tuple[float, float, float]:
    """Björn Ottosson's Oklab, times 100."""
    r, g, b = rgb
    lms = [
        max(0.0, v) ** (1 / 3)
        for v in (
            0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b,
            0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b,
            0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b,
        )
    ]
    rows = (
        (0.2104542553, 0.7936177850, -0.0040720468),
        (1.9779984951, -2.4285922050, 0.4505937099),
        (0.0259040371, 0.7827717662, -0.8086757660),
    )
    x, y, z = (100 * sum(k * v for k, v in zip(row, lms, strict=True)) for row in rows)
    return x, y, z


def apart(a: str, b: str, kind: str) -> float:
    """Distance as somebody with that colour vision sees it; about 2 is just noticeable side by side."""
    return math.dist(oklab(seen(a, kind)), oklab(seen(b, kind)))


def contrast(a: str, b: str) -> float:
    first, second = (sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(x), strict=True)) for x in (a, b))
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("kind", BLIND)
def test_states_can_be_told_apart(name: str, kind: str) -> None:
    states = theme(name).states
    assert set(states) == {s.value for s in STATES}
    close = {(a, b): apart(states[a], states[b], kind) for a, b in combinations(states, 2)}
    assert min(close.values()) > 6.0, min(close, key=close.__getitem__)


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("kind", BLIND)
def test_hues_of_sets_and_neighbouring_shades_can_be_told_apart(name: str, kind: str) -> None:
    families = theme(name).sets
    close = {(a, b): apart(families[a][0], families[b][0], kind) for a, b in combinations(range(len(families)), 2)}
    assert min(close.values()) > 4.0, min(close, key=close.__getitem__)
    for family in families:
        assert len(set(family)) == len(family)
        assert all(apart(a, b, kind) > 8.0 for a, b in pairwise(family)), family


@pytest.mark.parametrize("name", THEMES)
def test_text_can_be_read(name: str) -> None:
    look = theme(name)
    for ground in (look.surface, look.panel):
        assert contrast(look.ink, ground) > 12
        assert contrast(look.muted, ground) > 4.5
        assert contrast(look.danger, ground) > 4.5
        assert contrast(look.predicted, ground) > 4.5
        assert contrast(look.accent, ground) > 4.5
    for colour in look.states.values():
        assert contrast(on(colour), colour) > 4.0


def test_states_have_glyphs_of_their_own() -> None:
    assert len({glyph(s.value) for s in STATES}) == len(STATES)


def test_iterations_of_a_kind_share_a_hue() -> None:
    names = [f"{kind}-{i}" for i in range(3) for kind in ("sim", "aggr", "train", "infer")]
    for name in THEMES:
        families = theme(name).sets
        given = set_colours(names, name)
        for k, kind in enumerate(("sim", "aggr", "train", "infer")):
            assert [given[f"{kind}-{i}"] for i in range(3)] == list(families[k][:3])
        assert len(set(given.values())) == 12


def test_sets_that_are_no_iterations_get_hues_of_their_own() -> None:
    given = set_colours([f"T{i}" for i in range(8)], "light")
    assert list(given.values()) == [family[0] for family in theme("light").sets]


def test_a_set_keeps_its_colour_whatever_comes_later() -> None:
    colours = SetColours()
    first = {n: colours[n] for n in ("sim-0", "train", "sim-1")}
    for i in range(50):
        _ = colours[f"other{i}x"], colours[f"sim-{i}"]
    assert {n: colours[n] for n in first} == first


def test_when_hues_come_round_again_shades_differ() -> None:
    names = [f"kind{c}" for c in "abcdefghijklmnop"]
    given = set_colours(names, "dark")
    assert len(set(given.values())) == 16


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sim-0", "sim"),
        ("sim_12", "sim"),
        ("sim.3", "sim"),
        ("sim-iter-3", "sim"),
        ("infer-3", "infer"),
        ("visit-3", "visit"),
        ("simulation12", "simulation"),
        ("iter0.sim", "sim"),
        ("T0", "T0"),
        ("train", "train"),
        ("0", "0"),
        ("", ""),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_a_long_name_takes_no_time() -> None:
    # Patterns that backtrack would not come to an end.
    assert kind_of("a-" * 5000 + "!") == "a-" * 5000 + "!"
    assert kind_of("9" * 5000 + "!") == "9" * 5000 + "!"


def test_roles_and_unknown_themes() -> None:
    assert pair("ink") == (theme("light").ink, theme("dark").ink)
    assert pair("states.done") == (theme("light").states["done"], theme("dark").states["done"])
    with pytest.raises(ValueError, match="there is no theme 'sepia'; use one of light, dark"):
        theme("sepia")


def test_the_file_is_what_other_languages_read() -> None:
    data = json.loads(Path(palette.__file__).with_name("palette.json").read_text(encoding="utf-8"))
    assert set(data) == {"light", "dark", "glyphs", "font"}
    assert set(data["light"]) == set(data["dark"])
    assert data["light"]["states"] == theme("light").states
