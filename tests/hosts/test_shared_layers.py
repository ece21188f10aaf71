"""What images take together is told from what each takes, never more than is true."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hosts.runners.docker.shared_layers import LayeredImage, bytes_of

SIZES = {"base": 100, "python": 50, "torch": 900, "a": 3, "b": 7, "c": 11}


def told(stacks: dict[str, tuple[str, ...]], sizes: dict[str, int]) -> list[LayeredImage]:
    """As a daemon tells of images, each a stack of layers."""
    images = []
    for name, layers in stacks.items():
        shared = [
            layer
            for depth, layer in enumerate(layers)
            if any(
                other[: depth + 1] == layers[: depth + 1]
                for image, other in stacks.items()
                if image != name
            )
        ]
        images.append(
            LayeredImage(
                name, layers, sum(sizes[one] for one in layers), sum(sizes[one] for one in shared)
            )
        )
    return images


def truly_freed(chosen: set[str], stacks: dict[str, tuple[str, ...]], sizes: dict[str, int]) -> int:
    def beginnings(names: set[str]) -> set[tuple[str, ...]]:
        return {stacks[name][: depth + 1] for name in names for depth in range(len(stacks[name]))}

    alone = beginnings(chosen) - beginnings(set(stacks) - chosen)
    return sum(sizes[stack[-1]] for stack in alone)


def test_a_layer_that_only_the_chosen_share_comes_free_once() -> None:
    images = told({"one": ("base", "torch", "a"), "two": ("base", "torch", "b")}, SIZES)

    assert bytes_of({"one"}, images) == 3
    assert bytes_of({"one", "two"}, images) == 100 + 900 + 3 + 7


def test_a_base_that_another_image_needs_stays() -> None:
    images = told(
        {
            "one": ("base", "torch", "a"),
            "two": ("base", "torch", "b"),
            "other": ("base", "c"),
        },
        SIZES,
    )

    assert bytes_of({"one", "two"}, images) == 900 + 3 + 7


def test_the_same_layer_upon_another_is_another_layer() -> None:
    images = told({"one": ("base", "a"), "two": ("python", "a")}, SIZES)

    assert bytes_of({"one"}, images) == 103


def test_an_image_below_another_frees_nothing() -> None:
    images = told({"below": ("base",), "above": ("base", "a")}, SIZES)

    assert bytes_of({"below"}, images) == 0
    assert bytes_of({"above"}, images) == 3
    assert bytes_of({"below", "above"}, images) == 103


def test_a_beginning_whose_size_nobody_tells_is_left_out() -> None:
    images = told(
        {
            "one": ("base", "torch", "a"),
            "two": ("base", "torch", "b"),
            "three": ("base", "python", "a"),
            "four": ("base", "python", "b"),
        },
        SIZES,
    )

    assert bytes_of({"one", "two"}, images) < 900 + 3 + 7
    assert bytes_of({"one", "two"}, images) == 3 + 7


def test_an_image_without_layers_takes_nothing() -> None:
    assert bytes_of({"one"}, told({"one": (), "two": ("a",)}, SIZES)) == 0


stacks = st.dictionaries(
    st.sampled_from("tuvwxyz"),
    st.lists(st.sampled_from(sorted(SIZES)), max_size=4).map(tuple),
    max_size=7,
)


@given(stacks, st.sets(st.sampled_from("tuvwxyz")))
def test_never_more_is_foretold_than_comes_free(
    layers: dict[str, tuple[str, ...]], chosen: set[str]
) -> None:
    chosen &= set(layers)
    images = told(layers, SIZES)

    assert bytes_of(chosen, images) <= truly_freed(chosen, layers, SIZES)


@given(stacks)
def test_of_one_image_exactly_what_comes_free_is_foretold(
    layers: dict[str, tuple[str, ...]],
) -> None:
    images = told(layers, SIZES)
    for name in layers:
        assert bytes_of({name}, images) == truly_freed({name}, layers, SIZES)
