"""The road-sign renderer: the same pictures always, in any company; masks and classes where they should be."""

import numpy as np
import pytest
import torch

from holdfast.core.errors import DataError
from holdfast.data import road_signs
from holdfast.data.road_signs import CLASSES, render
from holdfast.data.signs import glyphs, shapes
from holdfast.data.signs.templates import SIGNS, templates


@pytest.fixture(scope="module")
def pictures():
    return render(320, seed=11)


def test_the_classes_that_are_promised():
    assert len(CLASSES) == len(set(CLASSES)) >= 12
    assert {"stop", "yield", "no entry", "priority road", "speed limit 30", "speed limit 80"} <= set(CLASSES)


def test_pictures_are_images_of_8_bits_with_masks(pictures):
    assert pictures.x.shape == (320, 3, 32, 32)
    assert pictures.x.dtype == torch.float32
    assert bool(pictures.space.validate(pictures.x).all())
    assert bool((pictures.x * 255 - (pictures.x * 255).round()).abs().max() < 1e-4)
    assert pictures.masks.shape == (320, 32, 32)
    assert pictures.masks.dtype == torch.bool
    assert pictures.classes == CLASSES
    assert pictures.license == "CC0-1.0"
    assert len(set(pictures.digests)) == 320


@pytest.mark.parametrize(("start", "n"), [(0, 1), (0, 40), (17, 3), (255, 9), (300, 20)])
def test_a_picture_is_the_same_in_any_company(pictures, monkeypatch, start, n):
    monkeypatch.setattr(road_signs, "TOGETHER", 7)
    alone = render(n, seed=11, start=start)
    rows = slice(start, start + n)
    assert torch.equal(alone.x, pictures.x[rows])
    assert torch.equal(alone.y, pictures.y[rows])
    assert torch.equal(alone.masks, pictures.masks[rows])
    assert alone.ids.tolist() == list(range(start, start + n))


def test_seeds_differ_and_the_global_random_state_plays_no_part(pictures):
    state = torch.random.get_rng_state()
    assert not set(render(32, seed=12).digests) & set(pictures.digests)
    torch.random.manual_seed(5)
    assert render(5, seed=11).digests == pictures.digests[:5]
    torch.random.set_rng_state(state)


def test_rendering_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    render(3, seed=1)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_every_run_of_16_holds_every_class_once(pictures):
    runs = pictures.y.reshape(-1, len(CLASSES))
    assert bool((runs.sort(1).values == torch.arange(len(CLASSES))).all())
    assert len({tuple(run.tolist()) for run in runs}) == len(runs)


def test_masks_lie_on_the_signs(pictures):
    share = pictures.masks.float().mean((1, 2))
    assert share.min() > 0.02
    assert 0.15 < share.mean() < 0.35
    assert share.max() < 0.7
    inner = pictures.masks[:, 10:22, 10:22].float().mean()
    outer = pictures.masks[:, [0, -1]].float().mean()
    assert inner > 4 * outer
    red = pictures.x[:, 0] - pictures.x[:, 1:].mean(1)
    stop = pictures.y == CLASSES.index("stop")
    blue = pictures.y == CLASSES.index("ahead only")
    on, off = ((red * mask).sum((1, 2)) / mask.sum((1, 2)) for mask in (pictures.masks, ~pictures.masks))
    assert (on - off)[stop].median() > 0.08
    assert (on - off)[blue].median() < -0.05


def test_sizes():
    big = render(4, seed=11, size=64)
    assert big.x.shape == (4, 3, 64, 64)
    small = torch.nn.functional.avg_pool2d(big.masks[:, None].float(), 2)[:, 0] >= 0.5
    assert (small != render(4, seed=11).masks).float().mean() < 0.03
    assert len(render(0, seed=11)) == 0
    for bad in ({"n": -1}, {"n": 1, "size": 8}, {"n": 1, "size": 4096}, {"n": 1, "start": -1}):
        with pytest.raises(DataError) as caught:
            render(**bad)
        assert caught.value.code == "HF113"


def test_parts_are_rendered_once_and_cannot_be_spoiled(monkeypatch):
    road_signs._rendered.cache_clear()
    monkeypatch.delenv("HOLDFAST_CACHE_DIR", raising=False)
    monkeypatch.setattr(road_signs, "PARTS", {"train": (48, 1), "val": (16, 2), "test": (32, 3)})
    first = road_signs.splits()
    wanted = first.test.digests
    first.test.x.zero_()
    second = road_signs.splits()
    assert second.test.digests == wanted
    assert (len(second.train), len(second.val), len(second.test)) == (48, 16, 32)
    assert second.val.split == "val"
    assert not set(second.train.digests) & set(second.test.digests)
    road_signs._rendered.cache_clear()


def test_parts_are_kept_on_disk_only_where_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(road_signs, "PARTS", {"train": (16, 1), "val": (16, 2), "test": (16, 3)})
    monkeypatch.setenv("HOLDFAST_CACHE_DIR", str(tmp_path / "cache"))
    road_signs._rendered.cache_clear()
    made = road_signs.splits()
    files = sorted((tmp_path / "cache").iterdir())
    assert len(files) == 3
    assert made.test.digests == render(16, 3).digests
    files[0].write_bytes(b"damaged")
    road_signs._rendered.cache_clear()
    again = road_signs.splits()
    assert (again.train.digests, again.test.digests) == (made.train.digests, made.test.digests)
    assert torch.equal(again.test.masks, made.test.masks)
    road_signs._rendered.cache_clear()


def test_templates_are_what_the_rules_of_the_road_say():
    drawn = dict(zip(SIGNS, templates(), strict=True))
    for name, image in drawn.items():
        assert image.min() >= 0, name
        assert bool((image[:3] <= image[3:] + 1e-6).all()), name
        assert 0.3 < image[3].mean() < 0.9, name

    def color(name, across, down):
        return drawn[name][:3, round((down + 1) * 48), round((across + 1) * 48)].tolist()

    red, white, blue, yellow = (
        pytest.approx(c, abs=0.02) for c in ((0.78, 0.07, 0.10), (0.95,) * 3, (0.05, 0.27, 0.62), (0.97, 0.78, 0.08))
    )
    assert color("speed limit 50", 0.82, 0) == color("stop", 0, 0.6) == color("no entry", 0, 0.5) == red
    assert color("no entry", 0, 0) == color("yield", 0, -0.3) == color("ahead only", 0, 0) == white
    assert color("turn left", 0, -0.5) == blue
    assert color("priority road", 0, 0) == yellow
    assert torch.allclose(drawn["turn left"], drawn["turn right"].flip(2), atol=1e-4)
    assert torch.allclose(drawn["bend left"], drawn["bend right"].flip(2), atol=1e-4)
    assert not torch.allclose(drawn["turn left"], drawn["turn right"], atol=0.5)
    assert all(bool((a != b).any()) for i, a in enumerate(templates()) for b in templates()[:i])


def test_distances_and_letters():
    x, y = shapes.plane(64)
    cover = {
        "disc": (shapes.disc(x, y, 0.5), 3.14159 * 0.25),
        "box": (shapes.box(x, y, (0.1, 0), (0.3, 0.5)), 0.6),
        "capsule": (shapes.capsule(x, y, (-0.4, 0), (0.4, 0), 0.2), 0.32 + 3.14159 * 0.04),
        "square": (shapes.regular(x, y, 4, 0.5), 1.0),
        "triangle": (shapes.convex(x, y, [(-0.5, -0.5), (0.5, -0.5), (0, 0.5)]), 0.5),
    }
    for name, (distance, area) in cover.items():
        assert float(shapes.coverage(distance, 2 / 64).mean() * 4) == pytest.approx(area, abs=0.02), name
    assert glyphs.bitmap("50").shape == (7, 11)
    rows = ["".join("#" if point else "." for point in row) for row in glyphs.bitmap("1")]
    assert rows[0] == "..##."
    words = [glyphs.written(x, y, word, (0, 0), (0.6, 0.4)) for word in ("20", "30", "50", "60", "80")]
    for i, word in enumerate(words):
        assert 0.03 < word.mean() < 0.2
        assert all((word - other).abs().mean() > 0.008 for other in words[:i])
