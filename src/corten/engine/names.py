"""Names and ids of containers: how they are made, what is a legal one, and how a name finds a thing.

Owns: ids, the ``adjective_surname`` names, the grammar of names, and lookup by id, name or unambiguous prefix.
Knows nothing of what the names stand for: the words are ours, people who moved computing, engineering and science on.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from random import SystemRandom

from corten.errors import Invalid

SHORT_ID = 12

_ADJECTIVES = (
    "able agile airy amber apt ardent artful awake balanced bold brave brazen bright brisk calm candid cheerful clear "
    "clever cobalt coral cosmic crisp curious daring deft eager earnest easy epic fair fearless fine firm fluent fond "
    "frank free fresh gentle glad golden graceful grand happy hardy hearty honest humble jolly jovial keen kind lively "
    "loyal lucid lucky mellow merry mighty mild modest neat nimble noble patient plucky polite proud quick quiet "
    "radiant ready robust rustic serene sharp silent smart snappy solid sound spirited spry stable steady stoic strong "
    "sturdy sunny swift tender tidy tranquil trusty upbeat valiant vivid warm weathered wise witty zesty"
)

_SURNAMES = (
    "allen archimedes babbage backus bell berners brunel carson cerf church codd cray curie darwin davis dijkstra "
    "diffie easley edison einstein elion engelbart euclid euler faraday fermat fermi feynman floyd franklin galileo "
    "gauss germain goldberg goodall haibt hamilton hawking hellman hertz hoare hopper hypatia jennings johnson joliot "
    "kahn kay keller kepler kilby knuth kowalevski lamarr lamport leakey leavitt lichterman liskov lovelace lumiere "
    "maxwell mayer mccarthy mcclintock meitner mendel merkle meninsky mirzakhani moore morse nash newton nightingale "
    "nobel noether noyce pascal pasteur perlman pike planck poincare ptolemy ride ritchie rosalind saha sammet shannon "
    "shockley sinoussi snyder spence stallman stonebraker swanson swartz swirles tesla tharp thompson torvalds tu "
    "turing varahamihira vaughan villani volhard wescoff wilbur wiles williams wilson wing wirth wozniak wright yalow "
    "yonath zhukovsky"
)

ADJECTIVES = tuple(_ADJECTIVES.split())
SURNAMES = tuple(_SURNAMES.split())

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")
_RANDOM = SystemRandom()


def new_id() -> str:
    """64 hexadecimal digits; never all decimal in the short form, so that a hostname made of it is no number."""
    while True:
        value = secrets.token_hex(32)
        if not value[:SHORT_ID].isdigit():
            return value


def check_name(name: str) -> str:
    """The name without the slash that old clients send; raises Invalid in dockerd's words."""
    bare = name.removeprefix("/")
    if not _NAME.match(bare):
        raise Invalid(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return bare


def random_name(is_taken: Callable[[str], bool]) -> str:
    """A free ``adjective_surname``; numbered when the draw is unlucky, as Docker does."""
    for attempt in range(6):
        name = f"{_RANDOM.choice(ADJECTIVES)}_{_RANDOM.choice(SURNAMES)}"
        if attempt:
            name += str(_RANDOM.randrange(10 ** (attempt // 2 + 1)))
        if not is_taken(name):
            return name
    return f"{_RANDOM.choice(ADJECTIVES)}_{secrets.token_hex(4)}"


def by_prefix(prefix: str, ids: Iterable[str]) -> list[str]:
    """The ids that begin so; more than one means that the prefix is ambiguous."""
    if not re.fullmatch(r"[0-9a-f]{1,64}", prefix):
        return []
    return [value for value in ids if value.startswith(prefix)]
