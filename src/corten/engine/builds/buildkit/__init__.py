"""BuildKit's builds on our builder: options, contexts, secrets and exports of the clients' sessions."""
