from __future__ import annotations

import sys

import numpy as np
import pytest

from circuits import CircuitRun
from grokscope.errors import GrokscopeError, UsageError
from grokscope.papers.nanda2023 import circuit, figures
from grokscope.report import Band, Curve, band, lines, spectrum
from grokscope.report.marks import colour, legend_columns, plain
from grokscope.report.printing import COLUMN, PAGE, draw, print_figures

STEPS = np.array([0, 10, 100, 1000])
VALUES = np.array([4.0, 2.0, np.nan, 0.5])
PHASES = [{"name": "memorisation", "start": 0, "end": 300}, {"name": "cleanup", "start": 300, "end": 5000}]


def curves(**more):
    drawn = [
        band("test, 3 seeds", STEPS, 0.9 * VALUES, VALUES, 1.1 * VALUES, colour="#D55E00", dash="dash"),
        Curve("norm", STEPS, VALUES, colour="#0072B2", axis="right"),
    ]
    phases = [Band("memorisation", 0, 100), Band("cleanup", 100, None)]
    return lines("Loss", drawn, y_title="loss (nats)", log_y=True, right_title="norm $x$", bands=phases, **more)


def test_the_axes_on_paper_are_those_on_the_page():
    left, right = draw(curves()).axes
    assert (left.get_xscale(), left.get_yscale(), right.get_yscale()) == ("log", "log", "linear")
    assert left.get_ylabel() == "loss (nats)"
    assert right.get_ylabel() == r"norm \$x\$"
    assert [text.get_text() for text in left.get_xticklabels()] == ["0", "10", "20", "50", "100", "200", "500", "1,000"]
    layout = curves()["layout"]
    assert left.get_xlim() == pytest.approx([10**end for end in layout["xaxis"]["range"]])


def test_a_line_on_paper_has_the_numbers_dash_and_colour_of_the_page():
    left, right = draw(curves()).axes
    (line,) = left.lines
    np.testing.assert_array_equal(line.get_xdata(), [5, 10, 100, 1000])
    np.testing.assert_array_equal(line.get_ydata(), VALUES)
    assert line.get_color() == "#D55E00"
    assert line.is_dashed()
    assert right.lines[0].get_color() == "#0072B2"
    assert not right.lines[0].is_dashed()


def test_ribbons_leave_gaps_and_phases_lie_behind():
    left = draw(curves()).axes[0]
    ribbons = [one for one in left.patches if one.get_zorder() == 2]
    assert [round(max(one.get_path().vertices[:, 0])) for one in ribbons] == [10, 1000]
    assert len([one for one in left.patches if one.get_zorder() == 0]) == 2


def test_the_line_that_marks_a_step_is_drawn_there_and_named():
    figure = curves()
    mark = {"type": "line", "x0": 100, "x1": 100, "line": {"color": "#222222", "dash": "dash"}, "name": "fork"}
    figure["layout"]["shapes"].append(mark)
    figure["layout"]["annotations"] = [{"text": "fork, step 100", "x": 100, "xref": "x", "y": 1, "yref": "paper"}]
    drawing = draw(figure)
    assert [100, 100] in [list(line.get_xdata()) for line in drawing.axes[0].lines]
    (label,) = [text for text in drawing.axes[0].texts if text.get_text() == "fork, step 100"]
    assert label.get_position()[0] == 100
    assert "fork" not in [text.get_text() for one in drawing.legends for text in one.texts]


def test_legends_name_curves_and_phases_apart():
    named = [[text.get_text() for text in one.texts] for one in draw(curves()).legends]
    assert sorted(named) == [["memorisation", "cleanup"], ["test, 3 seeds", "norm"]]


def test_a_page_wide_figure_has_panels_and_a_column_has_one():
    assert draw(curves()).get_figwidth() == COLUMN
    planes = circuit.logit_planes([CircuitRun()], PHASES)
    assert draw(planes).get_figwidth() == PAGE


def test_a_long_legend_makes_the_figure_taller_instead_of_the_plot_smaller():
    many = lines("", [Curve(f"curve number {n}", STEPS, VALUES) for n in range(8)], y_title="y")
    few = lines("", [Curve("curve", STEPS, VALUES)], y_title="y")
    assert draw(many).get_figheight() > draw(few).get_figheight() + 0.4
    assert legend_columns(few, COLUMN) == 1


def test_a_heat_map_has_the_cells_and_colours_of_the_page():
    values = np.arange(8.0).reshape(2, 4)
    figure = spectrum("", [1, 2], STEPS, values, key_frequencies=[2], colour_title="norm")
    axis, bar = draw(figure).axes
    (mesh,) = axis.collections[:1]
    np.testing.assert_array_equal(np.ravel(mesh.get_array()), np.ravel(values))
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], figure["data"][0]["x"])
    assert mesh.get_rasterized()
    assert bar.get_ylabel() == "norm"


def test_circles_are_round_and_say_their_moment():
    drawing = draw(circuit.embedding_circles([CircuitRun()], PHASES))
    assert [axis.get_aspect() for axis in drawing.axes[:3]] == [1.0] * 3
    assert [axis.get_title() for axis in drawing.axes[:3]] == ["k = 3", "k = 7", "k = 8"]
    assert drawing.get_suptitle() == "step 5,000 · cleanup"


def test_bars_are_stacked():
    figure = circuit.neurons_by_frequency([CircuitRun()], ())
    axis = draw(figure).axes[0]
    tops = np.array([bar.get_y() + bar.get_height() for bar in axis.patches]).reshape(-1, 20).max(0)
    heights = np.sum([trace["y"] for trace in figure["data"] if trace["xaxis"] == "x" and trace["type"] == "bar"], 0)
    np.testing.assert_array_equal(tops, heights)


def test_every_format_is_written_by_id_with_the_same_bytes_each_time(tmp_path):
    given = [("loss", "Loss", "", curves()), ("none", "None", "", {"data": [], "layout": {}})]
    written = print_figures(given, tmp_path / "new", ("pdf", "svg", "png"))
    assert [path.name for path in written] == ["loss.pdf", "loss.svg", "loss.png"]
    again = print_figures(given, tmp_path / "again", ("pdf", "svg", "png"))
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]
    pdf = written[0].read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf  # TrueType, embedded
    assert b"/Type3" not in pdf
    assert b"<text" not in written[1].read_bytes()
    assert written[2].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "function",
    [
        figures.accuracy, figures.loss, figures.progress, figures.fourier_spectrum, figures.excluded_by_frequency,
        figures.weights, figures.weights_by_tensor, circuit.embedding_circles, circuit.logit_planes, circuit.attention,
        circuit.neurons, circuit.neurons_by_frequency, circuit.rank,
    ],
)  # fmt: skip
def test_every_figure_of_the_paper_can_be_printed_without_a_warning(function):
    run = CircuitRun(modulus=11, keys=(2, 3, 5), heads=2)
    drawing = draw(function([run], PHASES))
    drawing.draw_without_rendering()
    assert all(axis.get_window_extent().height > 60 for axis in drawing.axes if axis.axison)


def test_a_format_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"unknown print format 'gif': the known ones are pdf, png, svg\."):
        print_figures([], tmp_path, ["gif"])


def test_an_id_that_is_no_file_name_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"'\.\./a' cannot name a file"):
        print_figures([("../a", "", "", curves())], tmp_path)


def test_a_missing_matplotlib_is_told_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(GrokscopeError, match=r'pip install "grokscope\[print\]"'):
        print_figures([("loss", "", "", curves())], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GrokscopeError, match="could not write print figures to"):
        print_figures([("loss", "", "", curves())], tmp_path / "file")


def test_text_is_shown_letter_by_letter():
    assert plain("a &lt;b&gt; &amp; <b>c</b> $x$") == r"a <b> & c \$x\$"
    assert colour("rgba(0,255,0,0.5)") == (0, 1, 0, 0.5)
    assert colour("#112233") == "#112233"
