"""The check of the contract itself: what would break a client, or leave a user without an explanation, is found."""

import shutil
import subprocess

import pytest
from server import ROOT

PROTO = ROOT / "Sources/Contract/proto"

# What is done to a file of the contract, and what the check says of it.
BREAKING = {
    "a field is gone": ("profile.proto", "  string region = 7;\n", "", 'field "7" with name "region"'),
    "a field has another number": ("inbox.proto", "string client_id = 5;", "string client_id = 6;", "client_id"),
    "a field has another type": ("auth.proto", "int32 expires_in = 5;", "string expires_in = 5;", "expires_in"),
    "a field has another name": ("auth.proto", "string refresh_token = 4;", "string renewal = 4;", "refresh_token"),
    "a method is gone": (
        "friendship.proto", "rpc ListBlocks(ListBlocksRequest) returns (ListBlocksResponse);", "", "ListBlocks"),
    "a method has another answer": ("gateway.proto", "returns (LocateGatewayResponse)", "returns (Limits)", "LocateGateway"),
    "a value has another number": ("friendship.proto", "EXPIRED = 5;", "EXPIRED = 6;", 'enum value "5"'),
    "a message has another name": ("gateway.proto", "Pong", "Echo", "Pong"),
}


def check(directory):
    done = subprocess.run(
        [ROOT / "scripts/contract.sh", directory], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def edited(tmp_path):
    """A copy of the contract, changed in one place."""

    def edit(file, old, new):
        directory = tmp_path / "proto"
        shutil.copytree(PROTO, directory)
        path = directory / "ringway/v1" / file
        text = path.read_text()
        assert old in text, f"{file} has changed: the test must, too"
        path.write_text(text.replace(old, new))
        return directory

    return edit


def test_the_contract_as_it_is_passes():
    assert check(PROTO) == (0, "")


@pytest.mark.parametrize("change", BREAKING)
def test_what_breaks_a_client_is_refused(edited, change):
    file, old, new, told = BREAKING[change]
    status, complaints = check(edited(file, old, new))
    assert status == 1
    assert told in complaints


def test_what_is_added_breaks_nobody(edited):
    directory = edited("inbox.proto", "  int64 device_id = 2;", "  int64 device_id = 2;\n  // Why.\n  string reason = 3;")
    assert check(directory) == (0, "")


def test_what_nothing_explains_is_refused(edited):
    status, complaints = check(edited("inbox.proto", "  // Which device.\n", ""))
    assert status == 1
    assert 'Field "device_id" should have a non-empty comment' in complaints
