"""Images as MindRecord: ``prepare`` writes shards of raw tiles or patches.

``inputs`` and ``hdf5`` say what is prepared and how it is cut (``pairs`` finds the images,
``tiles`` has the grids), ``shards`` writes one file. ``sets`` opens what was written, ``records``
reads tiles, ``patches`` training patches.
"""
