"""Who guesses the password has to wait longer and longer; who knows it does not."""

import pytest
from extension_parts import part


@pytest.fixture
def brake():
    """A brake, and its seconds to be moved on."""
    now = [100.0]
    found = part("standalone.brake").Brake(lambda: now[0])
    found.later = lambda seconds: now.__setitem__(0, now[0] + seconds)
    return found


def test_five_wrong_attempts_are_free_and_then_each_waits_twice_as_long(brake):
    assert [brake.attempt("a") for _ in range(7)] == [0, 0, 0, 0, 0, 30, 30]
    assert brake.attempt("b") == 0
    for seconds in (30, 60, 120, 240):
        assert brake.attempt("a") == seconds
        brake.later(seconds)
        assert brake.attempt("a") == 0
    for _ in range(50):
        brake.later(3600)
        assert brake.attempt("a") == 0
    assert brake.attempt("a") == 3600


def test_the_right_password_takes_the_brake_off(brake):
    for _ in range(3):
        assert [brake.attempt("a") for _ in range(4)] == [0] * 4
        brake.right("a")


def test_many_addresses_fill_no_memory_and_those_of_one_network_count_as_one(brake):
    for number in range(5000):
        brake.attempt(f"10.0.{number // 256}.{number % 256}")
    assert len(brake._wrong) <= 1000
    neighbourhood = part("standalone.brake").neighbourhood
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:1") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("192.168.0.1") != neighbourhood("192.168.0.2")
