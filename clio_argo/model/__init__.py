"""Values that steps exchange. No I/O, no OpenCV, no tensorstore: anything here can be made in a test by hand."""
