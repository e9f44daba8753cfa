"""One call through each of the three doors: HTTP, gRPC, and a socket's `call`. The gRPC messages are made at run time
from the .proto files, so no generated code is shared with anyone.

A door takes a method by its name, the request as a dictionary (and, for HTTP, its route), and answers (code, message):
"OK" and "" when the call succeeded.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from server import ROOT
from wire import Closed, Socket

PROTO = ROOT / "Sources/Contract/proto"
PACKAGE = "ringway.v1."


def _load_contract():
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "contract")
        files = [str(file) for file in sorted(PROTO.rglob("*.proto"))]
        command = ["protoc", f"-I{PROTO}", f"--descriptor_set_out={path}", "--include_imports", *files]
        subprocess.run(command, check=True, timeout=30)
        described = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)
    methods = {}
    for file in described.file:
        if file.package + "." != PACKAGE:
            continue
        for service in pool.FindFileByName(file.name).services_by_name.values():
            for method in service.methods:
                methods[f"{service.name}/{method.name}"] = method
    return methods


METHODS = _load_contract()
ENDING = ("AuthService/LogOut", "AuthService/RevokeDevice", "AuthService/DeleteAccount")


def through_http(server, token, row, fill, api):
    """A route may not exist (for services' methods): then whatever path there is, it is not served."""
    verb, path = fill(row["http"]).split(" ")
    body = json.loads(fill(row["body"])) if verb in ("POST", "PATCH") else None
    _, answer = api.call(verb, path, body, token)
    error = answer.get("error", {})
    return error.get("code", "OK"), error.get("message", "")


def through_grpc(server, token, row, fill, api):
    method = METHODS[row["method"]]
    request = message_factory.GetMessageClass(method.input_type)()
    json_format.ParseDict(json.loads(fill(row["body"] or "{}")), request)
    answer = message_factory.GetMessageClass(method.output_type)
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        call = channel.unary_unary(
            f"/{PACKAGE}{row['method']}", request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString)
        try:
            call(request, timeout=10, metadata=[("authorization", f"Bearer {token}")] if token else [])
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return "OK", ""


def through_socket(server, token, row, fill, api):
    try:
        with Socket(server.ws, token or "", 0) as socket:
            socket.send({"call": {"id": "c", "method": PACKAGE + row["method"], "json": json.loads(fill(row["body"] or "{}"))}})
            error = socket.expect("reply").get("error", {})
            return error.get("code", "OK"), error.get("message", "")
    except Closed as closed:
        assert closed.code in (4501, 4503), closed
        # The call has ended the device that it came from, and the end was faster than the reply.
        if closed.code == 4503 and row["method"] in ENDING:
            return "OK", ""
        return "UNAUTHENTICATED", ""


DOORS = {"http": through_http, "grpc": through_grpc, "socket": through_socket}
