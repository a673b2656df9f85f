"""Images that records name: those in the folder, and never anything else."""

import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.errors import ContentError
from gato_data.readers.corpora.image_folder import ImageFolder, encoded_images
from gato_data.storage import files

IMAGES = {"a.jpg": b"image a", "below/b.png": b"image b", "é %20#?.jpg": b"image c"}


@pytest.fixture(params=["disk", "file", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> ImageFolder:
    """A folder of images with a secret beside it."""
    root = str(tmp_path)
    root = {"file": f"file://{root}", "memory": f"memory://{uuid.uuid4().hex}"}.get(
        request.param, root
    )
    for name, data in IMAGES.items():
        files.publish_bytes(files.join(root, "images", name), data)
    files.publish_bytes(files.join(root, "secret"), b"secret")
    files.publish_bytes(files.join(root, "images-too", "secret"), b"secret")
    return ImageFolder(files.join(root, "images"), 100)


def on_disk(folder: Path, largest: int = 100) -> ImageFolder:
    """The images of `folder`, which is made, with a secret beside them."""
    (folder / "images").mkdir()
    (folder / "images" / "a.jpg").write_bytes(b"image a")
    (folder / "secret").write_bytes(b"secret")
    return ImageFolder(str(folder / "images"), largest)


def test_images_are_found_in_the_folder_and_below(folder: ImageFolder) -> None:
    assert {name: folder.read(name) for name in IMAGES} == IMAGES
    assert folder.read("./below/./b.png") == b"image b"
    assert folder.read("below//b.png") == b"image b"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../secret",
        "below/../../secret",
        "below/../a.jpg",
        "./../secret",
        "a/..",
        "../images-too/secret",
        "/etc/passwd",
        "//etc/passwd",
        "..\\secret",
        "below\\..\\..\\secret",
        "below/..\\../secret",
        "file:///etc/passwd",
        "http://localhost/a.jpg",
        "x/file:///etc/passwd",
        "simplecache::file:///etc/passwd",
        "\0",
        "a.jpg\0",
        "../secret\0.jpg",
    ],
)
def test_a_name_that_leads_out_is_refused(folder: ImageFolder, name: str) -> None:
    with pytest.raises(ContentError, match=r"the image name .* leads out of"):
        folder.read(name)


@pytest.mark.parametrize(
    "name",
    [".", "below", "below/", "missing.jpg", "./x", "a.jpg/b", "A.JPG", "~", "*.jpg", "a.jp?"],
)
def test_what_is_no_file_is_missing(folder: ImageFolder, name: str) -> None:
    with pytest.raises(ContentError, match="there is no image"):
        folder.read(name)


def test_an_image_may_have_as_many_bytes_as_the_limit_and_no_more(folder: ImageFolder) -> None:
    assert ImageFolder(folder.path, 7).read("a.jpg") == b"image a"
    with pytest.raises(ContentError, match=r"'a.jpg' of 7 bytes .*`limits.record_bytes` 6"):
        ImageFolder(folder.path, 6).read("a.jpg")


@pytest.mark.parametrize("name", ["a.jpg::file", "a.jpg::memory", "x\n", ".\n./secret", "a\x7f"])
def test_names_that_addresses_read_otherwise_are_refused_in_stores(name: str) -> None:
    path = f"memory://{uuid.uuid4().hex}"
    files.publish_bytes(files.join(path, "a.jpg"), b"image a")
    with pytest.raises(ContentError, match="mean something else in an address"):
        ImageFolder(path, 100).read(name)


@pytest.mark.parametrize("name", ["%2e%2e/secret", "a.jpg?x=1", "a#b", "%2fetc"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_names_that_servers_read_otherwise_are_refused(scheme: str, name: str) -> None:
    with pytest.raises(ContentError, match="mean something else in an address"):
        ImageFolder(f"{scheme}://localhost:9/images", 100).read(name)


@pytest.mark.parametrize("scheme", ["", "file://", "local://"])
def test_a_link_is_followed_inside_the_folder_only(tmp_path: Path, scheme: str) -> None:
    images = tmp_path / "images"
    inside = on_disk(tmp_path)
    folder = ImageFolder(f"{scheme}{inside.path}", 100)
    (tmp_path / "images-too").mkdir()
    (tmp_path / "images-too" / "a.jpg").write_bytes(b"secret")
    (images / "in.jpg").symlink_to("a.jpg")
    (images / "out.jpg").symlink_to("../secret")
    (images / "absolute.jpg").symlink_to("/etc/passwd")
    (images / "folder").symlink_to(tmp_path)
    (images / "beside").symlink_to(tmp_path / "images-too")
    (images / "twice.jpg").symlink_to("out.jpg")
    assert folder.read("in.jpg") == b"image a"
    for name in ("out.jpg", "absolute.jpg", "folder/secret", "beside/a.jpg", "twice.jpg"):
        with pytest.raises(ContentError, match="is a link that leads out of"):
            folder.read(name)
    assert folder.read("folder/images/a.jpg") == b"image a"


def test_the_folder_itself_may_be_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk(tmp_path)
    (tmp_path / "link").symlink_to("images")
    monkeypatch.chdir(tmp_path)
    for path in (str(tmp_path / "link"), "link", "images/", "./images"):
        assert ImageFolder(path, 100).read("a.jpg") == b"image a"
    monkeypatch.chdir("images")
    assert ImageFolder(".", 100).read("a.jpg") == b"image a"


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "\udc80", "a\ud800", "loop", "pipe"])
def test_a_name_that_no_file_can_have_is_the_records_fault(tmp_path: Path, name: str) -> None:
    folder = on_disk(tmp_path)
    os.symlink("loop", tmp_path / "images" / "loop")
    os.mkfifo(tmp_path / "images" / "pipe")
    with pytest.raises(ContentError) as caught:
        folder.read(name)
    assert len(str(caught.value)) < 600


def test_a_storage_that_fails_is_no_fault_of_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = on_disk(tmp_path)

    def fail(path: str, offset: int, size: int) -> bytes:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(files, "read_range", fail)
    with pytest.raises(OSError, match="input/output"):
        folder.read("a.jpg")


pieces = st.sampled_from(
    ["..", ".", "", "secret", "a.jpg", "images", "\\", "\0", "~", "::", "file:", "link", "%2e"]
)


@given(st.lists(pieces, max_size=6), st.sampled_from(["/", "\\", "//"]))
def test_no_name_gives_what_is_not_in_the_folder(
    tmp_path_factory: Any, parts: list[str], between: str
) -> None:
    root = tmp_path_factory.getbasetemp() / "hostile"
    if not root.exists():
        root.mkdir()
        on_disk(root)
        (root / "images" / "link").symlink_to("..")
    for path in (root / "images", f"file://{root}/images"):
        try:
            found = ImageFolder(str(path), 100).read(between.join(parts))
        except ContentError:
            continue
        assert found == b"image a"


def test_images_are_bytes_names_or_structs_of_them(folder: ImageFolder) -> None:
    a, b = IMAGES["a.jpg"], IMAGES["below/b.png"]
    for value, images, named in [
        (b"own", b"own", []),
        (b"", b"", []),
        ("a.jpg", a, [a]),
        ({"bytes": b"own", "path": "/other/machine.jpg"}, b"own", []),
        ({"bytes": None, "path": "a.jpg"}, a, [a]),
        ({"bytes": b"", "path": "a.jpg"}, a, [a]),
        ({"path": "a.jpg"}, a, [a]),
        ({"bytes": b"own"}, b"own", []),
        ([], [], []),
        ([None, "below/b.png", b"own", {"path": "a.jpg"}], [None, b, b"own", a], [b, a]),
        (("a.jpg", None), [a, None], [a]),
        ([["a.jpg"], [None]], [[a], [None]], [a]),
        (["a.jpg", "a.jpg"], [a, a], [a, a]),
    ]:
        assert encoded_images(value, folder) == (images, named)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (7, "int"),
        (None, "NoneType"),
        ({}, "dict"),
        ({"bytes": None, "path": None}, "dict"),
        ({"bytes": "a.jpg"}, "dict"),
        ({"bytes": {"bytes": {}}}, "dict"),
        ([b"own", 7], "int"),
        ({"path": ["a.jpg"]}, "dict"),
    ],
)
def test_anything_else_is_no_image(folder: ImageFolder, value: Any, kind: str) -> None:
    with pytest.raises(ContentError, match=f"its image is {kind}: neither bytes"):
        encoded_images(value, folder)


def test_the_images_that_a_record_names_are_limited_all_in_all(tmp_path: Path) -> None:
    folder = on_disk(tmp_path, largest=21)
    assert len(encoded_images(["a.jpg"] * 3, folder)[1]) == 3
    with pytest.raises(ContentError, match="it names 28 bytes of images, more than"):
        encoded_images(["a.jpg"] * 3 + [None, "a.jpg"], folder)
    assert encoded_images([b"x" * 30, "a.jpg"], folder)[1] == [b"image a"]


def test_a_whole_path_into_the_folder_is_a_name_in_it(tmp_path: Path) -> None:
    """As a table has them that was written from files, without embedding them."""
    images, other = tmp_path / "images", tmp_path / "images-too"
    for folder in (images, other):
        folder.mkdir()
        (folder / "a.jpg").write_bytes(b"a picture")
    folder = ImageFolder(str(images), 1000)
    assert folder.read(str(images / "a.jpg")) == b"a picture"
    for name in (str(other / "a.jpg"), f"{images}/../images-too/a.jpg", str(images), f"{images}/"):
        with pytest.raises(ContentError):
            folder.read(name)
