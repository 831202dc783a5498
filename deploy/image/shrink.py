"""Run once in a build, by the image's own Python: takes out what a service never opens, compiles the rest.

    python shrink.py SERVICE

1. Rooms of Freshet that the service may not import (the table of docs/ARCHITECTURE.md, which import-linter
   enforces), and packages that others ask for but that nothing of this service imports.
2. Files that are there for developers: tests, headers, stubs, sources of extensions; of shared objects, the
   symbols for debuggers. Licences stay.
   The files of /docs stay gzipped, as services/http/docs_page.py sends them.
3. Bytecode of all modules that the service imports, now or later, those of the standard library too: official
   Python images carry none. It is believed unchecked, since nothing changes in an image. In servers, modules
   of others leave their sources behind, a quarter of the image: tracebacks name file, function and line.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import importlib.metadata
import pkgutil
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

_SERVERS = {
    "ingest": ("kernel", "http", "log", "tracing", "ingest"),
    "profiler": ("kernel", "http", "log", "store", "release", "tracing", "profiler"),
    "recommender": ("kernel", "http", "store", "release", "ranking", "tracing", "recommender"),
}
# onnxruntime asks for these for its tools, which convert and quantize models: serving opens none of them.
_UNUSED_PACKAGES = ("coloredlogs", "flatbuffers", "humanfriendly", "mpmath", "protobuf", "sympy")
# With the extra `otel`: the exporter's spans are messages of protobuf.
_USED_BY_TRACES = frozenset({"protobuf"})
_UNUSED_FOLDERS = (
    "numpy/_core/include",
    "numpy/_core/lib",
    "numpy/_pyinstaller",
    "numpy/distutils",
    "numpy/f2py",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "pyarrow/include",
    "pyarrow/src",
    "pydantic/v1",
)
# Jobs draw random numbers with numpy (it is loaded when first asked for), servers none.
_UNUSED_IN_SERVERS = ("numpy/random",)
# What nothing in our rooms imports by name, but a library when the first request comes.
_LATE = ("anyio._backends._asyncio", "uvloop", "encodings.idna", "multiprocessing.util")
_PAGE = "fastapi_offline/static"
_PAGE_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")
_TEST_EXTENSIONS = (
    "_simd.",
    "_multiarray_tests.",
    "_operand_flag_tests.",
    "_rational_tests.",
    "_struct_ufunc_tests.",
    "_umath_tests.",
)
_TEST_FOLDERS = frozenset({"test", "tests", "testing_data"})
# For programs in other languages; the Python module has the whole runtime in itself.
_UNUSED_LIBRARY = "libonnxruntime.so"
_UNUSED_ENDINGS = (".a", ".c", ".cc", ".cpp", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx")


def main(service: str) -> None:
    """The three steps."""
    packages = Path(sysconfig.get_path("purelib"))
    sizes = [_size_mb(packages)]
    if service in _SERVERS:  # 1
        for room in (packages / "services").iterdir():
            if room.is_dir() and room.name not in _SERVERS[service]:
                shutil.rmtree(room)
        for name in _UNUSED_PACKAGES:
            if name not in _USED_BY_TRACES or not _is_installed("opentelemetry-proto"):
                _uninstall(name)
        for folder in _UNUSED_IN_SERVERS:
            shutil.rmtree(packages / folder, ignore_errors=True)
        _pack_page(packages / _PAGE)
    for folder in _UNUSED_FOLDERS:  # 2
        shutil.rmtree(packages / folder, ignore_errors=True)
    for path in sorted(packages.rglob("*")):
        _prune(path)
    sizes.append(_size_mb(packages))
    _import_everything(service)  # 3
    compiled = _compile(packages, sourceless=service in _SERVERS)
    sizes.append(_size_mb(packages))
    told = "{:.1f} MB installed, {:.1f} MB kept, {:.1f} MB with bytecode".format(*sizes)
    sys.stderr.write(f"{service}: {told}; {compiled} modules compiled\n")


def _pack_page(folder: Path) -> None:
    """What the page loads, gzipped. The rest of the package is nobody's."""
    for path in sorted(folder.iterdir()):
        if path.name in _PAGE_FILES:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
        path.unlink()


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _uninstall(name: str) -> None:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return
    for file in distribution.files or ():
        Path(str(distribution.locate_file(file))).unlink(missing_ok=True)


def _prune(path: Path) -> None:
    if path.is_dir() and path.name in _TEST_FOLDERS:
        shutil.rmtree(path)
    elif not path.is_file() or any(part.endswith(".dist-info") for part in path.parts):
        return  # gone with its folder, or a licence
    elif path.name.endswith(_UNUSED_ENDINGS) or path.name.startswith((*_TEST_EXTENSIONS, _UNUSED_LIBRARY)):
        path.unlink()
    elif ".so" in path.suffixes:
        subprocess.run(["/usr/bin/strip", "--strip-unneeded", str(path)], check=True)  # noqa: S603


def _import_everything(service: str) -> None:
    """What is imported at start, and what our rooms import when they need it."""
    importlib.import_module(
        f"services.{service}.__main__" if service in _SERVERS else "services.cli.__main__"
    )
    for name in _LATE:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    services = importlib.import_module("services")
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:  # what only another image needs
                sys.stderr.write(f"{service}: without {module.name} ({error.name})\n")


def _compile(packages: Path, sourceless: bool) -> int:
    """Write the bytecode of all imported modules of `packages` and the standard library; answers how many."""
    ours, standard = packages / "services", Path(sysconfig.get_path("stdlib"))
    named = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    files = {Path(name) for name in named if name}
    sources = [file for file in files if file.suffix == ".py" and file.is_relative_to(packages)]
    sources += [file for file in files if file.suffix == ".py" and file.is_relative_to(standard)]
    for source in sources:
        leave = sourceless and source.is_relative_to(packages) and not source.is_relative_to(ours)
        py_compile.compile(
            str(source),
            cfile=str(source.with_suffix(".pyc")) if leave else None,
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        if leave:
            source.unlink()
    return len(sources)


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main(sys.argv[1])
