import math
import xml.etree.ElementTree as ElementTree

from bench.svg import Line, Panel, draw

SVG = "{http://www.w3.org/2000/svg}"


def drawn(**fields):
    lines = [Line("Headrace", [(1, 10), (2, 30)]), Line("A & <B>", [(2, 5), (1, 4)])]
    panel = Panel("os", "connections", "MB/s", lines, **fields)
    return draw("Cost & load", "a note", [panel, panel])


def test_a_drawing_is_valid_and_the_same_each_time():
    first = drawn()
    assert first == drawn()
    root = ElementTree.fromstring(first)  # noqa: S314 - our own
    texts = [text.text for text in root.iter(SVG + "text")]
    assert {"Cost & load", "a note", "os", "connections", "MB/s"} <= set(texts)
    assert texts.count("Headrace") == texts.count("A & <B>") == 1


def test_everything_lies_inside_and_points_go_from_left_to_right():
    root = ElementTree.fromstring(drawn())  # noqa: S314 - our own
    width, height = float(root.get("width")), float(root.get("height"))
    lines = root.findall(SVG + "polyline")
    assert len(lines) == 2 * 2 + 2
    for line in lines:
        points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        assert points == sorted(points)
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_a_name_has_one_colour_in_all_panels_and_readers_of_dark_pages_another():
    text = drawn()
    assert text.count('class="s0"') == 2 + 1
    assert "prefers-color-scheme: dark" in text
    assert text.count(".s0 {") == 2


def test_what_cannot_be_shown_is_left_out():
    line = Line("Headrace", [(0, 1), (1, math.nan), (2, 0), (3, 4)])
    panel = Panel("", "", "", [line], x_log=True, y_log=True)
    assert panel.visible(line) == [(3, 4)]
    draw("", "", [Panel("", "", "", [Line("nothing", [])], x_log=True, y_log=True)])


def test_panels_may_have_one_vertical_axis():
    low, high = ([Line("Headrace", [(1, top), (2, top)])] for top in (3, 300))
    panels = [Panel("", "", "", low), Panel("", "", "", high)]
    assert draw("", "", panels).count(">300<") == 1
    assert draw("", "", panels, one_y=True).count(">300<") == 2


def test_with_an_order_a_name_has_its_colour_whoever_is_missing():
    panel = Panel("", "", "", [Line("third", [(1, 2)])])
    text = draw("", "", [panel], order=["first", "second", "third"])
    assert 'class="m2"' in text
    assert "first" not in text
