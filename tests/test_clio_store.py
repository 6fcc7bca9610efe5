"""Datasets of a clio-store: what the server does, and that a run is merged into a record without loss."""

import json
import os
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.clio_store import ClioStore, Shown, differing, merged, register
from clio_argo.errors import ClioError, StoreError, TransientError, UserError
from clio_argo.model.channels import SHOWN_IN
from clio_argo.model.grid import Channels, build_volume
from clio_argo.model.registration import Register
from clio_argo.model.request import REQUEST
from clio_argo.model.volume import VolumeChannel, VolumeSpec
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from clio_argo.store.backends import web
from clio_argo.store.documents import Store
from clio_argo.store.uploads import files_in, send
from clio_argo.viewer.channels import volume_layers
from clio_argo.workspace.registration import register_if_wanted, shown_by
from tests.clio_store import ADMIN, BLIND_ADMIN, READER, STRANGER, State, clio_store
from tests.receivers import webhook
from tests.stacks import completion, request
from tests.stores import Bucket, free_port

OLD: dict[str, Any] = {"description": "old", "title": "Fly"}
GREY = volume_layers(None, "precomputed://gs://bucket/run/ng", "em")
SHOWN = Shown("em", "gs://bucket/run/ng", GREY, (4.0, 4.0, 8.0), (10, 20, 30), "60 slices, aligned by clio-argo 0.1.0")
EXPECTED = {
    "mainLayer": "em",
    "location": "gs://bucket/run/ng",
    "dimensions": {"x": [4e-9, "m"], "y": [4e-9, "m"], "z": [8e-9, "m"]},
    "position": [10, 20, 30],
    "neuroglancer": {
        "layers": [{"name": "em", "type": "image", "source": {"url": "precomputed://gs://bucket/run/ng"}}]
    },
}


def asked(state: State, method: str, path: str, token: str = ADMIN, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of an answer, as any client sees it."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(state.url + path, data, headers, method=method)) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


# --- the server ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "token", "body", "status", "value"),
    [
        ("GET", "/v2/datasets/fly", "", None, 401, None),
        ("GET", "/v2/datasets/fly", "rejected", None, 401, None),
        ("GET", "/v2/datasets/fly/", ADMIN, None, 200, {**OLD, "tag": "v1"}),
        ("GET", "/test/v2/datasets/fly", ADMIN, None, 200, {**OLD, "tag": "v1"}),
        ("GET", "/v2/datasets/fly", STRANGER, None, 200, None),
        ("GET", "/v2/datasets/fly", BLIND_ADMIN, None, 200, None),
        ("GET", "/v2/datasets", BLIND_ADMIN, None, 200, {}),
        ("GET", "/v2/datasets/bee", ADMIN, None, 400, None),
        ("POST", "/v2/datasets", ADMIN, {"bee": OLD}, 400, {"detail": "error in POSTing datasets: {e}"}),
        ("POST", "/v2/datasets", ADMIN, {"fly": {"title": "x"}}, 422, None),
        ("POST", "/v2/datasets", ADMIN, {"fly": OLD}, 400, None),
        ("POST", "/v2/datasets", ADMIN, {"fly": {**OLD, "tag": "v0"}}, 400, None),
        ("POST", "/v2/datasets", ADMIN, {"fly": {**OLD, "tag": "v2"}}, 200, None),
        ("POST", "/v2/datasets", READER, {"fly": OLD}, 401, None),
        ("DELETE", "/v2/datasets", READER, ["fly"], 401, None),
        ("DELETE", "/v2/datasets", ADMIN, ["bee"], 200, None),
        ("POST", "/v2/server/refresh-caches", STRANGER, None, 200, None),
    ],
)
def test_the_server_answers_as_the_real_one(
    method: str, path: str, token: str, body: Any, status: int, value: Any
) -> None:
    with clio_store(fly={**OLD, "tag": "v1"}) as state:
        found = asked(state, method, path, token, body)
    assert found[0] == status
    assert found[1] == value or (value is None and status != 200)


def test_the_server_writes_what_comes_before_a_refused_one_and_drops_what_it_does_not_know() -> None:
    with clio_store(fly=OLD) as state:
        new = {"description": "new", "odd": 1}
        assert asked(state, "POST", "/v2/datasets", ADMIN, {"fly": new, "bee": OLD})[0] == 400
        assert state.datasets == {"fly": {"description": "new"}}
        state.down = True
        assert asked(state, "GET", "/v2/datasets/fly")[0] == 502


# --- what becomes of a record --------------------------------------------------------------------------------


def test_a_dataset_shows_the_run_and_keeps_the_rest() -> None:
    kept = {"description": "mine", "title": "Fly", "public": True, "tag": "v3", "versions": [{"a": 1}], "uuid": "u"}
    with clio_store(fly=kept, bee=OLD) as state:
        made = register(ClioStore.at(state.url, ADMIN), "fly", SHOWN, public=False)
        assert state.datasets == {"fly": {**kept, **EXPECTED}, "bee": OLD}
        assert sorted(made.changed) == sorted(EXPECTED)
        again = register(ClioStore.at(f"{state.url}/v2/", ADMIN), "fly", SHOWN, public=False)
        assert (again.changed, state.posts) == ([], 1)
        assert again.text == f"dataset fly in {state.url}/v2: nothing had to be changed"
        assert [path for _, path, _ in state.asked] == ["/v2/datasets/fly", "/v2/datasets"] + ["/v2/datasets/fly"] * 2


def test_it_is_public_only_on_request() -> None:
    with clio_store(fly=OLD) as state:
        store = ClioStore.at(state.url, ADMIN)
        register(store, "fly", SHOWN, public=False)
        assert state.datasets["fly"]["public"] is False
        register(store, "fly", SHOWN, public=True)
        register(store, "fly", SHOWN, public=False)
        assert state.datasets["fly"]["public"] is True


def test_a_dry_run_writes_nothing() -> None:
    with clio_store(fly=OLD) as state:
        made = register(ClioStore.at(state.url, ADMIN), "fly", SHOWN, public=False, dry_run=True)
        assert (state.posts, state.datasets) == (0, {"fly": OLD})
        assert made.record == {**OLD, **EXPECTED, "public": False}
        new = register(ClioStore.at(state.url, ADMIN), "bee", SHOWN, public=False, dry_run=True)
        assert (new.known, new.record["title"], new.record["description"]) == (False, "em", SHOWN.description)


def test_the_main_layer_keeps_its_name_and_place() -> None:
    layers = [{"name": "seg", "source": "x"}, {"name": "grey", "source": "old", "shader": "s"}]
    mine = {"name": "grey", "type": "image", "source": {"url": "precomputed://gs://bucket/run/ng"}, "shader": "s"}
    before = {**OLD, "mainLayer": "grey", "neuroglancer": {"layers": layers, "layout": "xy"}}
    made = merged(before, SHOWN, public=False)
    assert made["mainLayer"] == "grey"
    assert made["neuroglancer"] == {"layers": [layers[0], mine], "layout": "xy"}


def test_the_layers_that_the_site_reads_are_the_ones_that_change() -> None:
    neuroglancer = {"layers": [{"name": "em", "source": "unread"}]}
    made = merged({**OLD, "layers": [{"name": "seg"}], "neuroglancer": neuroglancer}, SHOWN, public=False)
    assert [layer["name"] for layer in made["layers"]] == ["seg", "em"]
    assert made["neuroglancer"] == neuroglancer
    made = merged({**OLD, "layers": [], "neuroglancer": None}, SHOWN, public=False)
    assert "layers" not in made
    assert made["neuroglancer"] == EXPECTED["neuroglancer"]


def channels(run: str, *names: str) -> Shown:
    """How a run of several channels is shown."""
    source = f"gs://bucket/{run}/ng"
    held = tuple(VolumeChannel(name=name, number=i, colour=SHOWN_IN[i]) for i, name in enumerate(names))
    spec = build_volume(request("slices"), (0, 0, 0), (64, 64, 64), "uint8", None, Channels(held))
    return replace(SHOWN, name=run, source=source, layers=volume_layers(spec, f"precomputed://{source}", run))


def test_every_channel_is_a_layer_as_in_the_link_of_the_run() -> None:
    shown = channels("fly", "EM", "GFP", "DAPI")
    made = merged(OLD, shown, public=False)
    layers = made["neuroglancer"]["layers"]
    assert made["mainLayer"] == "fly EM"
    assert layers == [{**layer, "source": {"url": layer["source"]}} for layer in shown.layers]
    assert [layer["source"]["url"] for layer in layers][1:] == [
        "precomputed://gs://bucket/fly/ng/channels/1-GFP", "precomputed://gs://bucket/fly/ng/channels/2-DAPI"
    ]  # fmt: skip
    assert all("color(default=" in layer["shader"] and layer["blend"] == "additive" for layer in layers)


def test_channels_of_the_run_before_make_room() -> None:
    before = merged(OLD, channels("fly", "EM", "GFP", "DAPI"), public=False)
    before["neuroglancer"]["layers"].insert(1, {"name": "seg", "source": "precomputed://gs://bucket/seg"})
    made = merged(before, channels("bee", "EM", "GFP"), public=False)["neuroglancer"]["layers"]
    assert [layer["name"] for layer in made] == ["fly EM", "seg", "fly GFP"]
    assert [url for layer in made if "fly/ng" in (url := str(layer["source"]))] == []
    named = merged({**OLD, "mainLayer": "grey"}, channels("bee", "EM", "GFP"), public=False)
    assert [layer["name"] for layer in named["neuroglancer"]["layers"]] == ["grey", "grey GFP"]


plain = st.none() | st.booleans() | st.integers() | st.text()
values = st.recursive(plain, lambda v: st.lists(v, max_size=2) | st.dictionaries(st.text(), v, max_size=2))
named = st.fixed_dictionaries({"name": st.sampled_from(["em", "seg", "grey"])}, optional={"source": values})
records = st.fixed_dictionaries(
    {}, optional={"mainLayer": st.sampled_from(["em", "grey"]), "layers": st.lists(named, max_size=2), "tag": plain,
                  "neuroglancer": st.dictionaries(st.sampled_from(["a", "b"]), values), "title": plain},
)  # fmt: skip


@given(records)
def test_a_second_merge_changes_nothing_and_no_field_is_lost(before: dict[str, Any]) -> None:
    made = merged(before, SHOWN, public=False)
    assert merged(made, SHOWN, public=False) == made
    changing = {*EXPECTED, "layers"}
    assert not differing({k: v for k, v in before.items() if v is not None and k not in changing}, made)
    shown = made.get("layers") or made["neuroglancer"]["layers"]
    main = [layer for layer in shown if layer["name"] == made["mainLayer"]]
    assert [layer["source"]["url"] for layer in main[:1]] == ["precomputed://gs://bucket/run/ng"]


# --- what the store refuses ----------------------------------------------------------------------------------


def refusal(state: State, dataset: str = "fly", token: str = ADMIN) -> ClioError:
    with pytest.raises(ClioError) as told:
        register(ClioStore.at(state.url, token), dataset, SHOWN, public=False)
    assert token not in str(told.value)
    assert token not in repr(told.getrepr(style="long", showlocals=False))
    return told.value


def test_a_new_dataset_is_left_to_an_admin_who_is_told_how() -> None:
    with clio_store(fly=OLD) as state:
        text = str(refusal(state, "bee"))
        assert state.datasets == {"fly": OLD}
    assert text.splitlines() == [
        f"{state.url}/v2 has no dataset bee, and takes only those that it knows "
        "(400: error in POSTing datasets: {e}). An admin makes it known once, then register again:",
        "  - create the Firestore document clio_datasets/bee with a description",
        f"  - POST {state.url}/v2/server/refresh-caches",
    ]


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("rejected", r"refuses the token \(401\)"),
        (READER, r"refuses to write dataset fly \(401\): only admins may"),
        (STRANGER, "shows nothing of dataset fly, which this account may not read"),
        (BLIND_ADMIN, "shows nothing of dataset fly, which this account may not read"),
    ],
)
def test_missing_rights_are_named_and_nothing_is_written(token: str, words: str) -> None:
    with clio_store(fly=OLD) as state:
        error = refusal(state, token=token)
        assert state.datasets == {"fly": OLD}
    assert isinstance(error, StoreError)
    with pytest.raises(StoreError, match=words):
        raise error


def test_what_passes_can_be_tried_again() -> None:
    with clio_store(fly=OLD) as state:
        state.down = True
        error = refusal(state)
    assert isinstance(error, TransientError)
    assert "answers 502: auth back end does not answer" in str(error)
    state.url = f"http://127.0.0.1:{free_port()}"
    assert "does not answer" in str(refusal(state))


def test_fields_that_are_lost_are_named() -> None:
    with clio_store(fly=OLD) as state:
        state.forgets = {"dimensions", "position"}
        text = str(refusal(state))
    assert text.endswith("dataset fly was written, and holds something else: dimensions, position")


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ((200, {}, "<html>log in</html>"), "answers with no JSON: is it a clio-store?"),
        ((200, {}, "[1]"), "shows nothing of dataset fly"),
        ((200, {}, '{"neuroglancer": 3}'), "the record of dataset fly is no dataset"),
        ((200, {}, '{"layers": [3]}'), "the record of dataset fly is no dataset"),
        ((404, {}, '{"detail": "Not Found"}'), "there is no clio-store"),
        ((422, {}, '{"detail": [{"msg": "Field required"}]}'), "takes no such record (422: "),
        ((500, {}, "<html>Internal Server Error</html>"), "answers 500: <html>Internal Server Error</html>"),
        ((500, {}, "word " * 100), " word ..."),
        ((418, {}, f"teapot\x1b of {ADMIN}"), r"answers 418: teapot\x1b of (token)"),
        ((200, {}, "[" * 100_000), "answers with no JSON"),
    ],
)
def test_other_answers_are_named(says: Any, words: str) -> None:
    with clio_store(fly=OLD) as state:
        state.says = says
        assert words in str(refusal(state))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_takes_the_token_to_another_host(status: int) -> None:
    with webhook() as (elsewhere, got), clio_store(fly=OLD) as state:
        state.says = (status, {"Location": elsewhere}, "")
        assert "redirects are not followed" in str(refusal(state))
    assert got == []


def test_no_proxy_sees_the_token_of_a_store_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with clio_store(fly=OLD) as proxy, clio_store(fly=OLD) as state:
        monkeypatch.setenv("http_proxy", proxy.url)
        register(ClioStore.at(state.url, ADMIN), "fly", SHOWN, public=False)
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://clio.example.org", "would send the token unencrypted"),
        ("http://10.0.0.1/v2", "would send the token unencrypted"),
        ("https://me:hunter2@clio.example.org", "holds more than"),
        ("https://clio.example.org?token=hunter2", "holds more than"),
        ("clio.example.org", "expected https://"),
        ("ftp://clio.example.org", "expected https://"),
        ("https://", "expected https://"),
        ("https://[::1", "Invalid IPv6"),
        ("https://clio.example.org:x", "Port could not be cast"),
    ],
)
def test_a_url_over_which_no_token_goes_is_refused(url: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as told:
        ClioStore.at(url, ADMIN)
    assert "hunter2" not in str(told.value)
    with pytest.raises(UserError, match=r"register\.store: ") as told:
        request("slices", register__store=url)
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("token", ["", "a b", "line\nbreak-7Hq", "ü-7Hq", "tab\t-7Hq"])
def test_a_token_that_is_none_is_refused_unseen(token: str) -> None:
    with pytest.raises(UserError, match="CLIO_STORE_TOKEN") as told:
        ClioStore.at("https://clio.example.org", token)
    assert "7Hq" not in str(told.value)


def test_a_token_is_not_in_the_text_of_a_store() -> None:
    assert ADMIN not in f"{ClioStore.at('https://clio.example.org', ADMIN)!r}"
    assert ClioStore.at("https://clio.example.org/test/", ADMIN).url == "https://clio.example.org/test/v2"
    assert ClioStore.at("https://clio.example.org/v3", ADMIN).url == "https://clio.example.org/v3"


def test_clients_of_buckets_are_not_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIO_STORE_TOKEN", ADMIN)
    monkeypatch.setenv("CLIO_STORE_TRIES", "3")
    found = dict(web.variables("GOOGLE_"))
    assert ("CLIO_STORE_TOKEN" in found, found["CLIO_STORE_TRIES"]) == (False, "3")


@pytest.mark.parametrize("dataset", ["a/b", "a b", "", "x" * 201, "a\n", ".."])
def test_an_id_that_is_none_is_refused(dataset: str) -> None:
    with clio_store() as state, pytest.raises(UserError, match="give --dataset"):
        register(ClioStore.at(state.url, ADMIN), dataset, SHOWN, public=False)


# --- at the end of a run -------------------------------------------------------------------------------------


def published(place: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, str | int]:
    """What the last step of a run says, with these settings in its request."""
    store = Store(place)
    before = json.loads(store.need("config.json"))
    store.write("config.json", json.dumps({**before, **config}).encode())
    monkeypatch.setenv(REQUEST, "")
    return run_step(PIPELINE["publish"], place, 0).published


def in_bucket(run: Path, bucket: Bucket) -> str:
    """A run, copied into a bucket."""
    place = f"{bucket.url}/run"
    list(send(Store(place), [(f, None) for f in files_in(run, follow=False)[0]], lambda _: None))
    return place


@pytest.mark.properties
def test_a_run_registers_itself_and_says_so(aligned: Path, gcs: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    place = in_bucket(aligned, gcs)
    monkeypatch.setenv("CLIO_STORE_TOKEN", ADMIN)
    with clio_store(fly=OLD) as state:
        said = published(place, {"register": {"store": state.url, "dataset": "fly"}}, monkeypatch)["registered"]
        record = state.datasets["fly"]
    assert said == f"dataset fly in {state.url}/v2"
    done = json.loads(Store(place).need("complete.json"))
    assert (done["registered"], done["status"]) == (said, "complete")
    assert record["location"] == f"{place}/ng"
    assert record["dimensions"]["x"] == [1e-8, "m"]
    assert [layer["name"] for layer in record["neuroglancer"]["layers"]] == ["test"]
    scale = json.loads(Store(place).need("volume.json"))["scales"][0]
    inside = zip(record["position"], scale["begin"][::-1], scale["size"][::-1], strict=True)
    assert all(begin < at < begin + size for at, begin, size in inside)


@pytest.mark.properties
def test_a_store_that_does_not_take_it_is_a_note(aligned: Path, gcs: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    place = in_bucket(aligned, gcs)
    monkeypatch.setenv("CLIO_STORE_TOKEN", READER)
    with clio_store(fly=OLD) as state:
        said = published(place, {"register": {"store": state.url, "dataset": "fly"}}, monkeypatch)["registered"]
    done = json.loads(Store(place).need("complete.json"))
    assert (done["registered"], done["status"], done["notes"]) == (said, "complete", [])
    assert str(said).startswith(f"not registered, clio-argo register {place}/ does it later: ")


@pytest.mark.parametrize(
    ("token", "there", "words"),
    [
        ("", True, "no token"),
        ("\n", True, "no token"),
        (ADMIN, False, "does not answer"),
        (READER, True, "only admins may"),
        (STRANGER, True, "shows nothing of dataset"),
    ],
)
def test_whatever_keeps_a_run_from_being_registered_is_said(
    aligned: Path, monkeypatch: pytest.MonkeyPatch, token: str, there: bool, words: str
) -> None:
    done, volume = completion(aligned), Store(str(aligned)).document(VolumeSpec, "volume.json")
    monkeypatch.setenv("CLIO_STORE_TOKEN", token)
    with clio_store(test=OLD) as state:
        wanted = Register(store=state.url if there else f"http://127.0.0.1:{free_port()}")
        away = done.model_copy(update={"ng": "gs://bucket/run/ng"})
        said = register_if_wanted(wanted, away, volume, "gs://bucket/a run")
        assert "lies on this machine" in register_if_wanted(wanted, done, volume, "run") or not token.strip()
        assert state.datasets == {"test": OLD}
    assert said.startswith("not registered, clio-argo register 'gs://bucket/a run' does it later: ")
    assert words in said
    assert token not in said or not token.strip()


def test_a_volume_without_its_finest_scales_is_shown_at_its_own(aligned: Path) -> None:
    done, volume = completion(aligned), Store(str(aligned)).document(VolumeSpec, "volume.json")
    coarse = volume.scales[0].model_copy(update={"resolution": (40, 30, 20), "begin": (8, 4, 2), "size": (2, 4, 8)})
    cut = volume.model_copy(update={"scales": (volume.scales[0], coarse), "shown": (1, 1)})
    found = shown_by(done, cut)
    assert (found.resolution_nm, found.position) == ((20, 30, 40), (6, 6, 9))


def test_a_run_that_asks_for_nothing_asks_nobody(aligned: Path) -> None:
    assert completion(aligned).registered == ""
    assert "CLIO_STORE_TOKEN" not in os.environ
