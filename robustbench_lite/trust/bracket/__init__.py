"""The bracket: whether an attack, as it is configured, finds what it must where the answer is known exactly.

On classifiers that are linear in the image the distance to the nearest boundary is known in every norm, also where the
box binds. Every attack is tried there before it runs on anything else: it must fail where nobody can succeed, and
succeed where it promises to (`Attack.promise`).
"""

from robustbench_lite.trust.bracket.bracket import bracket, calibrate, summary, thorough, usual
from robustbench_lite.trust.bracket.cache import calibrated, key_of
from robustbench_lite.trust.bracket.finding import Finding
from robustbench_lite.trust.bracket.search import Planted

__all__ = ["Finding", "Planted", "bracket", "calibrate", "calibrated", "key_of", "summary", "thorough", "usual"]
