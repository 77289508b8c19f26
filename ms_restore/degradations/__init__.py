"""Degradations: how the degraded image y is made from the clean image x.

Every degradation has

- ``scale``: pixels of x for each pixel of y along a side;
- ``factor``: how many times coarser the detail of y is, by which protocols cut borders;
- ``margin``: pixels of x that a patch needs on every side to be degraded as in the whole image;
- ``__call__(x, rng)``: a whole image (H, W, C), its height and width multiples of ``scale``;
- ``patches(x, rngs)``: a batch (N, C, H + 2 margin, W + 2 margin) of patches with their margin,
  each with a generator of its own;
- ``targets(x, rngs)``, where a corrupted patch as a target of training is not what ``patches``
  gives: the same, with more behind its channels for the loss;
- ``takes_spectra``, where these take the half spectra of x too, if they are stored;
- ``pairs(x, rngs)``, where a batch and its targets are made faster together than by the two above;
- ``baseline(y)``: the customary restoration that a network has to beat, and ``baseline_name``.

x holds integers, or float32 in [0, 1]. y is of the same kind, or float32 where values between and
beyond (noise is never clipped) matter. All randomness comes from the generators.
"""
