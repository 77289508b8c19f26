"""Degradations: how the degraded image y is made from the clean image x.

Every degradation has

- ``scale``: pixels of x for each pixel of y along a side;
- ``margin``: pixels of x that a patch needs on every side to be degraded as in the whole image;
- ``__call__(x)``: a whole image (H, W, C), its height and width multiples of ``scale``;
- ``patches(x)``: a batch (N, C, H + 2 margin, W + 2 margin) of patches with their margin;
- ``baseline(y)``: the customary restoration that a network has to beat, and ``baseline_name``.
"""
