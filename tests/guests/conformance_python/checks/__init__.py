"""One file for each interface, and the report they write into."""
