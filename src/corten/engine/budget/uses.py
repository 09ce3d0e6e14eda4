"""When each image was last used: run, pulled, loaded, built, tagged, pushed or saved.

Owns: the facts of kind ``image-use``.  Learned from events, kept in memory and written down now and then: a daemon that
is killed forgets the last minutes, which only makes an image look a little older.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from corten.engine.events import Event
from corten.errors import CortenError
from corten.store.facts import Facts

KIND = "image-use"
_CONTAINER_ACTIONS = frozenset({"create", "start", "die"})
_IMAGE_ACTIONS = frozenset({"pull", "load", "import", "tag", "push", "save"})


class Uses:
    """Knows when."""

    def __init__(self, facts: Facts, find: Callable[[str], str], image_of: Callable[[str], str]) -> None:
        self._facts = facts
        self._find = find  # name or id of an image -> its id
        self._image_of = image_of  # id of a container -> its image's
        self._known = {id: float(body["at"]) for id, body in facts.items(KIND).items()}
        self._changed: set[str] = set()

    def heard(self, event: Event) -> None:
        """Learn from an event."""
        try:
            if event.type == "container" and event.action in _CONTAINER_ACTIONS:
                self.note(self._image_of(event.actor_id))
            elif event.type == "image" and event.action in _IMAGE_ACTIONS:
                self.note(self._find(event.actor_id))
        except CortenError:
            return  # gone already

    def note(self, image: str, at: float | None = None) -> None:
        """It was used."""
        if image:
            self._known[image] = max(self._known.get(image, 0.0), at or time.time())
            self._changed.add(image)

    def last(self, image: str) -> float:
        """When; 0 if that is not known."""
        return self._known.get(image, 0.0)

    def flush(self, images: Collection[str]) -> None:
        """Write down; forget images that are not among ``images``, all there are."""
        gone = set(self._known) - set(images)
        if not gone and not self._changed:
            return
        with self._facts.transaction():
            for image in gone:
                del self._known[image]
                self._facts.delete(KIND, image)
            for image in self._changed - gone:
                self._facts.put(KIND, image, {"at": self._known[image]})
        self._changed.clear()
