"""The pictures for style transfer: what travels with the package is what its scripts draw, each from a seed."""

import importlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from gluonbook import data

FOLDER = Path(__file__).resolve().parent.parent / "datasets" / "images"
SIZES = {  # width, height
    "lake": (1200, 800),
    "harbour": (1200, 800),
    "impressionist": (920, 720),
    "stained_glass": (900, 700),
    "woodcut": (920, 700),
    "watercolour": (900, 700),
}
STYLES = ("impressionist", "stained_glass", "woodcut", "watercolour")


@pytest.fixture(scope="module")
def scripts():
    """The scripts import each other as siblings, as they do when one is run; their names leave with the fixture."""
    siblings = {path.stem for path in FOLDER.glob("*.py")}
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder's files travel with the package
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
    sys.dont_write_bytecode = before
    for name in siblings:
        sys.modules.pop(name, None)


def shipped(name):
    return data.read_picture(FOLDER / f"{name}.jpg")


def small(scripts, name, seed=0):
    """Draw a picture at a fifth of its size, the lake with mountains that few drops have worn."""
    extra = {"drops": 2_000} if name == "lake" else {}
    return scripts(name).draw(seed, SIZES[name][0] // 5, oversampling=1, **extra)


def blocks(picture):
    """Means over 12x8 blocks: what is seen with half-closed eyes."""
    return cv2.resize(picture.astype(np.float32), (12, 8), interpolation=cv2.INTER_AREA)


def test_each_maker_has_its_picture_and_no_other_is_there(scripts):
    assert set(scripts("make_images").MAKERS) == set(SIZES) == {path.stem for path in FOLDER.glob("*.jpg")}


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
    assert shipped(name).shape == (*reversed(SIZES[name]), 3)


def test_they_are_under_2_mb():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.jpg")) < 2e6


@pytest.mark.parametrize("name", STYLES)
def test_a_small_drawing_resembles_what_travels(scripts, name):
    """At a fifth of the size each thing is at its place, in its colour; texture finer than a block is not compared."""
    drawn = small(scripts, name)
    assert drawn.shape == (*(side // 5 for side in reversed(SIZES[name])), 3)
    assert drawn.dtype == np.uint8
    difference = np.abs(blocks(drawn) - blocks(shipped(name)))
    assert difference.mean() < 20
    assert np.corrcoef(blocks(drawn).ravel(), blocks(shipped(name)).ravel())[0, 1] > 0.9


QUICK = ("stained_glass", "woodcut")  # the others take a while to draw even when they are small


@pytest.mark.parametrize("name", QUICK)
def test_a_seed_gives_the_same_picture_twice_and_another_another(scripts, name):
    first = small(scripts, name)
    assert np.array_equal(small(scripts, name), first)
    assert np.abs(small(scripts, name, seed=1).astype(int) - first).mean() > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_drawn_again_it_is_what_travels(scripts, name, tmp_path):
    """To JPEG's rounding, which another build of the library may do otherwise."""
    path = scripts("make_images").write(name, tmp_path)
    again = data.read_picture(path).astype(int)
    assert np.abs(again - shipped(name)).mean() < 1


def test_styles_differ_in_palette_and_in_texture():
    """Each pair differs in its mean colour, or in how its fine detail is spread over the colours."""
    signs = []
    for name in STYLES:
        picture = shipped(name).astype(np.float32) / 255
        fine = picture - cv2.GaussianBlur(picture, (0, 0), 2)
        signs.append(np.concatenate([picture.mean((0, 1)), np.abs(fine).mean((0, 1)) * 4]))
    for i, one in enumerate(signs):
        assert all(np.abs(one - other).max() > 0.1 for other in signs[i + 1 :])


def test_the_script_draws_what_it_is_asked_for(tmp_path):
    wrong = subprocess.run(
        [sys.executable, "-B", "make_images.py", "mona_lisa", "--out", str(tmp_path)],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2
    assert "no picture mona_lisa: choose from lake, harbour" in wrong.stderr
    assert not list(tmp_path.iterdir())


def test_perlin_noise_is_zero_on_its_lattice_and_smooth_between(scripts):
    texture = scripts("texture")
    lattice = np.arange(-5, 6, dtype=np.float32)
    assert np.abs(texture.perlin(lattice, lattice[::-1], seed=3)).max() == 0
    x = np.linspace(-4, 4, 4001, dtype=np.float32)
    values = texture.perlin(x, 0.37 + 0 * x, seed=3)
    assert np.abs(np.diff(values)).max() < 0.02
    assert values.std() > 0.1


def test_erosion_moves_ground_and_makes_little_of_it(scripts):
    """What drops take from the slopes they leave in the valley; the roof-shaped hill gets gullies."""
    terrain = scripts("terrain")
    hill = 60 - np.abs(np.mgrid[0:64, 0:64][0] - 32.0) * 1.5
    worn = terrain.erode(hill, 1.0, np.random.default_rng(0), drops=400, rounds=4)
    assert worn.mean() == pytest.approx(hill.mean(), rel=0.02)
    assert worn[20].std() > 10 * hill[20].std() + 0.01


def test_first_hits_agree_with_marching_along_each_ray(scripts):
    terrain = scripts("terrain")
    rng = np.random.default_rng(0)
    depths = np.linspace(10, 100, 300).astype(np.float32)
    heights = np.cumsum(rng.normal(0, 0.4, (300, 7)), 0).astype(np.float32)
    camera = terrain.Camera(7, 40, 30.0, 20.0, 5.0)
    found = terrain.first_hits(heights, depths, camera)
    up, _ = camera.tangents()
    for row in range(40):
        for column in range(7):
            reached = camera.z + depths * up[row] <= heights[:, column]
            expected = reached.argmax() if reached.any() else np.inf
            assert np.ceil(found[row, column]) == pytest.approx(expected, abs=1)


def test_a_nearer_face_hides_a_farther_one(scripts):
    solids = scripts("solids")
    square = np.array([(2, 2), (8, 2), (8, 8), (2, 8)], float)
    owner, near = solids.rasterise([square, square + 3], [np.full(4, 0.5), np.full(4, 0.2)], (12, 12))
    assert (owner == 0).sum() == 36
    assert (owner == 1).sum() == 36 - 9
    assert owner[6, 6] == 0
    assert near[10, 10] == pytest.approx(0.2)


def test_a_face_is_cut_at_the_waterline(scripts):
    solids = scripts("solids")
    wall = np.array([(0, 5, -1), (4, 5, -1), (4, 5, 3), (0, 5, 3)], float)
    cut = solids.above_water(wall)
    assert cut[:, 2].min() == 0
    assert {tuple(corner) for corner in cut} == {(0, 5, 0), (4, 5, 0), (4, 5, 3), (0, 5, 3)}
    assert len(solids.above_water(wall - (0, 0, 9))) == 1
