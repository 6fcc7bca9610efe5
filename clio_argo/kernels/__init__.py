"""Arrays in, arrays out. No files, no configuration."""


def limit_threads() -> None:
    """One thread per process for OpenCV, whose threads cannot be limited from the environment."""
    import cv2

    cv2.setNumThreads(1)
