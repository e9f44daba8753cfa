"""A device that has ended has no socket a second later: on no node, however far behind its client is, whatever was lost."""

import time

import pytest
from server import nodes_of, own_server_of
from wire import Account, Api, Closed, Socket


@pytest.fixture
def node(postgres_url):
    with own_server_of(postgres_url) as server:
        yield server.start()


def end(alice, device):
    alice.ok("DELETE", f"/v1/devices/{device}")


def grow(server, account, events):
    """That many copies of the log's last event behind it."""
    server.database.sql(
        f"""
        DO $$ DECLARE last bytea; BEGIN
            SELECT payload INTO last FROM inbox.events WHERE user_id = {account.user} ORDER BY seq DESC LIMIT 1;
            FOR i IN 1..{events} LOOP PERFORM inbox.append(ARRAY[{account.user}], ARRAY[last]); END LOOP;
        END $$
        """)


def test_a_device_that_ends_while_it_says_hello_on_another_node_has_no_socket(postgres_url):
    with nodes_of(postgres_url, {}, {}) as (one, other):
        alice = Account(Api(one.http))
        for _ in range(10):
            phone = alice.another_device()
            # The other node has found it active just now.
            Api(other.http).ok("GET", "/v1/account", token=phone.token)
            end(alice, phone.device)
            # Behind the event that tells of the end, so that the log has nothing more to say.
            with pytest.raises(Closed) as closed:
                with Socket(other.ws, phone.token, since=alice.head()) as socket:
                    raise Closed(socket.expect_close(timeout=5))
            assert closed.value.code in (4501, 4503)


def test_a_device_that_is_far_behind_is_not_sent_the_rest_of_its_log(node):
    alice, bob = Account(Api(node.http)), Account(Api(node.http))
    alice.befriend(bob)
    with Socket(node.ws, bob.token) as socket:
        socket.message("1", alice.user, "x" * 15_000)
        socket.expect("sent")
    grow(node, alice, 2000)
    phone = alice.another_device()
    with (
        Socket(node.ws, phone.token, since=0, unread_max=2) as behind,
        Socket(node.ws, alice.token, since=alice.head()) as near,
    ):
        time.sleep(0.5)
        end(alice, phone.device)
        assert near.expect("event", where=lambda event: event.get("device", {}).get("change") == "REVOKED")
        time.sleep(0.5)
        # What had been queued by then is all there is; the event of its end is not among it.
        assert behind.expect_close() == 4503
        assert len(behind.backlog) < 1000
        assert not any("device" in event for kind, event in behind.backlog if kind == "event")
        assert near.is_alive()


def test_a_device_whose_end_was_not_heard_of_is_found_out_once_the_node_listens_again(node):
    alice = Account(Api(node.http))
    phone = alice.another_device()
    with Socket(node.ws, phone.token, since=alice.head()) as ending, Socket(node.ws, alice.token) as staying:
        node.database.sql(
            f"""
            ALTER TABLE auth.devices DISABLE TRIGGER USER;
            UPDATE auth.devices SET revoked_at = now() WHERE id = {phone.device};
            ALTER TABLE auth.devices ENABLE TRIGGER USER;
            """)
        assert ending.is_alive()
        node.database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%ringway_devices%'"
            " AND datname = current_database()")
        assert ending.expect_close() == 4503
        assert staying.is_alive()
