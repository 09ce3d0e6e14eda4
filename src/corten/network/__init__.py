"""Links, addresses, names and firewall rules of containers.  Read ``model.py``, then ``service.py``."""
