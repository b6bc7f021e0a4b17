"""Checks the protos against buf's STANDARD rules, as far as they concern us, and that everything is documented.

buf itself is no Python package. The rules and their names are from its documentation; the descriptors from protoc.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

from generate import IMPORTS

Documented = set[tuple[int, ...]]

LOWER_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
PASCAL = re.compile(r"([A-Z][a-z0-9]*)+")

# Field numbers within FileDescriptorProto and its parts, of which a comment's path is made.
MESSAGE, ENUM, SERVICE = 4, 5, 6
PART = 2  # fields of a message, values of an enum, methods of a service


def describe(folder: Path) -> list[FileDescriptorProto]:
    """Every proto below a folder, parsed, with its comments."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        options = [f"-I{folder}", *IMPORTS, "--include_source_info", f"--descriptor_set_out={out.name}"]
        if protoc.main(["protoc", *options, *files]):
            raise SystemExit("protoc failed")
        return list(FileDescriptorSet.FromString(out.read()).file)


def problems(file: FileDescriptorProto) -> Iterator[str]:
    """What breaks a rule, each with the rule's name."""
    if Path(file.name).parent.as_posix() != file.package.replace(".", "/"):
        yield f"PACKAGE_DIRECTORY_MATCH {file.package}"
    if not re.search(r"\.v\d+$", file.package):
        yield f"PACKAGE_VERSION_SUFFIX {file.package}"
    if not LOWER_SNAKE.fullmatch(Path(file.name).stem):
        yield f"FILE_LOWER_SNAKE_CASE {file.name}"
    documented = {tuple(place.path) for place in file.source_code_info.location if place.leading_comments.strip()}
    for index, message in enumerate(file.message_type):
        yield from _message(message, (MESSAGE, index), documented)
    for index, enum in enumerate(file.enum_type):
        yield from _enum(enum, (ENUM, index), documented)
    for index, service in enumerate(file.service):
        yield from _service(service, (SERVICE, index), documented)


def _message(message: DescriptorProto, path: tuple[int, ...], documented: Documented) -> Iterator[str]:
    if not PASCAL.fullmatch(message.name):
        yield f"MESSAGE_PASCAL_CASE {message.name}"
    if path not in documented:
        yield f"COMMENT_MESSAGE {message.name}"
    for index, field in enumerate(message.field):
        if not LOWER_SNAKE.fullmatch(field.name):
            yield f"FIELD_LOWER_SNAKE_CASE {message.name}.{field.name}"
        if (*path, PART, index) not in documented:
            yield f"COMMENT_FIELD {message.name}.{field.name}"


def _enum(enum: EnumDescriptorProto, path: tuple[int, ...], documented: Documented) -> Iterator[str]:
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    if path not in documented:
        yield f"COMMENT_ENUM {enum.name}"
    if enum.value[0].name != prefix + "UNSPECIFIED":
        yield f"ENUM_ZERO_VALUE_SUFFIX {enum.value[0].name}"
    for index, value in enumerate(enum.value):
        if not value.name.startswith(prefix) or not UPPER_SNAKE.fullmatch(value.name):
            yield f"ENUM_VALUE_PREFIX {value.name}"
        if (*path, PART, index) not in documented:
            yield f"COMMENT_ENUM_VALUE {value.name}"


def _service(service: ServiceDescriptorProto, path: tuple[int, ...], documented: Documented) -> Iterator[str]:
    if not service.name.endswith("Service"):
        yield f"SERVICE_SUFFIX {service.name}"
    if path not in documented:
        yield f"COMMENT_SERVICE {service.name}"
    for index, method in enumerate(service.method):
        if not PASCAL.fullmatch(method.name):
            yield f"RPC_PASCAL_CASE {method.name}"
        if (*path, PART, index) not in documented:
            yield f"COMMENT_RPC {method.name}"
        for kind, name in (("Request", method.input_type), ("Response", method.output_type)):
            if name.rpartition(".")[2] != method.name + kind:
                yield f"RPC_{kind.upper()}_STANDARD_NAME {method.name}: {name}"


def main() -> None:
    """Lint every proto below the folder given, or below this one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    found = [f"{file.name}: {problem}" for file in describe(folder) for problem in problems(file)]
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
