"""Reports: lines, tables and progress on the terminal, and comparison pictures."""
