"""Voxel size and position of the stage are read from files as microscopes, Fiji and OME write them."""

import io
import struct
import time
from typing import Any

import numpy as np
import pytest
import tifffile

from clio_argo.store.images import read_headers
from clio_argo.store.images.base import Header
from tests.store.images.samples import png, png_chunk, texture

STACK = np.stack([texture(height=20, width=24, seed=s) for s in range(3)])
NONE = ((0.0, 0.0, 0.0), "", None)
SMARTSEM = """1\r\n8e-09\r\nAP_PIXEL_SIZE\r\nPixel Size = 16.00 nm\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = {size}\r
AP_STAGE_AT_X\r\nStage at X = 65.200013 mm\r\nAP_STAGE_AT_Y\r\nStage at Y = -3.1 µm\r\nDP_X\r\nNoise = 1 : 2\r\n"""
FEI = "[User]\r\nDate=1\r\n[Scan]\r\nPixelWidth={x}\r\nPixelHeight=4e-09\r\n[Stage]\r\nStageX=-0.001\r\nStageY={y}\r\n"


def written(data: np.ndarray = STACK[0], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, data, **options)
    return buffer.getvalue()


def tagged(code: int, text: str, **options: Any) -> bytes:
    data = text.encode("cp1252")
    return written(extratags=[(code, 2, len(data), data, True), *options.pop("tags", ())], **options)


def imagej(resolution: float, **metadata: Any) -> bytes:
    return written(STACK, imagej=True, resolution=(resolution, resolution), metadata={"axes": "ZYX", **metadata})


def ome(**metadata: Any) -> bytes:
    return written(STACK, ome=True, metadata={"axes": "ZYX", **metadata})


def with_phys(x: int, y: int, unit: int) -> bytes:
    data = png(STACK[0])
    return data[:33] + png_chunk(b"pHYs", struct.pack(">IIB", x, y, unit)) + data[33:]


FEI_NM, SEM_STAGE = (8.0, 4.0, 0.0), (65_200_013.0, -3100.0)
FILES = {
    "centimetres": (written(resolution=(1e7 / 8, 1e7 / 4), resolutionunit=3), ((8, 4, 0), "TIFF resolution", None)),
    "dots per inch": (written(resolution=(72, 72)), ((352_778, 352_778, 0), "TIFF resolution", None)),
    "no unit": (written(resolution=(4, 4), resolutionunit=1), NONE),
    "resolution of 0": (written(resolution=((0, 1), (0, 1)), resolutionunit=3), NONE),
    "ImageJ in nm": (imagej(0.25, unit="nm", spacing=30), ((4, 4, 30), "ImageJ", None)),
    "ImageJ in microns": (imagej(125, unit="micron", spacing=0.03), ((8, 8, 30), "ImageJ", None)),
    "ImageJ in µm": (imagej(125, unit="\\u00B5m", spacing=0.03), ((8, 8, 30), "ImageJ", None)),
    "ImageJ in um, no spacing": (imagej(125, unit="um"), ((8, 8, 0), "ImageJ", None)),
    "ImageJ in pixels": (imagej(1, unit="pixel", spacing=1), NONE),
    "OME in nm": (ome(PhysicalSizeX=4.0, PhysicalSizeXUnit="nm", PhysicalSizeY=5.0, PhysicalSizeYUnit="nm"),
                  ((4, 5, 0), "OME", None)),
    "OME in its own unit": (ome(PhysicalSizeX=0.004, PhysicalSizeY=0.004, PhysicalSizeZ=0.03),
                            ((4, 4, 30), "OME", None)),
    "OME in µm": (ome(PhysicalSizeX=0.004, PhysicalSizeXUnit="µm", PhysicalSizeY=0.004), ((4, 4, 0), "OME", None)),
    "OME without sizes": (ome(), NONE),
    "SmartSEM": (tagged(34118, SMARTSEM.format(size="8.000 nm")), ((8, 8, 0), "SmartSEM", SEM_STAGE)),
    "SmartSEM in µm": (tagged(34118, SMARTSEM.format(size="0.1 µm")), ((100, 100, 0), "SmartSEM", SEM_STAGE)),
    "SmartSEM turned": (tagged(34118, SMARTSEM.format(size="8 nm"), tags=[(274, 3, 1, 6, True)]),
                        ((8, 8, 0), "SmartSEM", SEM_STAGE)),
    "SmartSEM that is empty": (tagged(34118, "nothing of the kind"), NONE),
    "Thermo": (tagged(34682, FEI.format(x="8e-09", y="2e-6")), (FEI_NM, "FEI / Thermo", (-1_000_000.0, 2000.0))),
    "FEI": (tagged(34680, FEI.format(x="8e-09", y="?")), (FEI_NM, "FEI / Thermo", None)),
    "FEI turned": (tagged(34680, FEI.format(x="8e-09", y="?"), tags=[(274, 3, 1, 6, True)]),
                   ((4, 8, 0), "FEI / Thermo", None)),
    "FEI before dots per inch": (tagged(34680, FEI.format(x="8e-09", y="0"), resolution=(72, 72)),
                                 (FEI_NM, "FEI / Thermo", (-1_000_000.0, 0.0))),
    "FEI of nothing": (tagged(34680, FEI.format(x="", y="0")), NONE),
    "PNG in metres": (with_phys(125_000_000, 250_000_000, 1), ((8, 4, 0), "PNG resolution", None)),
    "PNG in a ratio": (with_phys(1, 1, 0), NONE),
    "PNG of 0": (with_phys(0, 1, 1), NONE),
    "PNG": (png(STACK[0]), NONE),
}  # fmt: skip


def told(data: bytes) -> list[Header]:
    return read_headers(io.BytesIO(data), len(data))


@pytest.mark.parametrize("kind", FILES)
def test_each_page_has_the_voxel_size_and_stage_of_its_file(kind: str) -> None:
    data, expected = FILES[kind]
    assert {(h.voxel_nm, h.voxel_by, h.stage_nm) for h in told(data)} == {expected}


@pytest.mark.properties
def test_a_tag_full_of_other_lines_takes_no_time() -> None:
    began = time.process_time()
    for text in ("1\r\n" * 300_000, "AP_X\n" * 200_000, "AP_X\n" + "e" * 1_000_000, "[a]\nb=\n" * 100_000):
        for code in (34118, 34682):
            told(tagged(code, text))
    told(written(description=f'<?xml version="1.0"?><OME><Pixels {"PhysicalSize" * 80_000}></Pixels></OME>'))
    assert time.process_time() - began < 4


def test_broken_metadata_lose_no_picture() -> None:
    for data in (tagged(34680, "\0" * 50), tagged(34118, "A\nB\n=\n"), written(description="ImageJ=1\n")):
        assert [h.voxel_by for h in told(data)] == [""]


def test_format_and_compression_are_told() -> None:
    kinds = {"PNG": ("PNG", ""), "LZW": ("TIFF", "LZW"), "plain": ("TIFF", "")}
    files = {"PNG": png(STACK[0]), "LZW": written(compression="lzw"), "plain": written()}
    for kind, data in files.items():
        assert [(h.format, h.compression) for h in told(data)] == [kinds[kind]]
