"""Formats that are not read: how their files are known, and what to do with them."""

from typing import NamedTuple

FIJI = "open it in Fiji (File > Import > Bio-Formats) and save it as an image sequence of TIFF"
PICTURE = "save it as PNG or TIFF, in Fiji (File > Save As) or by ImageMagick (magick mogrify -format png FILE)"
VIDEO = "take its frames out (ffmpeg -i FILE frame.%05d.png); what its compression lost is gone"
ARRAY = "write it as TIFF: tifffile.imwrite('stack.tif', ARRAY) in Python"
ITK = "write it as TIFF: SimpleITK.WriteImage(SimpleITK.ReadImage(FILE), 'stack.tif') in Python"


class Other(NamedTuple):
    """A format that is not read. magic: bytes at an offset, of which one tells it; remedy: how files are converted."""

    name: str
    suffixes: tuple[str, ...]
    magic: tuple[tuple[int, bytes], ...]
    remedy: str

    @property
    def refusal(self) -> str:
        """What a person is told."""
        return f"{self.name} is not read: {self.remedy}"


OTHERS = (
    Other("Imaris", (".ims",), (), FIJI),
    Other("EMD", (".emd",), (), FIJI),
    Other("HDF5", (".h5", ".hdf5", ".hdf", ".he5"), ((0, b"\x89HDF\r\n\x1a\n"),), f"{ARRAY}, with h5py to read it"),
    Other("ND2", (".nd2",), ((0, b"\xda\xce\xbe\x0a"),), FIJI),
    Other("CZI", (".czi",), ((0, b"ZISRAWFILE"),), FIJI),
    Other("LIF", (".lif", ".lof", ".xlef"), ((0, b"\x70\0\0\0"),), FIJI),
    Other("DM3 or DM4", (".dm3", ".dm4"), ((0, b"\0\0\0\x03\0"), (0, b"\0\0\0\x04\0")), FIJI),
    Other("VSI", (".vsi", ".ets"), ((0, b"SIS\0"),), FIJI),
    Other("a microscope's format", (".oib", ".oif", ".oir", ".lsm", ".zvi", ".ser", ".svs", ".ndpi", ".scn", ".mrxs"),
          ((0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),), FIJI),
    Other("NumPy", (".npy", ".npz"), ((0, b"\x93NUMPY"),), f"{ARRAY}, with numpy.load to read it"),
    Other("NRRD", (".nrrd", ".nhdr"), ((0, b"NRRD0"),), ITK),
    Other("MetaImage", (".mha", ".mhd"), ((0, b"ObjectType"),), ITK),
    Other("NIfTI", (".nii", ".nii.gz"), ((344, b"n+1\0"),), ITK),
    Other("DICOM", (".dcm",), ((128, b"DICM"),), FIJI),
    Other("a file of bare values", (".raw", ".bin"), (),
          "open it in Fiji (File > Import > Raw) with its size and type, and save it as TIFF"),
    Other("JPEG 2000", (".jp2", ".j2k", ".jpx", ".jpf"), ((0, b"\0\0\0\x0cjP  "), (0, b"\xff\x4f\xff\x51")), PICTURE),
    Other("JPEG XL", (".jxl",), ((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL ")), PICTURE),
    Other("GIF", (".gif",), ((0, b"GIF8"),), PICTURE),
    Other("WebP", (".webp",), ((8, b"WEBP"),), PICTURE),
    Other("BMP", (".bmp", ".dib"), ((0, b"BM"),), PICTURE),
    Other("PSD", (".psd", ".psb"), ((0, b"8BPS"),), PICTURE),
    Other("PGM", (".pgm", ".pnm", ".pbm"), ((0, b"P5"), (0, b"P2")), PICTURE),
    Other("HEIF or AVIF", (".heic", ".heif", ".avif"), ((4, b"ftypheic"), (4, b"ftypmif1"), (4, b"ftypavif")), PICTURE),
    Other("AVI", (".avi",), ((8, b"AVI "),), VIDEO),
    Other("MP4 or MOV", (".mp4", ".mov", ".m4v"), ((4, b"ftyp"),), VIDEO),
    Other("Matroska", (".mkv", ".webm"), ((0, b"\x1a\x45\xdf\xa3"),), VIDEO),
    Other("an archive", (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"),
          ((0, b"PK\3\4"), (0, b"\x1f\x8b"), (0, b"7z\xbc\xaf"), (257, b"ustar")), "unpack it"),
)  # fmt: skip
# of a file, what the table looks at
START_BYTES = max(at + len(mark) for other in OTHERS for at, mark in other.magic)


def other_by_name(name: str) -> Other | None:
    """The format that a file's name tells; None if it tells none of these."""
    return next((o for o in OTHERS if name.lower().endswith(o.suffixes)), None)


def other_by_content(start: bytes) -> Other | None:
    """The format that the first bytes of a file tell; None if they tell none of these."""
    return next((o for o in OTHERS if any(start.startswith(mark, at) for at, mark in o.magic)), None)
