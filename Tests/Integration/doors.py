"""One call through each of the three doors: HTTP, gRPC, and a socket's `call`. The gRPC messages are made at run time
from the .proto files, so no generated code is shared with anyone.

A door takes a method by its name, the request as a dictionary (and, for HTTP, its route). ASK has what it answers, as the
contract's JSON: the response, or {"error": ...} with code, message and the field at fault. DOORS has (code, message) alone:
"OK" and "" when the call succeeded.
"""

import base64
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


def refusal(code, message, field=None):
    return {"error": {"code": code, "message": message} | ({"field": field} if field else {})}


def ask_over_http(server, token, row, fill, api):
    """A route may not exist (for services' methods): then whatever path there is, it is not served."""
    verb, path = fill(row["http"]).split(" ")
    body, headers = None, {"Authorization": f"Bearer {token}"} if token is not None else {}
    if verb == "PUT":
        # A picture, which is the body itself.
        picture = json.loads(fill(row["body"]))
        body = base64.b64decode(picture.get("image", ""))
        headers["Content-Type"] = picture.get("contentType", "")
    elif verb in ("POST", "PATCH"):
        body = json.dumps(json.loads(fill(row["body"])))
        headers["Content-Type"] = "application/json"
    _, _, answer = api.raw(verb, path, body, headers)
    answer = json.loads(answer) if answer else {}
    error = answer.get("error")
    return refusal(error["code"], error["message"], error.get("field")) if error else answer


def ask_over_grpc(server, token, row, fill, api):
    method = METHODS[row["method"]]
    request = message_factory.GetMessageClass(method.input_type)()
    json_format.ParseDict(json.loads(fill(row["body"] or "{}")), request)
    answer = message_factory.GetMessageClass(method.output_type)
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        call = channel.unary_unary(
            f"/{PACKAGE}{row['method']}", request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString)
        try:
            told = call(request, timeout=10, metadata=[("authorization", f"Bearer {token}")] if token else [])
        except grpc.RpcError as error:
            return refusal(error.code().name, error.details(), dict(error.trailing_metadata()).get("field"))
    return json_format.MessageToDict(told)


def ask_over_a_socket(server, token, row, fill, api):
    try:
        with Socket(server.ws, token or "", 0) as socket:
            socket.send({"call": {"id": "c", "method": PACKAGE + row["method"], "json": json.loads(fill(row["body"] or "{}"))}})
            reply = socket.expect("reply")
    except Closed as closed:
        assert closed.code in (4501, 4503), closed
        # The call has ended the device that it came from, and the end was faster than the reply.
        if closed.code == 4503 and row["method"] in ENDING:
            return {}
        return refusal("UNAUTHENTICATED", "")
    error = reply.get("error")
    return refusal(error["code"], error["message"], error.get("field")) if error else reply.get("json", {})


def _verdict(ask):
    def through(*call):
        error = ask(*call).get("error", {})
        return error.get("code", "OK"), error.get("message", "")

    return through


ASK = {"http": ask_over_http, "grpc": ask_over_grpc, "socket": ask_over_a_socket}
DOORS = {name: _verdict(ask) for name, ask in ASK.items()}
