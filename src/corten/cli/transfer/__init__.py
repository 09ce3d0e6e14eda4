"""``cp``: plan.py decides where things go, pack.py and unpack.py carry them; the requests are in commands/cp.py."""
