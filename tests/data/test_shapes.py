"""Pictures of shapes: captions there and back, what is drawn, what the checker sees and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.shapes import (
    CAPTION_LENGTH,
    COLOURS,
    PLACES,
    SHAPES,
    WORDS,
    Found,
    Request,
    check,
    find,
    requests,
    shape_scenes,
    tokens,
)

REQUESTS = st.builds(
    Request, st.integers(1, 3), st.sampled_from(list(COLOURS)), st.sampled_from(SHAPES), st.sampled_from(PLACES)
)


def drawn(request, size=24, seed=0, noise=0.02):
    """A picture of one request: the first of many scenes that has it."""
    data = shape_scenes(1500, size, seed, "all", noise)
    return data.images[data.requests.index(request)]


@given(REQUESTS)
def test_a_caption_is_read_as_its_request(request):
    assert Request.parse(request.caption) == request
    assert Request.parse(request.caption.upper()) == request
    words = [WORDS[n] for n in tokens([request.caption])[0]]
    assert " ".join(words) == request.caption


def test_words_and_parts():
    assert len(set(WORDS)) == len(WORDS) == 2 + 3 + 4 + 2 * 3 + 4
    every, train, held_out = (requests(part) for part in ("all", "train", "held_out"))
    assert len(every) == len(set(every)) == 3 * 4 * 3 * 4
    assert set(train) | set(held_out) == set(every)
    assert not set(train) & set(held_out)
    assert 0.1 < len(held_out) / len(every) < 0.25
    for request in held_out:  # every two words of it stand together in a caption that is learned from
        values = vars(request)
        for first in values:
            for second in values:
                pair = {first: values[first], second: values[second]}
                assert any(pair.items() <= vars(other).items() for other in train)


@pytest.mark.parametrize("size", [24, 29, 32])
def test_the_checker_agrees_with_every_picture_and_refuses_each_wrong_word(size):
    data = shape_scenes(300, size, seed=size, part="all")
    for image, request in zip(data.images, data.requests, strict=True):
        assert check(image, request) == dict.fromkeys(("number", "colour", "shape", "place"), True)
    for image, request in list(zip(data.images, data.requests, strict=True))[:60]:
        colour = next(c for c in COLOURS if c != request.colour)
        shape = next(s for s in SHAPES if s != request.shape)
        opposite = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}[request.place]
        for name, wrong in (
            ("number", request.number % 3 + 1), ("colour", colour), ("shape", shape), ("place", opposite),
        ):  # fmt: skip
            answer = check(image, replace(request, **{name: wrong}))
            assert [part for part, good in answer.items() if not good] == [name]


def test_a_picture_holds_what_its_request_says():
    """By counting pixels, without the checker."""
    request = Request(3, "red", "square", "left")
    image = drawn(request, 24, noise=0.0)
    lit = image.max(-1) > 0
    assert lit.sum() == 3 * 6 * 6  # squares of 8 - 2
    assert not lit[:, 8:].any()
    colours = image[lit] / image[lit].max(-1, keepdims=True)
    np.testing.assert_allclose(colours, np.tile(np.array(COLOURS["red"]) / 0.9, (108, 1)), rtol=1e-5)
    assert 0.8 * 0.9 - 1e-6 <= image.max() <= 0.9
    circle, triangle = (drawn(replace(request, shape=shape), 32, noise=0.0).max(-1) > 0 for shape in SHAPES[::2])
    assert circle.sum() == 3 * 52  # pixels of an 8 x 8 square whose middles are at most 4 from its own
    assert triangle.sum() < circle.sum()


def test_draws_cover_all_cells_and_all_requests():
    data = shape_scenes(1500, 24, seed=3, part="train")
    assert set(data.requests) == set(requests("train"))
    cells = {(one.row, one.column) for image in data.images[:200] for one in find(image)}
    assert cells == {(row, column) for row in range(3) for column in range(3)} - {(1, 1)}  # no place names the middle
    first, again, other = (shape_scenes(5, 24, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.images, again.images)
    assert np.abs(first.images - other.images).max() > 0.5
    assert not any(request.held_out for request in data.requests)
    assert all(request.held_out for request in shape_scenes(50, 24, seed=0, part="held_out").requests)


@settings(max_examples=20, deadline=None)
@given(REQUESTS, st.integers(0, 1000))
def test_the_checker_bears_a_blurred_picture(request, seed):
    """What a model makes is not sharp: each pixel mixed with its neighbours."""
    image = shape_scenes(1, 32, seed, "all").images[0]
    blurred = 0.6 * image + 0.1 * sum(np.roll(image, step, axis) for axis in (0, 1) for step in (-1, 1))
    assert find(np.clip(blurred, 0, 1)) == find(image)


def test_what_is_found():
    image = np.zeros((30, 30, 3))
    image[1:9, 1:9] = COLOURS["blue"]
    image[21:29, 11:19] = COLOURS["green"]
    image[15, 25] = 1.0  # a speck
    image[2:9, 21:29] = 0.3  # too dark
    assert find(image) == [Found("green", "square", 2, 1), Found("blue", "square", 0, 0)]
    assert check(image, Request(2, "green", "square", "left")) == {
        "number": True, "colour": False, "shape": True, "place": False,
    }  # fmt: skip
    nothing = check(np.zeros((24, 24, 3)), Request(1, "red", "circle", "top"))
    assert nothing == dict.fromkeys(("number", "colour", "shape", "place"), False)


def test_scenes_are_taken_by_number():
    data = shape_scenes(6, 24, seed=0)
    part = data.take([4, 1])
    assert len(part) == 2
    assert part.captions == [data.captions[4], data.captions[1]]
    np.testing.assert_array_equal(part.images, data.images[[4, 1]])
    assert data.tokens.shape == (6, CAPTION_LENGTH)
    assert len(data.take(slice(0, 3))) == 3


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Request(4, "red", "circle", "top"), ValueError, "number is 4; it must be from 1 to 3"),
        (lambda: Request(1, "pink", "circle", "top"), ValueError, "colour is 'pink'; allowed are 'red'"),
        (lambda: Request(1, "red", "star", "top"), ValueError, "shape is 'star'"),
        (lambda: Request(1, "red", "circle", "middle"), ValueError, "place is 'middle'"),
        (lambda: Request.parse("two red circle at the top"), ValueError, "caption is 'two red circle at the top'"),
        (lambda: Request.parse("a cat"), ValueError, "caption is 'a cat'; it must be like"),
        (lambda: requests("test"), ValueError, "part is 'test'; allowed are 'all', 'train', 'held_out'"),
        (lambda: shape_scenes(1, 20), ValueError, "size is 20"),
        (lambda: shape_scenes(0), ValueError, "count is 0"),
        (lambda: find(np.zeros((24, 24))), ValueError, r"image has shape \(24, 24\)"),
        (lambda: find(np.zeros((24, 30, 3))), ValueError, r"image has shape \(24, 30, 3\); it must be"),
        (lambda: check(np.zeros((24, 24, 3)), "one"), TypeError, "request is of type str"),
    ],
)
def test_bad_input_says_why(call, error, text):
    with pytest.raises(error, match=text):
        call()
