"""The digest of a manifest is that of its objects, in whatever order units wrote them."""

import shutil
from pathlib import Path

import pytest

from clio_argo.maintenance.verify import verify
from clio_argo.store.documents import Store
from clio_argo.store.manifest import read_record, write_record
from tests.stacks import completion


@pytest.mark.properties
def test_digest_does_not_depend_on_the_order_of_objects(aligned: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(aligned, tmp_path / "out"))
    store = Store(str(out))
    record = read_record(store, "render", 0)
    assert record is not None
    assert len(record.objects) > 1
    write_record(store, record.model_copy(update={"objects": record.objects[::-1]}))
    verification = verify(out, "quick", workers=1)
    assert (verification.faults, verification.manifest) == ((), completion(out).manifest)
