"""Parts of one's own for ms_restore: one file each, as a package of yours would hold them."""
