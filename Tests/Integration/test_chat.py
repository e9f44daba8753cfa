"""`ringway chat` as a process with a pipe: the Swift client against the real server, and kill -9 on either side."""

import json
import os
import pty
import re
import signal
import stat
import subprocess
import time

import pytest
from server import BINARY, clean_environment

PASSWORD = "correct horse"


class Chats:
    """Chats of one home against one server. Every process is ended by its id."""

    def __init__(self, server_url, home):
        self.server_url = server_url
        self.home = home
        self.running = []

    def start(self, name, linger=0.0, password=PASSWORD, stdin=subprocess.PIPE):
        chat = subprocess.Popen(
            [BINARY, "chat", "--as", name, "--server", self.server_url, "--linger", str(linger)],
            env=clean_environment(RINGWAY_HOME=str(self.home), RINGWAY_PASSWORD=password),
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        self.running.append(chat)
        return chat

    def say(self, name, *lines, linger=0.0, status=0, password=PASSWORD):
        """What a chat that is given these lines prints, to its end."""
        chat = self.start(name, linger, password)
        text, _ = chat.communicate("".join(line + "\n" for line in lines), timeout=60)
        assert chat.returncode == status, text
        return text.splitlines()

    def hear(self, expected, name, *lines):
        """What a chat that is given these lines prints, and others after it, until the expected line has come: the first may
        end before it is connected."""
        heard = self.say(name, *lines, linger=1)
        deadline = time.monotonic() + 20
        while expected not in heard:
            assert time.monotonic() < deadline, heard
            heard += self.say(name, linger=1)
        return heard

    def file(self, name):
        return next(self.home.rglob(f"{name}.json"))

    def edit(self, name, change):
        state = json.loads(self.file(name).read_text())
        change(state)
        self.file(name).write_text(json.dumps(state))

    def befriend(self):
        first = self.say("alice")[0]
        self.say("bob", "/add " + re.search(r"id (\d+)", first)[1] + " it's bob")
        self.hear("-- bob and you are friends", "alice", "/accept")
        self.hear("-- alice and you are friends", "bob")

    def end(self):
        for chat in self.running:
            if chat.poll() is None:
                chat.kill()
                chat.wait()


@pytest.fixture
def chats(own_server, tmp_path):
    chats = Chats(f"http://127.0.0.1:{own_server.http}", tmp_path / "home")
    yield chats
    chats.end()


def test_two_people_talk(chats):
    chats.befriend()
    assert [line for line in chats.say("alice", "one", "two") if not line.startswith("--")] == ["sent #3", "sent #4"]
    heard = chats.hear("alice: two", "bob", "three")
    assert [line for line in heard if ":" in line] == ["alice: one", "alice: two"]
    chats.hear("bob: three", "alice")
    # What was shown is not shown again.
    assert not [line for line in chats.say("bob", linger=1) if ":" in line]
    assert stat.S_IMODE(os.stat(chats.file("bob")).st_mode) == 0o600


def test_a_password_that_is_typed_at_once_is_taken_and_not_shown(chats):
    ours, theirs = pty.openpty()
    chat = subprocess.Popen(
        [BINARY, "chat", "--as", "alice", "--server", chats.server_url], env=clean_environment(RINGWAY_HOME=str(chats.home)),
        stdin=theirs, stdout=theirs, stderr=theirs)
    chats.running.append(chat)
    os.close(theirs)
    shown = b""
    while b"password of alice: " not in shown:
        shown += os.read(ours, 1000)
    os.write(ours, PASSWORD.encode() + b"\n")
    while b"you are alice" not in shown:
        shown += os.read(ours, 1000)
    os.write(ours, b"/quit\n")
    assert chat.wait(timeout=10) == 0
    os.close(ours)
    assert PASSWORD.encode() not in shown


def test_friends_are_called_by_their_usernames(chats):
    chats.say("alice2")
    chats.say("alice")
    assert "-- there is no alic to be found" in chats.say("bob", "/add alic")
    assert "-- /add WHO [GREETING]" in chats.say("bob", "/add")
    chats.hear("-- you asked alice to be your friend", "bob", "/add Alice hello")
    assert "-- alice2 has not asked you" in chats.say("alice", "/accept alice2")
    chats.hear("-- bob and you are friends", "alice", "/accept bob")
    assert "-- you write to alice" in chats.say("bob", "/to alice")
    assert "-- alice2 is not your friend" in chats.say("bob", "/to alice2")


def test_a_terminal_is_not_steered_by_a_message(chats):
    chats.befriend()
    chats.say("alice", "a\x1b[2Jb\u202ec")
    chats.hear("alice: a [2Jb c", "bob")


def test_wrong_password_and_refused_message(chats, tmp_path):
    chats.say("alice")
    stranger = Chats(chats.server_url, tmp_path / "elsewhere")
    assert stranger.say("alice", password="wrong horse", status=1) == ["ringway: wrong password for alice"]
    assert "1 of the messages" in chats.say("alice", "to nobody", status=1)[-1]


def test_tokens_are_renewed_and_a_logged_out_device_is_told(chats):
    chats.befriend()
    chats.edit("alice", lambda state: state["credentials"].update(accessToken="spoilt"))
    assert "sent #3" in chats.say("alice", "renewed")
    chats.edit("alice", lambda state: state["credentials"].update(accessToken="spoilt", refreshToken="spoilt"))
    assert "logged out" in chats.say("alice", linger=30, status=1)[-1]
    # The new device has taken a seq of its own.
    assert "sent #5" in chats.say("alice", "as a new device")


def test_one_account_has_one_chat_in_a_home(chats):
    chats.say("alice")
    first = chats.start("alice", linger=30)
    assert first.stdout.readline().startswith("-- you are alice")
    assert "another chat" in chats.say("alice", status=1)[-1]


def test_killing_server_and_reader_loses_and_doubles_nothing(chats, own_server):
    chats.befriend()
    count = 60
    writer = chats.start("alice")
    heard = []
    reader = chats.start("bob", linger=60, stdin=subprocess.DEVNULL)
    for number in range(count):
        if number == 15:
            own_server.kill()
        if number == 25:
            own_server.start()
        if number == 40:
            reader.send_signal(signal.SIGKILL)
            heard += reader.communicate()[0].splitlines()
            reader = chats.start("bob", linger=60, stdin=subprocess.DEVNULL)
        writer.stdin.write(f"m{number}\n")
        writer.stdin.flush()
        time.sleep(0.05)
    said, _ = writer.communicate(timeout=60)
    assert writer.returncode == 0, said
    assert len(re.findall(r"^sent #", said, re.MULTILINE)) == count
    wanted = [f"alice: m{number}" for number in range(count)]
    for line in reader.stdout:
        heard.append(line.rstrip("\n"))
        if heard[-1] == wanted[-1]:
            break
    messages = [line for line in heard if line.startswith("alice: ")]
    # A reader that dies between showing and storing shows that one line again, and only that.
    doubles = len(messages) - len(set(messages))
    assert doubles <= 1, messages
    assert sorted(set(messages), key=wanted.index) == wanted
