"""Files and folders as data: every layout is written here by the test, sound and damaged."""

import gzip
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from holdfast.core.errors import DataError
from holdfast.data import cifar, load, pictures

DICE = np.random.RandomState(0)
GRAY = DICE.randint(0, 256, (6, 9, 9)).astype(np.uint8)
COLOR = DICE.randint(0, 256, (6, 9, 9, 3)).astype(np.uint8)


def refused(code, path, *words, **options):
    with pytest.raises(DataError) as caught:
        load(path, **options)
    assert caught.value.code == code, caught.value
    assert all(word in str(caught.value) for word in words), caught.value


def nchw(x):
    return np.moveaxis(x, 3, 1) if x.ndim == 4 else x[:, None]


class TestArrays:
    def test_x_and_y_are_one_part(self, tmp_path):
        np.savez(
            tmp_path / "a.npz",
            x=np.linspace(0, 1, 12).reshape(4, 3),
            y=[0, 1, 1, 0],
            class_names=["no", "yes"],
            groups=[1, 1, 2, 2],
        )
        data = load(tmp_path / "a.npz")
        assert len(data.train) == 0
        assert data.val is None
        assert data.test.classes == ("no", "yes")
        assert data.test.groups.tolist() == [1, 1, 2, 2]
        assert (data.test.name, data.test.split) == ("a", "test")
        assert load(str(tmp_path / "a.npz"), split="test").y.tolist() == [0, 1, 1, 0]
        refused("HF108", tmp_path / "a.npz", "'train'", split="train")

    @pytest.mark.parametrize("x", [GRAY, COLOR, nchw(COLOR)])
    def test_8_bit_images_are_scaled_unless_told(self, tmp_path, x):
        np.savez(
            tmp_path / "a.npz", x_train=x, y_train=np.arange(6), x_test=x[:2], y_test=[0, 1], x_val=x[:1], y_val=[5]
        )
        data = load(tmp_path / "a.npz")
        wanted = x if x.shape[1:] == (3, 9, 9) else nchw(x)
        assert np.allclose(data.train.x.numpy(), wanted / 255)
        assert data.train.x.numpy().dtype == np.float32
        assert (len(data.test), len(data.val)) == (2, 1)
        raw = load(tmp_path / "a.npz", bounds=(0, 255))
        assert (raw.train.x.numpy() == wanted).all()
        assert raw.train.bounds == (0, 255)
        refused("HF103", tmp_path / "a.npz", bounds=(0, 2))

    def test_bounds_come_from_the_file_or_the_caller(self, tmp_path):
        x = np.array([[0.0, 9.0], [3.0, 1.0]])
        np.savez(tmp_path / "a.npz", x=x, y=[0, 1])
        refused("HF104", tmp_path / "a.npz")
        assert load(tmp_path / "a.npz", bounds=(0, 10)).test.bounds == (0, 10)
        np.savez(tmp_path / "b.npz", x=x, y=[0, 1], bounds=[0, 10])
        assert load(tmp_path / "b.npz").test.bounds == (0, 10)
        np.savez(tmp_path / "c.npz", x=x, y=[0, 1], bounds=[[0, 0], [5, 10]])
        assert load(tmp_path / "c.npz").test.bounds == ((0, 0), (5, 10))

    def test_what_is_no_file_of_arrays_is_refused(self, tmp_path):
        file = tmp_path / "a.npz"
        for content in (b"", b"no zip", b"\x80\x04cos\nsystem\n(S'false'\ntR."):
            file.write_bytes(content)
            refused("HF110", file)
        np.savez(file, x=np.array([{"a": 1}], dtype=object), y=[0])
        refused("HF110", file, "cannot be read")
        np.savez(file, z=[1])
        refused("HF110", file, "no inputs")
        np.savez(file, x=np.zeros((2, 2)))
        refused("HF110", file, "without labels")
        np.savez(file, x=np.zeros((2, 2)), y=[0, 1])
        file.write_bytes(file.read_bytes()[:-40])
        refused("HF110", file)

    def test_a_bomb_is_refused_before_it_is_unpacked(self, tmp_path, monkeypatch):
        monkeypatch.setattr("holdfast.data.archives.LARGEST", 10_000)
        np.savez_compressed(tmp_path / "a.npz", x=np.zeros((200, 200)), y=np.zeros(200))
        assert (tmp_path / "a.npz").stat().st_size < 3000
        refused("HF110", tmp_path / "a.npz", "too much")

    def test_an_array_that_lies_about_its_size_is_refused(self, tmp_path):
        plain = io.BytesIO()
        np.save(plain, np.zeros((2, 2)))
        lying = plain.getvalue().replace(b"(2, 2)", b"(9, 9)")
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("x.npy", lying)
            archive.writestr("y.npy", plain.getvalue())
        refused("HF110", tmp_path / "a.npz")


class TestFolders:
    def write(self, root, form="png", images=COLOR):
        for k, image in enumerate(images):
            folder = root / ("cat" if k % 3 else "dog")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{k}.{form}")

    @pytest.mark.parametrize("form", ["png", "bmp", "ppm", "tiff"])
    @pytest.mark.parametrize("images", [GRAY, COLOR])
    def test_sub_folders_are_classes(self, tmp_path, form, images):
        if form == "ppm" and images.ndim == 3:
            form = "pgm"
        self.write(tmp_path / "set", form, images)
        data = load(tmp_path / "set").test
        assert data.classes == ("cat", "dog")
        assert data.y.tolist() == [0, 0, 0, 0, 1, 1]
        assert np.allclose(data.x.numpy(), nchw(images[[1, 2, 4, 5, 0, 3]]) / 255)
        assert data.name == "set"

    def test_parts_and_their_classes(self, tmp_path):
        self.write(tmp_path / "train")
        self.write(tmp_path / "test", images=COLOR[:1])
        data = load(tmp_path)
        assert (len(data.train), len(data.test)) == (6, 1)
        assert data.test.y.tolist() == [1]
        assert data.test.classes == data.train.classes

    def test_several_sizes_need_one_said(self, tmp_path):
        self.write(tmp_path)
        Image.new("RGB", (20, 10), (255, 0, 0)).save(tmp_path / "cat" / "wide.png")
        refused("HF110", tmp_path, "9 x 9", "20 x 10", "size=32")
        data = load(tmp_path, size=12).test
        assert data.x.shape == (7, 3, 12, 12)
        assert data.x[4].amin((1, 2)).tolist() == data.x[4].amax((1, 2)).tolist() == [1, 0, 0]

    def test_gray_and_colored_images_together_are_colored(self, tmp_path):
        self.write(tmp_path)
        Image.fromarray(GRAY[0]).save(tmp_path / "cat" / "gray.png")
        x = load(tmp_path).test.x[4].numpy()
        assert (x == GRAY[0] / np.float32(255)).all()

    def test_hidden_files_and_other_files_are_left_out(self, tmp_path):
        self.write(tmp_path)
        (tmp_path / "cat" / ".hidden.png").write_bytes(b"nothing")
        (tmp_path / "cat" / "notes.txt").write_text("x")
        (tmp_path / ".git").mkdir()
        Image.fromarray(GRAY[0]).save(tmp_path / ".git" / "a.png")
        assert load(tmp_path).test.classes == ("cat", "dog")
        assert len(load(tmp_path).test) == 6

    def test_names_are_only_data(self, tmp_path):
        names = ["<script>alert(1)<|script>", "[red]$(touch pwned)", "a;b'c\"", "%2e%2e%2f", "\u202egnp"]
        for k, name in enumerate(names):
            (tmp_path / name).mkdir()
            Image.fromarray(GRAY[k]).save(tmp_path / name / "-rf ; x.png")
        data = load(tmp_path).test
        assert set(data.classes) == set(names)
        assert [data.x[k, 0, 0, 0].item() * 255 for k in range(5)] == pytest.approx(
            [float(GRAY[names.index(name), 0, 0]) for name in data.classes]
        )

    def test_damaged_and_deep_images_are_refused(self, tmp_path):
        self.write(tmp_path)
        bad = tmp_path / "cat" / "bad.png"
        for content in (b"", b"\x89PNG\r\n\x1a\n", (tmp_path / "cat" / "1.png").read_bytes()[:80]):
            bad.write_bytes(content)
            refused("HF110", tmp_path, "'bad.png'", "cannot be read")
        Image.fromarray(np.zeros((9, 9), np.uint16)).save(bad)
        refused("HF110", tmp_path, "8 bits")

    def test_a_huge_image_is_not_decoded(self, tmp_path, monkeypatch):
        self.write(tmp_path)
        monkeypatch.setattr(pictures, "PIXELS", 80)
        refused("HF110", tmp_path, "too large")

    def test_a_folder_without_images_says_so(self, tmp_path):
        refused("HF110", tmp_path, "nothing")
        (tmp_path / "a.txt").write_text("x")
        refused("HF110", tmp_path, "'a.txt'")


class TestIdx:
    def write(self, root, packed, dotted=False):
        for stem, values in (
            ("train-images", GRAY),
            ("train-labels", np.arange(6, dtype=np.uint8)),
            ("t10k-images", GRAY[:2]),
            ("t10k-labels", np.array([3, 4], np.uint8)),
        ):
            head = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
            name = f"{stem}{'.' if dotted else '-'}idx{values.ndim}-ubyte"
            content = head + values.tobytes()
            (root / (name + ".gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)

    @pytest.mark.parametrize("packed", [True, False])
    @pytest.mark.parametrize("dotted", [True, False])
    def test_parts(self, tmp_path, packed, dotted):
        self.write(tmp_path, packed, dotted)
        data = load(tmp_path)
        assert np.allclose(data.train.x.numpy(), GRAY[:, None] / 255)
        assert data.train.y.tolist() == list(range(6))
        assert data.test.y.tolist() == [3, 4]

    def test_damage_is_refused(self, tmp_path):
        self.write(tmp_path, False)
        file = tmp_path / "train-images-idx3-ubyte"
        sound = file.read_bytes()
        for content in (
            b"",
            sound[:3],
            sound[:-1],
            sound + b"x",
            b"\1" + sound[1:],
            sound[:2] + b"\x0d" + sound[3:],
            sound[:4] + b"\xff" * 12 + sound[16:],
        ):
            file.write_bytes(content)
            refused("HF110", tmp_path, "no idx file")
        file.write_bytes(sound)
        (tmp_path / "train-labels-idx1-ubyte").unlink()
        refused("HF110", tmp_path, "no labels")

    def test_a_gzip_bomb_is_read_no_further_than_declared(self, tmp_path):
        self.write(tmp_path, True)
        file = tmp_path / "train-images-idx3-ubyte.gz"
        file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()) + bytes(50_000_000)))
        refused("HF110", tmp_path, "487 values")
        file.write_bytes(b"\x1f\x8bno gzip")
        refused("HF110", tmp_path, "unpacked")


class Bad:
    def __init__(self, call, *args):
        self.told = call, args

    def __reduce__(self):
        return self.told


class TestCifar:
    X = DICE.randint(0, 256, (4, 3072)).astype(np.uint8)

    def write(self, root, protocol=2, **extra):
        folder = root / "cifar-10-batches-py"
        folder.mkdir(exist_ok=True)
        for name, rows in (("data_batch_1", [0, 1]), ("data_batch_2", [2]), ("test_batch", [3])):
            told = {b"data": self.X[rows], b"labels": rows, b"filenames": [b"a.png"] * len(rows), **extra}
            (folder / name).write_bytes(pickle.dumps(told, protocol))
        return folder

    @pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
    def test_batches_of_every_protocol(self, tmp_path, protocol):
        folder = self.write(tmp_path, protocol)
        for path in (tmp_path, folder):
            data = load(path)
            assert np.allclose(data.train.x.numpy(), self.X[:3].reshape(3, 3, 32, 32) / 255)
            assert data.train.y.tolist() == [0, 1, 2]
            assert data.test.y.tolist() == [3]
            assert data.train.classes[3] == "cat"

    def test_a_batch_as_python_2_wrote_it(self, tmp_path):
        old = (
            b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04"
            b"K\x00\x85q\x05"
            b"U\x01bq\x06\x87q\x07Rq\x08(K\x01K\x01M\x00\x0c\x86q\tcnumpy\ndtype\nq\nU\x02u1q\x0bK\x00K\x01\x87q\x0cRq\r"
            b"(K\x03U\x01|q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89T\x00\x0c\x00\x00"
            + self.X[0].tobytes()
            + b"q\x10tq\x11bU\x06labelsq\x12]q\x13K\x07au."
        )
        (tmp_path / "test_batch").write_bytes(old)
        data = load(tmp_path).test
        assert np.allclose(data.x.numpy(), self.X[:1].reshape(1, 3, 32, 32) / 255)
        assert data.y.tolist() == [7]

    @pytest.mark.parametrize(
        "call",
        [
            (os.system, "touch {}"),
            (os.mkdir, "{}"),
            (eval, "open('{}', 'w')"),
            (exec, "open('{}', 'w')"),
            (getattr, "x", "{}"),
            (np.load, "{}"),
            (np.fromfile, "{}"),
        ],
    )
    @pytest.mark.parametrize("protocol", [0, 2, 4])
    def test_a_pickle_that_wants_more_than_arrays_is_refused_and_does_nothing(self, tmp_path, call, protocol):
        trap = tmp_path / "sprung"
        bad = Bad(call[0], *(word.format(trap) for word in call[1:]))
        self.write(tmp_path, protocol, x=bad)
        refused("HF111", tmp_path)
        assert not trap.exists()

    @pytest.mark.parametrize(
        "raw",
        [
            b"choldfast.data.cifar\nReader\n.",
            b"cnumpy\nndarray.__class__\n.",
            b"cbuiltins\neval\n.",
            b"c__builtin__\neval\n.",
            b"\x80\x04\x8c\x05numpy\x8c\x10load.__globals__\x93.",
            b"cnumpy.core.multiarray\nscalar\n.",
        ],
    )
    def test_names_beyond_the_list_are_refused(self, tmp_path, raw):
        (tmp_path / "test_batch").write_bytes(raw)
        refused("HF111", tmp_path)

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"x",
            b"\x80\x04",
            b"N.",
            b"].",
            b"}.",
            b"(lp0\n0.",
            b"\x80\x02}(U\x04dataK\x01u.",
            b"cnumpy\ndtype\n}b.",
            b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        ],
    )
    def test_damaged_batches_are_refused(self, tmp_path, raw):
        (tmp_path / "test_batch").write_bytes(raw)
        refused("HF110", tmp_path)

    @pytest.mark.parametrize(
        "data",
        [
            np.zeros((4, 3072)),
            np.zeros((4, 10), np.uint8),
            np.array([[{}]], dtype=object),
            [1],
            np.asfortranarray(np.ones((4, 3072), np.uint8)),
        ],
    )
    def test_arrays_of_other_kinds_are_refused(self, tmp_path, data):
        (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": data, "labels": [0] * 4}, 2))
        refused("HF110", tmp_path)

    def test_no_numpy_object_is_made_while_reading(self, tmp_path):
        folder = self.write(tmp_path)
        assert type(cifar.unpickled(folder / "test_batch")["data"]) is cifar.Bytes


class TestGtsrb:
    def write(self, root, hostile=None):
        for label in (0, 14):
            folder = root / "Final_Training" / "Images" / f"{label:05d}"
            folder.mkdir(parents=True)
            rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
            for track in range(2):
                for frame in range(3):
                    name = f"{track:05d}_{frame:05d}.ppm"
                    Image.new("RGB", (40 + track, 30), (label, track, frame)).save(folder / name)
                    rows.append(f"{name};41;30;5;5;35;25;{label}")
            if hostile:
                rows.append(f"{hostile};41;30;5;5;35;25;{label}")
            (folder / f"GT-{label:05d}.csv").write_text("\n".join(rows) + "\n")
        folder = root / "Final_Test" / "Images"
        folder.mkdir(parents=True)
        Image.new("RGB", (25, 25), (9, 8, 7)).save(folder / "00000.ppm")
        head = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2"
        (folder / "GT-final_test.test.csv").write_text(head + "\n00000.ppm;25;25;2;2;22;22\n")
        return f"{head};ClassId\n00000.ppm;25;25;2;2;22;22;13\n"

    def test_tracks_are_groups(self, tmp_path):
        labels = self.write(tmp_path)
        data = load(tmp_path)
        assert data.train.x.shape == (12, 3, 32, 32)
        assert data.train.y.tolist() == [0] * 6 + [14] * 6
        assert data.train.groups.tolist() == [0] * 3 + [1] * 3 + [1_400_000] * 3 + [1_400_001] * 3
        colors = [[c, t, f] for c in (0, 14) for t in (0, 1) for f in range(3)]
        assert np.allclose(data.train.x[:, :, 0, 0].numpy() * 255, colors)
        assert data.train.classes[14] == "stop"
        assert len(data.train.classes) == 43
        assert len(data.test) == 0
        (tmp_path / "GT-final_test.csv").write_text(labels)
        assert load(tmp_path).test.y.tolist() == [13]
        first, second = data.train.divide(0.5, 0)
        assert set(first.groups.tolist()).isdisjoint(second.groups.tolist())

    def test_the_folder_above_and_another_size(self, tmp_path):
        labels = self.write(tmp_path / "GTSRB")
        (tmp_path / "GTSRB" / "Final_Test" / "Images" / "GT-final_test.csv").write_text(labels)
        data = load(tmp_path, size=20)
        assert data.train.x.shape[2:] == data.test.x.shape[2:] == (20, 20)

    @pytest.mark.parametrize("name", ["../../../secret.ppm", "/etc/passwd", "..", "a\\b.ppm", ""])
    def test_names_that_lead_elsewhere_are_refused(self, tmp_path, name):
        self.write(tmp_path, name or " ; ")
        Image.new("RGB", (9, 9)).save(tmp_path / "secret.ppm")
        refused("HF110", tmp_path)

    @pytest.mark.parametrize(
        "row",
        [
            "00000_00000.ppm;1;1;1;1;1;1;43",
            "00000_00000.ppm;1;1;1;1;1;1;x",
            "00000_00000.ppm;1",
            "x_y.ppm;1;1;1;1;1;1;0",
            "00099_00000.ppm;1;1;1;1;1;1;0",
        ],
    )
    def test_damaged_tables_are_refused(self, tmp_path, row):
        self.write(tmp_path)
        table = tmp_path / "Final_Training" / "Images" / "00000" / "GT-00000.csv"
        table.write_text(table.read_text() + row + "\n")
        refused("HF110", tmp_path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1]))
    refused("HF110", tmp_path / "a.pkl", ".pkl")
    refused("HF107", tmp_path / "nothing")
