"""Archives of images: what ``docker save`` writes and ``docker load`` reads, and OCI layouts in a tar.

table.py   a tar on disk -> where each member's bytes are, nothing copied
read.py    the table -> the images in it, of either form
load.py    such an image -> snapshots and a record
save.py    images -> a plan of members -> a stream of bytes
write.py   the plan -> bytes, in a worker
"""
