"""Reviews in files: read in parts, classified by a server, by all cores or by a cluster, and written row for row."""
