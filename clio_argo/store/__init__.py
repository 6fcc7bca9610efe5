"""All bytes that are read and written: stores, image files, documents, volumes and buckets."""
