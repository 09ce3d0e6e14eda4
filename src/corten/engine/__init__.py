"""Docker's opinions: containers, execs, images, networks, volumes, builds, events, as Docker's users know them."""
