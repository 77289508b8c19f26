"""The networks: one ``nn.Cell`` a file, importing nothing else of this package.

All take and give NCHW float32 in [0, 1]. A network says what a caller must know of it:

- ``scale``: output pixels for each input pixel along a side;
- ``channels``: channels of its input; ``output_channels`` where its output has others;
- ``side``, where it takes only images of this height and width;
- ``size_multiple``: what the input's height and width must be multiples of;
- ``receptive_radius``: how many input pixels away an output pixel can still depend on;
- ``floats_per_pixel``: about how many float32 numbers inference holds at once for each input pixel;
- ``float16_part``, where only this cell may compute in float16; the network casts what it gives;
- ``folded()``, where it has batch normalisation: the same network without, which is what is run and
  exported.
"""
