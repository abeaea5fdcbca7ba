"""The report: escaping, self-containment, structure, pictures, and every refusal."""

from __future__ import annotations

import base64
import re
import struct
from html.parser import HTMLParser

import numpy as np
import pytest

from semrsm.errors import InputError
from semrsm.report import Figure, Section, Table, figure_to_png, write_report
from semrsm.report.page import MAX_SIDE

EVIL = "<script>alert('x')</script>\"&"
VOID = {"meta", "img", "source", "link", "br"}


class Page(HTMLParser):
    """Every element with its attributes and text; refuses tags that do not nest."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "within": [e["tag"] for e in self._open], **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag, **wanted):
        return [
            e
            for e in self.elements
            if e["tag"] == tag and all(e.get(k) == v for k, v in wanted.items())
        ]


@pytest.fixture
def write(tmp_path):
    def run(sections=None, **options):
        options = {"title": "Title", "provenance": {}, **options}
        sections = [Section("First", "Text.")] if sections is None else sections
        path = write_report(tmp_path / "report.html", sections=sections, **options)
        assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
        text = path.read_text(encoding="utf-8")
        return Page(text), text

    return run


@pytest.fixture
def drawn():
    figure = pytest.importorskip("matplotlib.figure", reason="needs the extra 'plot'").Figure(
        figsize=(4, 3)
    )
    figure.subplots().plot([0, 1])
    return figure


def png_of(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(data, validate=True)


def size_of(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


def pixels_of(png):
    import io

    from matplotlib.image import imread

    return imread(io.BytesIO(png))


def test_every_text_is_escaped(write, drawn):
    page, text = write(
        [
            Section(
                EVIL,
                EVIL,
                [Figure(drawn, EVIL, EVIL)],
                [Table([EVIL, "b"], [[EVIL, EVIL]], EVIL)],
            ),
            Section("Second"),
        ],
        title=EVIL,
        summary=EVIL,
        provenance={EVIL: EVIL, "list": [EVIL], "inner": {EVIL: EVIL}},
    )
    assert "<script" not in text
    assert not page.all("script")
    for tag in ("title", "h1", "h2", "p", "figcaption", "caption", "th", "td", "a"):
        assert any(e["text"] == EVIL for e in page.all(tag)), tag
    assert page.all("img")[0]["alt"] == EVIL
    assert "$" not in text  # no place of the template is left open


def test_nothing_is_loaded_from_elsewhere(write, drawn):
    page, text = write([Section("A", figures=[Figure(drawn, "alt", "")]), Section("B")])
    outside = re.findall(r"(?:https?:)?//[^\s\"'<>)]+", re.sub(r"data:[^\"]+", "", text))
    assert outside == ["https://arxiv.org/abs/2410.23107"]
    (link,) = page.all("a", href=outside[0])
    assert link["text"] == "arXiv:2410.23107"
    for element in page.elements:
        for name in ("src", "srcset", "href", "data", "action"):
            value = element.get(name) or "#"
            assert value.startswith(("#", "data:image/png;base64,")) or element is link
    assert not page.all("link")
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; img-src data:;")


def test_structure_can_be_navigated(write):
    page, _ = write(
        [Section("One", "a\nb\n\n\n c"), Section("Two")], title="T", summary="What is here."
    )
    assert page.all("html")[0]["lang"] == "en"
    assert [e["text"] for e in page.all("h1")] == ["T"]
    assert [e["text"] for e in page.all("p") if "section" in e["within"]] == ["a b", "c"]
    sections = page.all("section")
    assert [e["href"] for e in page.all("a") if "nav" in e["within"]] == [
        f"#{section['id']}" for section in sections
    ]
    identifiers = [e["id"] for e in page.elements if "id" in e]
    assert len(set(identifiers)) == len(identifiers)
    for element in page.elements:
        assert element.get("aria-labelledby", identifiers[0]) in identifiers
    assert all("main" in e["within"] for e in sections)
    assert not write([Section("Only")])[0].all("nav")


def test_tables_name_their_rows_and_columns(write):
    table = Table(
        ["layer", "AUC", "S", "note"],
        [["a", 0.123456, 1234, None], ["b", np.float64(-1e-9), np.int64(5), True]],
        "What was measured",
    )
    page, _ = write([Section("x", tables=[table])])
    assert [e["text"] for e in page.all("caption")] == ["What was measured"]
    heads = page.all("th", scope="col")
    assert [e["text"] for e in heads] == ["layer", "AUC", "S", "note"]
    assert [e["text"] for e in page.all("th", scope="row")] == ["a", "b"]
    assert [e["text"] for e in page.all("td")] == ["0.1235", "1,234", "–", "−1e−09", "5", "True"]
    assert [e.get("class") for e in heads] == [None, "number", "number", None]
    assert [e.get("class") for e in page.all("td")] == ["number", "number", None] * 2


def test_tables_from_records():
    records = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert Table.from_records(records, "c") == Table(("a", "b"), [(1, 2), (3, 4)], "c")
    assert Table.from_records(records, "c", {"b": "B"}) == Table(("B",), [(2,), (4,)], "c")
    with pytest.raises(InputError, match=r"^records: record 2 lacks 'b'"):
        Table.from_records([{"a": 1, "b": 2}, {"a": 3}], "c")


def test_provenance_is_flat_and_short(write):
    page, _ = write(
        provenance={
            "model": "lite0",
            "weights_sha256": "ab" * 32,
            "versions": {"semrsm": "1", "deep": {"er": 2}},
            "images": [f"{i}.jpg" for i in range(2000)],
            "sigma": None,
        }
    )
    facts = {
        head["text"]: cell["text"]
        for head, cell in zip(page.all("th", scope="row"), page.all("td"), strict=True)
    }
    assert facts["model"] == "lite0"
    assert facts["weights sha256"] == "ab" * 32
    assert facts["versions · semrsm"] == "1"
    assert facts["versions · deep · er"] == "2"
    assert facts["images"].startswith("0.jpg, 1.jpg, ")
    assert facts["images"].endswith("7.jpg and 1,992 more")
    assert facts["sigma"] == "–"
    assert "footer" in page.all("caption")[0]["within"]
    assert not write()[0].all("table")


def test_citation_and_version_stand_at_the_foot(write):
    import semrsm

    page, _ = write()
    (foot,) = page.all("footer")
    for part in ("Wald et al.", "Decoupling Semantic Similarity", "NeurIPS 2024"):
        assert part in foot["text"]
    assert f"semrsm {semrsm.__version__}" in foot["text"]


def test_function_is_drawn_for_light_and_for_dark_pages(write):
    matplotlib = pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    import matplotlib.pyplot as plt

    inks = []

    def draw():
        inks.append(matplotlib.rcParams["text.color"])
        figure = plt.figure(figsize=(4, 2))
        figure.text(0.5, 0.5, "ink")
        return figure.subplots()  # axes stand for their figure

    before = dict(matplotlib.rcParams)
    page, _ = write([Section("x", figures=[Figure(draw, "what it shows", "caption")])])
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []
    assert len(set(inks)) == 2
    (source,) = page.all("source")
    (image,) = page.all("img")
    assert source["media"] == "screen and (prefers-color-scheme: dark)"
    assert "picture" in source["within"]
    assert "picture" in image["within"]
    light, dark = pixels_of(png_of(image["src"])), pixels_of(png_of(source["srcset"]))
    for pixels in (light, dark):
        assert pixels[0, 0, 3] == 0  # the page shines through
    assert light[..., :3][light[..., 3] == 1].mean() < 0.5
    assert dark[..., :3][dark[..., 3] == 1].mean() > 0.5
    assert (image["alt"], image["width"], image["height"]) == ("what it shows", "384", "192")
    assert page.all("figcaption")[0]["text"] == "caption"


def test_figures_and_files_get_a_light_ground(write, drawn):
    png = figure_to_png(drawn, dpi=100)
    page, text = write([Section("x", figures=[Figure(drawn, "a", ""), Figure(png, "b", "c")])])
    first, second = page.all("img")
    assert first["class"] == second["class"] == "paper"
    assert png_of(second["src"]) == png
    for image in (first, second):  # the size in inches, whatever the resolution
        assert abs(int(image["width"]) - 384) <= 1
        assert abs(int(image["height"]) - 288) <= 1
    assert [e["text"] for e in page.all("figcaption")] == ["c"]
    assert "img.paper" in text


def test_file_without_resolution_is_shown_pixel_by_pixel(write):
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 20, 10, 8, 2, 0, 0, 0)
    page, _ = write([Section("x", figures=[Figure(header + bytes(20), "a", "")])])
    assert (page.all("img")[0]["width"], page.all("img")[0]["height"]) == ("20", "10")


def test_both_schemes_and_print_are_styled(write):
    page, text = write()
    assert page.all("meta", name="color-scheme")[0]["content"] == "light dark"
    assert page.all("meta", name="viewport")
    style = page.all("style")[0]["text"]
    assert "@media screen and (prefers-color-scheme: dark)" in style
    assert "@media print" in style
    assert text.startswith("<!doctype html>")


def contrast(one, other):
    def luminance(colour):
        c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_texts_can_be_read_in_both_schemes(write):
    style = write()[0].all("style")[0]["text"]
    grounds = re.findall(r"--ground: (#\w+)", style)
    assert len(grounds) == 2
    for name in ("ink", "quiet", "link"):
        for ground, colour in zip(grounds, re.findall(rf"--{name}: (#\w+)", style), strict=True):
            assert contrast(ground, colour) >= 4.5, (name, ground)


def test_png_is_rendered_at_the_resolution_and_bounded(drawn):
    face = drawn.get_facecolor()
    assert size_of(figure_to_png(drawn)) == (768, 576)
    assert size_of(figure_to_png(drawn, 50)) == (200, 150)
    assert size_of(figure_to_png(drawn, 1e6, max_side=400)) == (400, 300)
    drawn.set_size_inches(30, 60)
    assert max(size_of(figure_to_png(drawn))) <= MAX_SIDE
    assert drawn.get_facecolor() == face
    assert b"matplotlib" not in figure_to_png(drawn, 10)


def test_png_refuses(drawn):
    with pytest.raises(InputError, match=r"^figure: expected a matplotlib figure; got str"):
        figure_to_png("x")
    with pytest.raises(InputError, match=r"^dpi, max_side: expected numbers > 0; got 0 and 5"):
        figure_to_png(drawn, 0, max_side=5)


def test_parts_refuse():
    with pytest.raises(InputError, match=r"^alt: expected a description"):
        Figure(lambda: None, " ", "")
    for bad in ("figure.png", b"GIF89a", b"\x89PNG\r\n\x1a\n", None):
        with pytest.raises(InputError, match=f"^fig: .*PNG file; got {type(bad).__name__}"):
            Figure(bad, "alt", "")
    with pytest.raises(InputError, match=r"^rows: expected 2 cells, as many as columns; row 2 has"):
        Table(["a", "b"], [[1, 2], [1]], "")


@pytest.mark.parametrize(
    ("name", "sections", "message"),
    [
        ("report.txt", [Section("x")], r"path: expected a name that ends in \.html; got"),
        ("none/report.html", [Section("x")], "path: expected a file in an existing folder"),
        ("report.html", [], "sections: expected at least one"),
    ],
)
def test_report_refuses(tmp_path, name, sections, message):
    with pytest.raises(InputError, match=f"^{message}"):
        write_report(tmp_path / name, title="x", sections=sections, provenance={})
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_the_old_report(tmp_path):
    path = tmp_path / "report.html"
    write_report(path, title="old", sections=[Section("x")], provenance={})
    old = path.read_bytes()

    def fail():
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        write_report(
            path,
            title="new",
            sections=[Section("x", figures=[Figure(fail, "alt", "")])],
            provenance={},
        )
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
