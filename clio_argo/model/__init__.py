"""Values that steps exchange. No I/O, no OpenCV, no tensorstore: a test can make all of them from literals."""
