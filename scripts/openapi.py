#!/usr/bin/env python3
"""Writes Sources/HTTPAPI/Resources/openapi.json (OpenAPI 3.1) from what is true already: the routes that the server
serves (`ringway routes`) and the messages and comments of the .proto files.

    openapi.py RINGWAY [--check]     RINGWAY: the built binary; --check fails when the committed file is stale
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parents[1]
PROTO = ROOT / "Sources/Contract/proto"
TARGET = ROOT / "Sources/HTTPAPI/Resources/openapi.json"

FIELD = descriptor_pb2.FieldDescriptorProto
INT64 = {"type": "string", "pattern": "^-?[0-9]{1,19}$", "description": "A 64-bit integer in decimal digits."}
SCALARS = {
    FIELD.TYPE_STRING: {"type": "string"},
    FIELD.TYPE_BOOL: {"type": "boolean"},
    FIELD.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FIELD.TYPE_INT32: {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    FIELD.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FIELD.TYPE_INT64: INT64,
    FIELD.TYPE_UINT64: INT64,
    FIELD.TYPE_DOUBLE: {"type": "number"},
    FIELD.TYPE_FLOAT: {"type": "number"},
}
# The messages of protobuf itself that have a JSON form of their own.
WELL_KNOWN = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"},
    ".google.protobuf.FieldMask": {"type": "string"},
    ".google.protobuf.Struct": {"type": "object"},
}
# docs/protocol.md says which code stands behind each.
REFUSALS = {
    "400": "INVALID_ARGUMENT, OUT_OF_RANGE or FAILED_PRECONDITION",
    "401": "UNAUTHENTICATED",
    "403": "PERMISSION_DENIED",
    "404": "NOT_FOUND",
    "409": "ALREADY_EXISTS or ABORTED",
    "413": "RESOURCE_EXHAUSTED: the body is too large",
    "415": "INVALID_ARGUMENT: the body is of another type, or encoded",
    "429": "RESOURCE_EXHAUSTED: with Retry-After a rate limit, try again then; without it a quota, make room",
    "503": "UNAVAILABLE: the database does not answer; try again",
    "504": "DEADLINE_EXCEEDED: the database did not answer in time",
}


BYTES = {"type": "string", "contentEncoding": "binary"}


def pictures(schemas, refusals):
    """The routes whose bodies are pictures, which the contract's messages do not describe."""
    profile = {"application/json": {"schema": schemas.reference(".ringway.v1.Profile")}}
    return {
        "/v1/profiles/me/avatar": {"put": {
            "operationId": "SetMyAvatar", "tags": ["Profile"], "summary": "Sets the caller's avatar",
            "description": "The picture as its Content-Type says, at most 2 MiB. It is decoded, cut to a square and kept "
            "without its metadata.",
            "requestBody": {"required": True, "content": {
                kind: {"schema": BYTES} for kind in ("image/png", "image/jpeg", "image/webp")}},
            "responses": {"200": {"description": "The profile.", "content": profile}} | refusals,
        }},
        "/v1/avatars/{hash}": {"get": {
            "operationId": "GetAvatar", "tags": ["Profile"], "summary": "A picture by its hash", "security": [],
            "description": "Never changes under its hash. 304 for who has it already.",
            "parameters": [
                {"name": "hash", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
                {"name": "size", "in": "query", "description": "Pixels a side: 512, also without it, or 128.",
                 "schema": {"type": "integer", "enum": [512, 128]}},
            ],
            "responses": {
                "200": {"description": "The picture.", "content": {"image/webp": {"schema": BYTES}}},
                "304": {"description": "Not modified."},
            } | refusals,
        }},
    }


class Contract:
    """Messages, enums and methods of the .proto files by full name, with their comments."""

    def __init__(self):
        self.messages, self.enums, self.methods, self.comments = {}, {}, {}, {}
        # What each tag is about.
        self.services = {}
        with tempfile.NamedTemporaryFile() as out:
            files = sorted(str(path) for path in PROTO.glob("ringway/v1/*.proto"))
            subprocess.run(
                ["protoc", f"-I{PROTO}", "--include_source_info", f"--descriptor_set_out={out.name}", *files], check=True)
            files = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes()).file
        for file in files:
            comments = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}
            prefix = "." + file.package
            for index, message in enumerate(file.message_type):
                self._add_message(prefix, message, (4, index), comments)
            for index, enum in enumerate(file.enum_type):
                self.enums[f"{prefix}.{enum.name}"] = enum
            for index, service in enumerate(file.service):
                paragraphs = comments.get((6, index), "").split("\n\n")
                self.services[tag(f"{file.package}.{service.name}")] = "\n\n".join(map(tidy, paragraphs))
                for place, method in enumerate(service.method):
                    name = f"{file.package}.{service.name}/{method.name}"
                    self.methods[name] = method
                    self.comments[name] = tidy(comments.get((6, index, 2, place), ""))

    def _add_message(self, prefix, message, path, comments):
        name = f"{prefix}.{message.name}"
        self.messages[name] = message
        self.comments[name] = tidy(comments.get(path, ""))
        for index, field in enumerate(message.field):
            self.comments[name, field.name] = tidy(comments.get((*path, 2, index), ""))
        for enum in message.enum_type:
            self.enums[f"{name}.{enum.name}"] = enum
        for index, nested in enumerate(message.nested_type):
            self._add_message(name, nested, (*path, 3, index), comments)


def tidy(comment):
    return " ".join(comment.split())


def tag(service):
    return service.removeprefix("ringway.v1.").removesuffix("Service")


def short(name):
    """A schema's name: what follows the package."""
    return name.removeprefix(".ringway.v1.")


class Schemas:
    """The schemas that are reached from the routes, made once each."""

    def __init__(self, contract):
        self.contract = contract
        self.made = {}

    def reference(self, name):
        if short(name) not in self.made:
            self.made[short(name)] = {}
            self.made[short(name)].update(self._message(name))
        return {"$ref": f"#/components/schemas/{short(name)}"}

    def field(self, owner, field):
        schema = dict(self._value(field))
        if field.label == FIELD.LABEL_REPEATED and not self._map_entry(field):
            schema = {"type": "array", "items": schema}
        comment = self.contract.comments.get((owner, field.name), "")
        return {**schema, "description": comment} if comment else schema

    def _map_entry(self, field):
        message = self.contract.messages.get(field.type_name)
        return message if message is not None and message.options.map_entry else None

    def _value(self, field):
        if field.type == FIELD.TYPE_ENUM:
            return {"type": "string", "enum": [value.name for value in self.contract.enums[field.type_name].value]}
        if field.type != FIELD.TYPE_MESSAGE:
            return SCALARS[field.type]
        if field.type_name in WELL_KNOWN:
            return WELL_KNOWN[field.type_name]
        if entry := self._map_entry(field):
            return {"type": "object", "additionalProperties": self._value(entry.field[1])}
        return self.reference(field.type_name)

    def body(self, name, without):
        """What is left for a request's body when the path says some of its fields; None: nothing."""
        fields = {field.json_name for field in self.contract.messages[name].field}
        if not without & fields:
            return self.reference(name)
        return self._message(name, without) if fields - without else None

    def _message(self, name, without=frozenset()):
        message = self.contract.messages[name]
        fields = [field for field in message.field if field.json_name not in without]
        schema = {"type": "object", "properties": {field.json_name: self.field(name, field) for field in fields}}
        if comment := self.contract.comments[name]:
            schema["description"] = comment
        return schema


def references():
    return {status: {"$ref": f"#/components/responses/{status}"} for status in REFUSALS}


def operation(route, contract, schemas):
    request = "." + route["request"]
    fields = {field.json_name: field for field in contract.messages[request].field}
    in_path = [part.split("}")[0] for part in route["path"].split("{")[1:]]
    comment = contract.comments[route["rpc"]]
    parameters = [parameter("path", name, meant(name, fields), request, schemas) for name in in_path]
    parameters += [parameter("query", name, meant(name, fields), request, schemas) for name in route["query"]]
    answer = {"application/json": {"schema": schemas.reference("." + route["answer"])}}
    made = {
        "operationId": route["rpc"].split("/")[1],
        "tags": [tag(route["rpc"].split("/")[0])],
        "summary": comment.split(". ")[0].rstrip("."),
        "description": comment,
        "responses": {"200": {"description": "Done.", "content": answer}} | references(),
    }
    if parameters:
        made["parameters"] = parameters
    if route["takesBody"] and (body := schemas.body(request, set(in_path))):
        made["requestBody"] = {"content": {"application/json": {"schema": body}}}
    if not route["needsToken"]:
        made["security"] = []
    return made


def meant(name, fields):
    """The field that a parameter fills: the one of its name, or the one whose name begins or ends with it."""
    alike = [key for key in fields if key.lower().startswith(name.lower()) or key.lower().endswith(name.lower())]
    return fields.get(name) or (fields[alike[0]] if len(alike) == 1 else None)


def parameter(place, name, field, request, schemas):
    """Numbers in a URL are not negative, and ids not 0. 64-bit ones are strings, as in a body: JavaScript keeps no number
    beyond 2^53 whole."""
    schema = schemas.field(request, field) if field is not None else {"type": "string"}
    if schema.get("pattern") == INT64["pattern"]:
        schema = {**schema, "pattern": "^[1-9][0-9]{0,18}$" if place == "path" else "^[0-9]{1,19}$"}
    elif schema.get("type") == "integer":
        schema = {**schema, "minimum": 0}
    made = {"name": name, "in": place, "schema": {k: v for k, v in schema.items() if k != "description"}}
    if place == "path":
        made["required"] = True
    if schema.get("type") == "array":
        # Separated by commas.
        made["explode"] = False
    if field is not None and (comment := schemas.contract.comments.get((request, field.name))):
        made["description"] = comment
    return made


def document(routes, contract):
    schemas = Schemas(contract)
    paths = {}
    for route in routes:
        paths.setdefault(route["path"], {})[route["method"].lower()] = operation(route, contract, schemas)
    for path, operations in pictures(schemas, references()).items():
        paths.setdefault(path, {}).update(operations)
    error = {
        "type": "object", "required": ["error"],
        "properties": {"error": {
            "type": "object", "required": ["code", "message", "requestId"],
            "properties": {
                "code": {"type": "string", "description": "One of gRPC's canonical names."},
                "message": {"type": "string", "description": "What is wrong and why, for a person."},
                "field": {"type": "string", "description": "The field of the body at fault, as the .proto files name it, or "
                          "the parameter of the URL. Absent: no one is."},
                "requestId": {"type": "string", "description": "X-Request-Id of the answer."},
            },
        }},
    }
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ringway", "version": "1", "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Accounts, profiles, friendships and the log of each user. Everything is the contract's "
            "messages as proto3 JSON: 64-bit integers are strings, absent fields have their default value, unknown "
            "fields are ignored. What happens in time comes over the WebSocket.",
        },
        "security": [{"accessToken": []}],
        "tags": [{"name": name, "description": contract.services[name]} for name in dict.fromkeys(
            name for operations in paths.values() for made in operations.values() for name in made["tags"])],
        "paths": paths,
        "components": {
            "securitySchemes": {"accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": {**dict(sorted(schemas.made.items())), "Error": error},
            "responses": {status: {
                "description": text, "content": refusal,
                **({"headers": {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "In seconds."}}}
                   if status == "429" else {})} for status, text in REFUSALS.items()},
        },
    }


def main(binary, *options):
    routes = json.loads(subprocess.run([binary, "routes"], check=True, capture_output=True).stdout)
    text = json.dumps(document(routes, Contract()), indent=1, ensure_ascii=False) + "\n"
    if options == ("--check",):
        if TARGET.read_text() != text:
            sys.exit("openapi: Sources/HTTPAPI/Resources/openapi.json is stale; run make openapi and commit the result")
        print("openapi: the description is up to date")
    else:
        TARGET.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
