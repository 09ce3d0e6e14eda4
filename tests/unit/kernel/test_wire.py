"""Messages with descriptors: whole, owned, closed when nobody takes them."""

from __future__ import annotations

import os

from corten.kernel import wire


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_bodies_and_descriptors_arrive() -> None:
    ours, theirs = wire.pair()
    with ours, theirs:
        read_fd, write_fd = os.pipe()
        wire.send(ours, {"a": "ä", "n": [1, 2]}, [read_fd])
        os.close(read_fd)
        message = wire.receive(theirs)
        assert message is not None
        with message:
            assert message.body == {"a": "ä", "n": [1, 2]}
            taken = message.take()
        os.write(write_fd, b"x")
        assert os.read(taken, 1) == b"x"
        os.close(taken)
        os.close(write_fd)


def test_large_bodies_travel_in_memory_files() -> None:
    ours, theirs = wire.pair()
    with ours, theirs:
        before = open_fds()
        wire.send(ours, {"text": "x" * 1_000_000}, [0])
        message = wire.receive(theirs)
        assert message is not None
        assert (len(message.body["text"]), message.fd_count) == (1_000_000, 1)
        message.close()
        assert open_fds() == before


def test_what_is_not_taken_is_closed_and_the_end_is_none() -> None:
    ours, theirs = wire.pair()
    before = open_fds()
    wire.send(ours, {}, [0, 1, 2])
    message = wire.receive(theirs)
    assert message is not None
    message.close()
    assert open_fds() == before
    ours.close()
    assert wire.receive(theirs) is None
    theirs.close()


def test_last_words_arrive_though_the_other_end_did_not_listen() -> None:
    ours, theirs = wire.pair()
    with ours:
        wire.send(ours, {"unread": True})
        wire.send(theirs, {"last": "words"})
        theirs.close()
        message = wire.receive(ours)
        assert message is not None
        assert message.body == {"last": "words"}
        assert wire.receive(ours) is None
