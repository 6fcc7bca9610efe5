"""Looking at a volume: URLs of neuroglancer pages, and a server for a run on this machine.

Never writes, and never decodes a voxel. `url` is pure: values -> URL, and the only module that containers import.
`server` opens files and a socket, and needs the extra `viewer`.
"""
