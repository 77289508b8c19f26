"""Images as MindRecord: ``prepare`` writes shards of raw tiles, ``records`` reads them.

``pairs`` finds what to prepare, ``tiles`` says how an image is cut, ``shards`` writes one file.
"""
