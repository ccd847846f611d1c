"""The reliability figure, of many images, of few and of one."""

import pytest
import torch

from alexnet import drawing
from alexnet.analysis.reliability import reliability as figure
from alexnet.evaluation.calibration import Calibration
from alexnet.evaluation.reliability import reliability


@pytest.mark.parametrize("images", [1, 3, 2000])
def test_it_shows_every_image_once(images):
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(3, images, generator=generator, dtype=torch.float64)
    rows[1] = (rows[1] > rows[0]).double()
    sharper = torch.stack([rows[0] ** 0.5, rows[1], rows[2]])
    before, after = reliability(rows, 1.0), reliability(sharper, 0.5)
    found = Calibration(0.5, "centre", "val", 9, "test", "apart", before, after, sharper[0], sharper[1])
    drawn = figure(found)
    left, right = drawn.axes
    curve = right.lines[0]
    assert curve.get_xdata()[-1] == 1
    assert curve.get_ydata()[-1] == pytest.approx(float(rows[1].mean()))
    for scatter, part in zip(left.collections, (before, after), strict=True):
        shares = (scatter.get_sizes() - 6) / 200
        counts = shares * images
        assert counts.sum() == pytest.approx(images)
        assert all(counts > min(images, 10) - 1e-6), "no point of few images"
        if images > 1000:
            assert len(counts) == sum(entry.images > 0 for entry in part.bins), "bins of many images stay apart"
        assert not scatter.get_clip_on(), "a point at (1, 1) is whole"
        x, y = (shares @ scatter.get_offsets().data).tolist()
        assert x == pytest.approx(sum(b.images * b.confidence for b in part.bins) / images)
        assert y == pytest.approx(1 - part.top1_error)
    texts = [text.get_text() for text in left.get_legend().get_texts()]
    assert texts == [
        f"temperature {t:g}: calibration error {p.calibration_error:.4f}" for t, p in ((1, before), (0.5, after))
    ]
    assert drawing.rendered(drawn).startswith(b"\x89PNG")
    for axes in (left, right):
        legend, frame = axes.get_legend().get_window_extent(), axes.get_window_extent()
        assert legend.y1 <= frame.y0, "the legend covers no curve"
        assert legend.y0 >= 0
