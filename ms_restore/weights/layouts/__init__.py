"""Known layouts of weights: the names and scaling of parameters in published implementations.

A layout is recognised by the names in a file, and the shapes give the network's settings. Sources
of the names, ranges and constants are the public repositories SaoYan/DnCNN-PyTorch, cszn/KAIR,
cszn/DnCNN, cszn/FFDNet, cszn/IRCNN, sanghyun-son/EDSR-PyTorch, XPixelGroup/BasicSR,
xinntao/ESRGAN, xinntao/Real-ESRGAN, siavashBigdeli/DMSP, cchen156/Learning-to-See-in-the-Dark and
lavi135246/pytorch-Learning-to-See-in-the-Dark.
"""

from ms_restore.weights.layouts import (
    denoisers,
    real_esrgan,
    see_in_the_dark,
    super_resolution,
    transformers,
    u_nets,
)
from ms_restore.weights.layouts.layout import Layout

LAYOUTS: tuple[Layout, ...] = (
    *denoisers.LAYOUTS,
    *super_resolution.LAYOUTS,
    *real_esrgan.LAYOUTS,
    *see_in_the_dark.LAYOUTS,
    *u_nets.LAYOUTS,
    *transformers.LAYOUTS,
)
