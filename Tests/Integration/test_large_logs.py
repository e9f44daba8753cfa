"""A log of the largest messages there can be, read whole through each door: no answer is longer than it may be, and a short
page is told from the log's end by the head.
"""

import json

import grpc
import pytest
from doors import METHODS, PACKAGE
from google.protobuf import message_factory
from hostile import witness
from wire import Account, Api, Socket

EVENTS = 400
TEXT_BYTES = 16 * 1024
# A page's payloads, and what a frame of a reply may be.
PAGE_BYTES, REPLY_BYTES = 256 << 10, 120 * 1024
# In JSON a control character is six bytes; the rest is what stands around the texts.
JSON_BYTES = 6 * PAGE_BYTES + 64 * 1024
# A library takes no more of a message unless it is told to.
GRPC_BYTES = 4 << 20


def largest(account, text):
    """What a log holds of a message that its owner has sent, of the longest text and id."""
    event = message_factory.GetMessageClass(METHODS["InboxService/ReadInbox"].output_type.fields_by_name["events"].message_type)()
    event.message.to, event.message.body.text = 2**62, text
    setattr(event.message, "from", int(account.user))
    event.message.from_device, event.message.client_id = int(account.device), "\x01" * 64
    return event.SerializeToString()


@pytest.fixture(scope="module", params=["\x01", "x"], ids=["control characters", "letters"])
def owner(shared_server, request):
    """Whose log it is."""
    account = Account(Api(shared_server.http))
    payload = largest(account, request.param * TEXT_BYTES).hex()
    shared_server.database.sql(f"""
        INSERT INTO inbox.events (user_id, seq, at, payload)
            SELECT {account.user}, n, now(), decode('{payload}', 'hex') FROM generate_series(1, {EVENTS}) AS n;
        UPDATE inbox.heads SET seq = {EVENTS} WHERE user_id = {account.user}""")
    return account


def pages(ask, since=0):
    """The seqs of each page, until the last one's is the head."""
    found = []
    while True:
        seqs, head = ask(since)
        assert seqs == list(range(since + 1, since + 1 + len(seqs))) and seqs
        found.append(seqs)
        since = seqs[-1]
        if since == head:
            return found


def seqs(answer):
    return [int(event["seq"]) for event in answer["events"]]


def test_over_http(server, owner):
    def ask(since):
        headers = {"Authorization": f"Bearer {owner.token}"}
        status, _, body = owner.api.raw("GET", f"/v1/inbox?limit=1000&since={since}", headers=headers)
        assert status == 200 and len(body) < JSON_BYTES
        answer = json.loads(body)
        return seqs(answer), int(answer["headSeq"])

    with witness(server):
        found = pages(ask)
    # The last page is what is left; no other ends before it has to.
    assert {len(page) for page in found[:-1]} == {PAGE_BYTES // (TEXT_BYTES + 128)}


def test_over_grpc(server, owner):
    method = METHODS["InboxService/ReadInbox"]
    request, answer = (message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type))
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        call = channel.unary_unary(f"/{PACKAGE}InboxService/ReadInbox", response_deserializer=bytes)

        def ask(since):
            body = request(since=since, limit=1000).SerializeToString()
            message = call(body, timeout=10, metadata=[("authorization", f"Bearer {owner.token}")])
            assert len(message) < PAGE_BYTES + 64 * 1024 < GRPC_BYTES
            page = answer.FromString(message)
            return [event.seq for event in page.events], page.head_seq

        with witness(server):
            pages(ask)


def test_over_a_socket_by_asking_for_less(server, owner):
    """Down to one at a time, which always fits."""
    limit = 1000
    with witness(server), Socket(server.ws, owner.token, EVENTS) as socket:
        def ask(since):
            nonlocal limit
            while True:
                request = {"since": str(since), "limit": limit}
                socket.send({"call": {"id": "c", "method": PACKAGE + "InboxService/ReadInbox", "json": request}})
                frame = socket.ws.recv(timeout=10)
                assert len(frame.encode()) <= REPLY_BYTES
                reply = json.loads(frame)["reply"]
                if "json" in reply:
                    return seqs(reply["json"]), int(reply["json"]["headSeq"])
                assert reply["error"]["code"] == "RESOURCE_EXHAUSTED" and limit > 1
                limit //= 2

        pages(ask, since=EVENTS - 30)


def test_as_events_of_a_socket(server, owner):
    """More of them than the gateway reads at a time."""
    with witness(server), Socket(server.ws, owner.token, EVENTS - 150) as socket:
        for seq in range(EVENTS - 149, EVENTS + 1):
            assert int(socket.expect("event")["seq"]) == seq


def test_as_an_export(server, owner):
    with witness(server):
        exported, since = [], 0
        while True:
            headers = {"Authorization": f"Bearer {owner.token}"}
            status, _, body = owner.api.raw("GET", f"/v1/account/export?since={since}", headers=headers)
            assert status == 200 and len(body) < JSON_BYTES
            page = json.loads(body)
            exported += seqs(page)
            if "nextSince" not in page:
                break
            since = int(page["nextSince"])
    assert exported == list(range(1, EVENTS + 1))
