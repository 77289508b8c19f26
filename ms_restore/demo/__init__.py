"""The page of ``ms-restore demo``, on which pictures are restored in a browser."""
