#!/usr/bin/env python3
"""Assembles an OCI image archive from folders, one layer each, without a container engine.

The same files give the same bytes: entries are sorted, their time is 0 and their owner is root.
Layers are not compressed: nothing travels further than from a file into containerd.
"""

import argparse
import hashlib
import io
import json
import os
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
EPOCH = "1970-01-01T00:00:00Z"


def entry(name, kind, mode, size=0, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname, info.mtime = kind, mode, size, target, 0
    return info


def layer(folder):
    """The folder as a tar: its links stay links, and a file's mode says only whether it is a program."""
    paths = []
    for parent, folders, files in os.walk(folder):
        paths += [os.path.relpath(os.path.join(parent, name), folder) for name in folders + files]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(paths):
            source = os.path.join(folder, path)
            if os.path.islink(source):
                tar.addfile(entry(path, tarfile.SYMTYPE, 0o777, target=os.readlink(source)))
            elif os.path.isdir(source):
                tar.addfile(entry(path, tarfile.DIRTYPE, 0o1777 if path == "tmp" else 0o755))
            else:
                mode = 0o755 if os.access(source, os.X_OK) else 0o644
                with open(source, "rb") as file:
                    tar.addfile(entry(path, tarfile.REGTYPE, mode, size=os.path.getsize(source)), file)
    return out.getvalue()


class Layout:
    """The blobs of an OCI image layout, by digest."""

    def __init__(self):
        self.blobs = {}

    def add(self, media_type, data):
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"mediaType": "application/vnd.oci.image." + media_type, "digest": "sha256:" + digest, "size": len(data)}

    def write(self, path, index):
        files = {f"blobs/sha256/{digest}": data for digest, data in self.blobs.items()}
        files["index.json"] = index
        files["oci-layout"] = encode({"imageLayoutVersion": "1.0.0"})
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for folder in ("blobs", "blobs/sha256"):
                tar.addfile(entry(folder, tarfile.DIRTYPE, 0o755))
            for name in sorted(files):
                tar.addfile(entry(name, tarfile.REGTYPE, 0o644, size=len(files[name])), io.BytesIO(files[name]))


def encode(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", help="file to write")
    parser.add_argument("name", help="full name of the image, with its tag")
    parser.add_argument("--layer", action="append", default=[], metavar="FOLDER", help="lowest first")
    parser.add_argument("--entrypoint", action="append", default=[], metavar="WORD")
    parser.add_argument("--command", action="append", default=[], metavar="WORD")
    parser.add_argument("--user", default="0:0", metavar="UID:GID")
    return parser.parse_args()


def main():
    wanted = arguments()
    architecture = ARCHITECTURES[os.uname().machine]
    layout = Layout()
    layers = [layout.add("layer.v1.tar", layer(folder)) for folder in wanted.layer]
    config = layout.add("config.v1+json", encode({
        "architecture": architecture,
        "os": "linux",
        "created": EPOCH,
        "config": {
            "Entrypoint": wanted.entrypoint,
            "Cmd": wanted.command,
            "User": wanted.user,
            "WorkingDir": "/",
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        # An uncompressed layer's digest is also that of its content.
        "rootfs": {"type": "layers", "diff_ids": [blob["digest"] for blob in layers]},
        "history": [{"created": EPOCH} for _ in layers],
    }))
    manifest = layout.add("manifest.v1+json", encode({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": layers,
    }))
    layout.write(wanted.archive, encode({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            **manifest,
            "platform": {"architecture": architecture, "os": "linux"},
            # containerd gives the image this name.
            "annotations": {"io.containerd.image.name": wanted.name},
        }],
    }))


if __name__ == "__main__":
    main()
