"""Looking at a volume: links for neuroglancer, and a server for a run on this machine.

Never writes, and never decodes a voxel. `link` is pure: values -> URL. `ranges` is the arithmetic of HTTP's byte
ranges. `server` is the only module that opens files or sockets.
"""
