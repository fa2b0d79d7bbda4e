"""Systems in one prefix, without root: fetched by digest, laid out from a cache, checked against a receipt."""

from ripple.supervisor.install.installer import Installer, NotObtainable
from ripple.supervisor.install.prefix import Prefix, Tree

__all__ = ["Installer", "NotObtainable", "Prefix", "Tree"]
