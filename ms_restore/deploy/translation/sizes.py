"""Sizes of images that are not known yet: sums of products of heights, widths and batch sizes.

A size that is known is an ``int``; one that is not is a ``Size``, and both are calculated with
alike. Two sizes that are equal for every image are equal objects, so that a shape such as
(N, C, 2 H, 2 W) is recognised however the network calculates it.
"""

from __future__ import annotations

import dataclasses
from typing import Optional, Union

Number = Union[int, "Size"]


class Undecided(Exception):
    """A comparison of sizes has another answer for other images."""


@dataclasses.dataclass(frozen=True)
class Extent:
    """The size of a tensor of the graph along an axis; at least 1."""

    tensor: str
    axis: int


@dataclasses.dataclass(frozen=True)
class Quotient:
    """A size divided by a positive number, rounded down."""

    size: Size
    divisor: int


Factor = Union[Extent, Quotient]
Product = tuple[Factor, ...]  # () is 1


@dataclasses.dataclass(frozen=True)
class Size:
    """A sum: each product of factors, in a fixed order, and how often it is added."""

    terms: tuple[tuple[Product, int], ...]

    def __add__(self, other: Number) -> Number:
        total = dict(self.terms)
        for product, count in _terms(other):
            total[product] = total.get(product, 0) + count
        return _size(total)

    def __mul__(self, other: Number) -> Number:
        total: dict[Product, int] = {}
        for mine, count in self.terms:
            for theirs, times in _terms(other):
                product = tuple(sorted((*mine, *theirs), key=repr))
                total[product] = total.get(product, 0) + count * times
        return _size(total)

    def __sub__(self, other: Number) -> Number:
        return self + other * -1

    def __rsub__(self, other: int) -> Number:
        return self * -1 + other

    def __neg__(self) -> Number:
        return self * -1

    def __floordiv__(self, divisor: Number) -> Number:
        if not isinstance(divisor, int) or divisor < 1:
            return self._divided_by_size(divisor)
        whole = {product: count for product, count in self.terms if count % divisor == 0}
        rest = _size({product: count for product, count in self.terms if product not in whole})
        if isinstance(rest, Size):
            constant = dict(rest.terms).get((), 0)  # (x + 5) // 2 is (x + 1) // 2 + 2
            whole[()] = whole.get((), 0) + constant - constant % divisor
            rest = rest - (constant - constant % divisor)
        exact = _size({product: count // divisor for product, count in whole.items()})
        if isinstance(rest, int):
            return exact + rest // divisor
        return exact + Size((((_quotient(rest, divisor),), 1),))

    def _divided_by_size(self, divisor: Number) -> Number:
        """Where one size is a multiple of the other: (2 H) // H."""
        if isinstance(divisor, Size) and len(divisor.terms) == 1:
            (factors, times), total = divisor.terms[0], {}
            for product, count in self.terms:
                left = list(product)
                for factor in factors:
                    if factor not in left:
                        raise Undecided
                    left.remove(factor)
                if count % times:
                    raise Undecided
                total[tuple(left)] = count // times
            return _size(total)
        raise Undecided

    def __mod__(self, divisor: Number) -> Number:
        return self - (self // divisor) * divisor

    def __rfloordiv__(self, other: int) -> Number:
        raise Undecided

    __radd__ = __add__
    __rmul__ = __mul__

    def extents(self) -> set[Extent]:
        """Return the sizes of tensors that it depends on."""
        found: set[Extent] = set()
        for product, _ in self.terms:
            for factor in product:
                found |= {factor} if isinstance(factor, Extent) else factor.size.extents()
        return found


def extent(tensor: str, axis: int) -> Size:
    """Return the size of a tensor along an axis, which only an image will tell."""
    return Size((((Extent(tensor, axis),), 1),))


def least(size: Number) -> Optional[int]:
    """Return a number that the size is not below; None where none is found."""
    total = 0
    for product, count in _terms(size):
        lower = 1
        for factor in product:
            if isinstance(factor, Quotient):
                inner = least(factor.size)
                if inner is None or inner < 0:
                    return None
                lower *= inner // factor.divisor
        if count < 0 and product:
            return None
        total += count * lower
    return total


def compared(first: Number, second: Number) -> int:
    """Return -1, 0 or 1 where the first size is smaller, equal or larger for every image.

    Undecided where that depends on the image.
    """
    difference = first - second
    if difference == 0:
        return 0
    if (least(difference) or 0) > 0:
        return 1
    if (least(difference * -1) or 0) > 0:
        return -1
    raise Undecided


def equal(first: Number, second: Number) -> bool:
    """Tell whether two sizes are equal for every image; raise Undecided where only for some."""
    return compared(first, second) == 0


def product_of(sizes: tuple[Number, ...]) -> Number:
    """Return how many entries a tensor of these sizes has."""
    total: Number = 1
    for size in sizes:
        total = size * total
    return total


def _quotient(size: Size, divisor: int) -> Quotient:
    """A quotient of a quotient is one."""
    (product, count), *others = size.terms
    if not others and count == 1 and len(product) == 1 and isinstance(product[0], Quotient):
        return Quotient(product[0].size, product[0].divisor * divisor)
    return Quotient(size, divisor)


def _terms(size: Number) -> tuple[tuple[Product, int], ...]:
    return size.terms if isinstance(size, Size) else (((), size),)


def _size(total: dict[Product, int]) -> Number:
    kept = {product: count for product, count in total.items() if count}
    if set(kept) <= {()}:
        return kept.get((), 0)
    return Size(tuple(sorted(kept.items(), key=repr)))
