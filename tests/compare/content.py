"""What is shared: files that compress to nothing, torrents of them, and the check that a copy is one."""
import hashlib
import os
import pathlib
import random
import subprocess

PIECE = 512 * 1024


def one_file(path, length):
    """A file of `length` random bytes, and in the page cache."""
    if not path.exists() or path.stat().st_size != length:
        key = ["-K", "00" * 16, "-iv", "00" * 16]
        with open(path, "wb") as out:
            zeros = subprocess.Popen(["head", "-c", str(length), "/dev/zero"], stdout=subprocess.PIPE)
            subprocess.run(["openssl", "enc", "-aes-128-ctr", *key], stdin=zeros.stdout, stdout=out, check=True)
            zeros.stdout.close()
            zeros.wait()
    os.sync()
    warm(path)


def many_files(folder, count, total):
    """`count` files of 20 to 200 KB, `total` bytes together, a hundred in each folder."""
    if folder.is_dir():
        return
    half = folder.with_name(folder.name + ".half")
    rng = random.Random(1)
    lengths = [rng.randrange(20_000, 200_001) for _ in range(count)]
    scale = total / sum(lengths)
    for n, length in enumerate(lengths):
        path = half / f"{n // 100:03}" / f"{n:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(int(length * scale)))
    os.sync()
    half.rename(folder)


def warm(path):
    """Reads a file or all files of a folder, so that they are in the page cache."""
    for file in files_of(path):
        with open(file, "rb", buffering=0) as data:
            while data.read(1 << 20):
                pass


def files_of(path):
    """The file itself, or all files below, by name."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def size_of(path):
    return sum(file.stat().st_size for file in files_of(path))


def digests(path):
    """SHA-1 of every file, by its path below `path`."""
    found = {}
    for file in files_of(path):
        with open(file, "rb") as data:
            found[str(file.relative_to(path))] = hashlib.file_digest(data, "sha1").hexdigest()
    return found


def pieces_of(path, length=PIECE):
    """SHA-1 of the piece hashes: what `pieces` of a right torrent of `path` has."""
    hashes, rest = hashlib.sha1(), b""
    for file in files_of(path):
        with open(file, "rb", buffering=0) as data:
            while part := data.read(length - len(rest)):
                rest += part
                if len(rest) == length:
                    hashes.update(hashlib.sha1(rest).digest())
                    rest = b""
    if rest:
        hashes.update(hashlib.sha1(rest).digest())
    return hashes.hexdigest()


def decode(data, at=0):
    """The bencoded value at `at`, and where it ends."""
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in b"ld":
        values, at = [], at + 1
        while data[at:at + 1] != b"e":
            value, at = decode(data, at)
            values.append(value)
        if kind == b"d":
            values = dict(zip(values[::2], values[1::2]))
        return values, at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1:end], end


def info_of(torrent):
    """The info dictionary of a torrent file."""
    return decode(pathlib.Path(torrent).read_bytes())[0][b"info"]


def info_hash(torrent):
    """Its info-hash, in hex, over the bytes as they are."""
    data = pathlib.Path(torrent).read_bytes()
    start = data.index(b"4:info") + 6
    return hashlib.sha1(data[start:decode(data, start)[1]]).hexdigest()
