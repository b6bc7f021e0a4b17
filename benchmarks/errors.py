"""Why a run gives no figures."""


class Refused(Exception):
    """A figure of this run would mean nothing; the message says why."""
