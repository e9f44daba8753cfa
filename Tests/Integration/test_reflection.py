"""gRPC reflection: a client that has no .proto files learns from the server what it speaks, by either version of the
protocol, and what it asks costs the server little."""

import json
import queue
import subprocess

import grpc
import pytest
from doors import METHODS, PACKAGE, ROOT
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hostile import witness
from server import own_server_of

BUF = ROOT / ".build-venv/bin/buf"
INFO = "/grpc.reflection.{}.ServerReflection/ServerReflectionInfo"
POOL = METHODS["AuthService/LogIn"].containing_service.file.pool
QUESTION, ANSWER = (
    message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"grpc.reflection.v1.ServerReflection{kind}"))
    for kind in ("Request", "Response"))


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        yield channel


def ask(channel, questions, version="v1", timeout=10):
    method = channel.stream_stream(
        INFO.format(version), request_serializer=QUESTION.SerializeToString, response_deserializer=ANSWER.FromString)
    return method(iter(questions), timeout=timeout)


def buf(server, *arguments):
    command = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments[:-1],
               f"http://127.0.0.1:{server.ports['grpc']}/{arguments[-1]}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_client_without_proto_files_lists_describes_and_calls(server, alice, channel):
    """What a library makes of it: from the server's own description alone, a request and an answer that can be read."""
    database = ProtoReflectionDescriptorDatabase(channel)
    services = {name for name in database.get_services() if name.startswith(PACKAGE)}
    assert services == {method.containing_service.full_name for method in METHODS.values()}
    pool = descriptor_pool.DescriptorPool(database)
    described = {f"{service.split('.')[-1]}/{method.name}"
                 for service in services for method in pool.FindServiceByName(service).methods}
    assert described == set(METHODS)
    update = pool.FindMethodByName(PACKAGE + "ProfileService.UpdateMyProfile")
    request = message_factory.GetMessageClass(update.input_type)(nickname="Alice by reflection")
    call = channel.unary_unary(
        f"/{PACKAGE}ProfileService/UpdateMyProfile", request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(update.output_type).FromString)
    profile = json_format.MessageToDict(call(request, timeout=10, metadata=[("authorization", f"Bearer {alice.token}")]))
    assert profile["nickname"] == "Alice by reflection"


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_both_versions_answer_alike(channel, version):
    questions = [QUESTION(list_services="", host="h"), QUESTION(file_containing_symbol=PACKAGE + "AuthService"),
                 QUESTION(file_by_filename="ringway/v1/auth.proto"), QUESTION(file_containing_symbol="no.such"),
                 QUESTION(all_extension_numbers_of_type=PACKAGE + "LogInRequest"), QUESTION()]
    answers = list(ask(channel, questions, version))
    assert [answer.WhichOneof("message_response") for answer in answers] == [
        "list_services_response", "file_descriptor_response", "file_descriptor_response", "error_response",
        "all_extension_numbers_response", "error_response"]
    assert [answer.original_request for answer in answers] == questions
    assert answers[0].valid_host == "h"
    assert answers[1].file_descriptor_response == answers[2].file_descriptor_response
    assert [answers[index].error_response.error_code for index in (3, 5)] == [5, 3]


def test_names_and_numbers_are_the_protocols_own():
    """Our file against the one that gRPC publishes, which has them under v1alpha."""
    from grpc_reflection.v1alpha import reflection_pb2

    theirs = {message.name: [(each.name, each.number, each.type) for each in message.fields]
              for message in reflection_pb2.DESCRIPTOR.message_types_by_name.values()}
    ours = {message.name: [(each.name, each.number, each.type) for each in message.fields]
            for message in POOL.FindFileByName("grpc/reflection/v1/reflection.proto").message_types_by_name.values()}
    assert ours == theirs


def test_buf_curl_without_a_schema(server, alice):
    done = buf(server, "-H", f"authorization: Bearer {alice.token}", PACKAGE + "AuthService/GetAccount")
    assert json.loads(done.stdout)["userId"] == alice.user, done.stderr
    listed = buf(server, "--list-methods", "").stdout.split()
    assert {f"{PACKAGE}{method}" for method in METHODS} <= set(listed)


def test_reflection_can_be_turned_off(postgres_url):
    with own_server_of(postgres_url) as server:
        server.start(RINGWAY_GRPC_REFLECTION="off")
        with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
            for version in ("v1", "v1alpha"):
                with pytest.raises(grpc.RpcError) as refused:
                    list(ask(channel, [QUESTION(list_services="")], version))
                assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_stream_has_a_thousand_questions(server, channel):
    with witness(server):
        answers = ask(channel, [QUESTION(file_by_filename="ringway/v1/gateway.proto")] * 1001, timeout=60)
        count = 0
        with pytest.raises(grpc.RpcError) as refused:
            for _ in answers:
                count += 1
        assert (refused.value.code(), count) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1000)


def test_streams_are_bounded_and_give_their_place_back(server):
    port = server.ports["grpc"]
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(2)]

    blocker = queue.Queue()

    def forever():
        yield QUESTION(list_services="")
        yield blocker.get()

    streams = [ask(channels[index % 2], forever(), timeout=30) for index in range(120)]
    outcomes = []
    for stream in streams:
        try:
            outcomes.append(next(stream).WhichOneof("message_response"))
        except grpc.RpcError as error:
            outcomes.append(error.code())
    assert outcomes.count("list_services_response") == 100
    assert outcomes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 20
    for stream in streams:
        stream.cancel()
    for channel in channels:
        channel.close()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        for _ in range(50):
            try:
                assert list(ask(channel, [QUESTION(list_services="")]))
                break
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("question", [b"\xff", b"\x1a\xff\xff\xff\xff\x07", b"\x1a\x05ab", b"\x22\x02\xc3\x28"])
def test_a_question_that_is_no_message(server, channel, question):
    with witness(server), pytest.raises(grpc.RpcError) as refused:
        list(channel.stream_stream(INFO.format("v1"))(iter([question]), timeout=10))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
