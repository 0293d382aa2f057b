"""Attacks that others wrote, one library a file: they propose, and our judge decides (docs/peers.md)."""

from robustbench_lite.peers.adv_lib import AdvLib
from robustbench_lite.peers.art import ART
from robustbench_lite.peers.base import Peer, peers
from robustbench_lite.peers.call import Call
from robustbench_lite.peers.foolbox import Foolbox
from robustbench_lite.peers.official_autoattack import OfficialAutoAttack
from robustbench_lite.peers.torchattacks import TorchAttacks

__all__ = ["ART", "AdvLib", "Call", "Foolbox", "OfficialAutoAttack", "Peer", "TorchAttacks", "peers"]
