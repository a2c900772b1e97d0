"""draw_heap.py: blocks to scale, cut at the ends of rows; a file that is no dump is refused with exit 3."""
import json
import re
import xml.etree.ElementTree as xml

import pytest

import draw_heap

DUMP = {"version": 1, "base": 0, "page": 4096,
        "stats": {f"{name}_bytes": 1024 for name in ("heap", "live", "cached", "free", "mapped")},
        "blocks": [["chunk", 8, 4000], ["pool", 4008, 4096], ["cell", 4096, 64], ["chunk_free", 8104, 200],
                   ["mapped", 99999999, 1 << 20]]}


def rectangles(svg, kind):
    found = re.findall(rf'<rect class="{kind}" x="([\d.]+)" y="(\d+)" width="([\d.]+)" height="14">', svg)
    return [tuple(map(float, match)) for match in found]


def test_a_block_is_drawn_to_scale():
    svg = draw_heap.draw(DUMP, "t", row_bytes=4096)
    assert rectangles(svg, "chunk") == [(2.0, 0.0, 1000.0)]
    assert rectangles(svg, "cell") == [(0.0, 17.0, 16.0)]


def test_a_block_is_cut_at_the_ends_of_rows():
    assert list(draw_heap.pieces(4008, 4096, 4096)) == [(0, 4008, 88), (1, 0, 4008)]
    assert len(rectangles(draw_heap.draw(DUMP, "t", row_bytes=4096), "pool")) == 2


def test_rows_grow_with_the_heap():
    assert draw_heap.choose_row_bytes(10, 48) == 4096
    assert draw_heap.choose_row_bytes(4096 * 48 + 1, 48) == 8192


def test_the_picture_is_sound_xml_and_names_what_it_leaves_out():
    svg = draw_heap.draw(DUMP, "a < b", row_bytes=4096)
    xml.fromstring(svg)
    assert "1 mapped block elsewhere" in svg


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2, "blocks": []}', '{"version": 1, "blocks": [["a", -1, 2]]}'])
def test_what_is_no_dump_is_refused(tmp_path, capsys, text):
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(SystemExit) as refused:
        draw_heap.load(path)
    assert refused.value.code == 3
    assert str(path) in capsys.readouterr().err


def test_main_writes_the_file(tmp_path):
    (tmp_path / "d.json").write_text(json.dumps(DUMP))
    assert draw_heap.main([str(tmp_path / "d.json"), "-o", str(tmp_path / "d.svg")]) == 0
    assert (tmp_path / "d.svg").read_text().startswith("<svg")
