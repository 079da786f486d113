"""Compares random host patterns with this Python's own `re.fullmatch`.

    cargo build --release --example fullmatch
    python3 fuzz_patterns.py target/release/examples/fullmatch COUNT SEED

Needs Python 3.11. Prints how often both agree, which patterns only Python takes, and
every disagreement; exits with 1 if there is any.
"""

import collections
import json
import random
import re
import resource
import signal
import subprocess
import sys
import warnings

ASCII = "ab1.-_ABiIkKsS \n\x1c"
BEYOND = "é\u0131\u0130\u017f\u212a\u0663ß\xa0Éǅ中"
NOISE = list("ab1()[]{}*+?|\\^$.-,:=!<>#PiLmsxaut&~ 09\n") + [
    "(?", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?P<n>", "(?P=n)", "(?(1)", "(?(n)",
    "(?i)", "(?x)", "(?i:", "(?-i:", "(?m)", "(?s)", "(?a)", "(?u)", "(?#", "\\1", "\\2", "\\b",
    "\\B", "\\A", "\\Z", "\\d", "\\w", "\\s", "\\x4", "\\x41", "\\u0061", "\\07", "\\400",
    "\\U00000061", "{2,1}", "{1,2}", "{,3}", "{2}", "[]", "[^]", "[a-", "[z-a]", "--", "&&", "é",
]


def literal(rng, letters):
    return re.escape(rng.choice(letters)) if rng.random() < 0.98 else rng.choice(BEYOND)


def set_item(rng):
    roll = rng.random()
    if roll < 0.4:
        return rng.choice("ab1.-_ABikKsS[&~|^]".replace("]", "\\]") if rng.random() < 0.9 else "-^")
    if roll < 0.7:
        first, last = sorted([rng.choice("ab1AZizkKsS"), rng.choice("ab1AZizkKsS")])
        return f"{first}-{last}"
    if roll < 0.97:
        return rng.choice(["\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "\\x41", "\\-", "\\n", "\\b"])
    return rng.choice(BEYOND)


class Maker:
    """Makes patterns that are valid, mostly."""

    def __init__(self, rng):
        self.rng = rng
        self.letters = rng.choice(["a", "ab", "ab", "ab", "ab1-", ASCII[:11]])
        self.plain = rng.random() < 0.4
        self.groups = 0
        self.closed = []
        self.names = []

    def atom(self, depth):
        rng = self.rng
        roll = rng.random()
        if depth <= 0 or roll < 0.42:
            roll = rng.random()
            if roll < 0.6:
                return literal(rng, self.letters)
            if self.plain:
                return rng.choice([".", "[ab]", "", "(?:)", "\\w", "b?", "a*", "^", "$"])
            if roll < 0.68:
                return "."
            if roll < 0.76:
                return rng.choice(["\\d", "\\D", "\\w", "\\W", "\\s", "\\S"])
            if roll < 0.86:
                return rng.choice(["^", "$", "\\b", "\\B", "\\A", "\\Z"])
            items = "".join(set_item(rng) for _ in range(rng.randint(1, 4)))
            return f"[{rng.choice(['', '', '^'])}{items}]"
        inner = lambda: self.choice(depth - 1)
        if roll < 0.56:
            self.groups += 1
            number = self.groups
            if rng.random() < 0.15:
                name = f"n{number}"
                group = f"(?P<{name}>{inner()})"
                self.names.append(name)
            else:
                group = f"({inner()})"
            self.closed.append(number)
            return group
        if roll < 0.68:
            return f"(?:{inner()})"
        if roll < 0.80:
            if rng.random() < 0.2 and self.names:
                return f"(?P={rng.choice(self.names)})"
            if self.closed and rng.random() < 0.97:
                return f"\\{rng.choice(self.closed)}"
            return f"\\{rng.randint(1, self.groups + 1)}" if rng.random() < 0.1 else "a"
        if roll < 0.84:
            which = rng.choice(self.names) if self.names and rng.random() < 0.3 else None
            if not which and self.groups and rng.random() < 0.95:
                which = rng.randint(1, self.groups)
            which = which or self.groups + 1
            yes, no = self.sequence(depth - 1), self.sequence(depth - 1)
            return f"(?({which}){yes}|{no})" if rng.random() < 0.7 else f"(?({which}){yes})"
        if roll < 0.88:
            return f"(?>{inner()})"
        if roll < 0.93:
            return f"(?{rng.choice('=!')}{inner()})"
        if roll < 0.96:
            return f"(?<{rng.choice('=!')}{inner() if rng.random() < 0.3 else literal(rng, self.letters)})"
        if roll < 0.97:
            return "(?#c)"
        flags = rng.choice(["i", "s", "m", "x", "a", "u", "-i", "-s", "i-s", "a-i", "ai"])
        return f"(?{flags}:{inner()})"

    def piece(self, depth):
        rng = self.rng
        atom = self.atom(depth)
        roll = rng.random()
        bare = atom in ("", "^", "$", "(?#c)", "\\b", "\\B", "\\A", "\\Z")
        if roll < 0.5 or bare and rng.random() < 0.95:
            return atom
        if roll < 0.985:
            mark = rng.choice("*+?") if rng.random() < 0.75 else rng.choice(
                ["{2}", "{1,2}", "{,2}", "{1,}", "{0}", "{3}", "{0,3}", "{"])
            return atom + mark + rng.choice(["", "", "", "?", "+"])
        return atom + rng.choice(["*", "{2}"]) + rng.choice(["*", "+", "?", "{2}"])

    def sequence(self, depth):
        return "".join(self.piece(depth) for _ in range(self.rng.choice([0, 1, 1, 1, 2, 2, 3])))

    def choice(self, depth):
        count = self.rng.choice([1, 1, 1, 2, 2, 3])
        return "|".join(self.sequence(depth) for _ in range(count))

    def pattern(self):
        rng = self.rng
        body = self.choice(rng.randint(1, 5))
        if rng.random() < 0.3:
            body = "(?=)" + body
        if rng.random() < 0.3:
            body = f"(?{rng.choice(['i', 'i', 's', 'm', 'x', 'a', 'ai', 'u', 'im', 't'])})" + body
        return body


def mutated(rng, pattern):
    chars = list(pattern)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(chars))
        roll = rng.random()
        if roll < 0.4:
            chars.insert(at, rng.choice(NOISE))
        elif chars and roll < 0.8:
            del chars[min(at, len(chars) - 1)]
        elif chars:
            chars[min(at, len(chars) - 1)] = rng.choice(NOISE)
    return "".join(chars)


def make_pattern(rng):
    roll = rng.random()
    if roll < 0.7:
        return Maker(rng).pattern()
    if roll < 0.9:
        return mutated(rng, Maker(rng).pattern())
    return "".join(rng.choice(NOISE) for _ in range(rng.randint(1, 10)))


def make_hostname(rng):
    alphabet = rng.choice(["a", "ab", "ab", "ab", "ab1", "aAbB", ASCII, ASCII + BEYOND, "iIsSkK" + BEYOND])
    return "".join(rng.choice(alphabet) for _ in range(rng.choice([0, 1, 2, 2, 3, 3, 4, 5, 6, 8])))


class TooSlow(Exception):
    pass


def give_up(_signal, _frame):
    raise TooSlow


def limit_time():
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    signal.signal(signal.SIGALRM, give_up)


def python_answer(pattern, hostname):
    """(kind, value): "answer", "error" with its position, or "slow"."""
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        return "answer", re.compile(pattern).fullmatch(hostname) is not None
    except re.error as error:
        return "error", error.pos
    except (ValueError, OverflowError):
        return "error", None
    except (TooSlow, MemoryError):
        return "slow", None
    except (RuntimeError, SystemError) as error:
        return "broken", str(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def judge(tally, ours, theirs):
    """What to say about one case; None if there is nothing to say."""
    kind, value = theirs
    if isinstance(ours, dict) and "limit" in ours:
        tally["step limit reached"] += 1
    elif kind == "slow":
        tally["Python too slow"] += 1
    elif kind == "broken":
        if not isinstance(ours, dict) or "broken" not in ours:
            return "Python is broken here"
        tally["Python fails with an internal error, and so do we"] += 1
    elif isinstance(ours, dict) and "broken" in ours:
        return "Python is not broken here"
    elif isinstance(ours, bool):
        if kind == "answer" and value == ours:
            tally[f"agree: {ours}"] += 1
        else:
            return "different"
    elif "not supported" in ours["reason"]:
        reason = re.sub(r"\('.*'\)", "", ours["reason"], flags=re.DOTALL)
        tally[f"{'refused by us only' if kind == 'answer' else 'refused by both'}: {reason}"] += 1
    elif kind == "answer":
        return "refused for no reason"
    elif value is None:
        tally["agree: error without a position"] += 1
    elif value == ours["position"]:
        tally["agree: error and position"] += 1
    else:
        return "different position"
    return None


def main():
    program, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if sys.version_info[:2] != (3, 11):
        sys.exit("the answers must be those of Python 3.11")
    warnings.simplefilter("ignore")
    limit_time()
    rng = random.Random(seed)
    tally = collections.Counter()
    bad = 0
    while count > 0:
        cases = []
        while len(cases) < min(count, 20000):
            pattern = make_pattern(rng)
            cases += [(pattern, make_hostname(rng)) for _ in range(4)]
        count -= len(cases)
        lines = "".join(json.dumps(case) + "\n" for case in cases)
        run = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
        for case, line in zip(cases, run.stdout.splitlines(), strict=True):
            ours, theirs = json.loads(line), python_answer(*case)
            verdict = judge(tally, ours, theirs)
            if verdict:
                bad += 1
                print(f"{verdict}: {json.dumps(case)} ours {line} theirs {theirs}", flush=True)
        re.purge()
    for what, times in sorted(tally.items()):
        print(f"{times:9} {what}")
    print(f"{bad:9} disagreements")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
