"""Records what this Python's `re.fullmatch` answers into python_fullmatch.json.

    python3 record_patterns.py

Needs Python 3.11. Each row is [pattern, hostname, answer]: true, false, or {"position": n}
if `re.compile` refuses the pattern (null where it names no position). The patterns under
"refused" are those that only Python takes. The last rows come from fuzz_patterns.py.
"""

import json
import pathlib
import random
import re
import sys
import unicodedata
import warnings

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import fuzz_patterns  # noqa: E402

NAMES = ["node-1", "node-12.cluster", "login", ""]
AB = ["", "a", "b", "aa", "ab", "ba", "aab", "aba", "abab", "aabb", "abb"]

# (patterns, hostnames)
TABLE = [
    # Plain hostnames.
    (["node-\\d+", "node-.*", ".*", "", "node-1|login", "(node|login)(-\\d+)?", ".*\\.cluster",
      "[a-z]+-[0-9]{1,2}(\\.[a-z]+)*", "(?!login).*", "(?i)NODE-1", "^node-1$", "\\Anode-1\\Z",
      "node", "ode-1", "node-1.", "^$", "\\w+", "[\\w-]+", "[\\w.-]*", "n?o?d?e?-?1?"], NAMES),
    # What another engine would read differently.
    (["a++a", "a++", "a*+a", "a?+a", "a{1,2}+a", "a{1,2}+b", "(?:ab)++", "(?:ab)++ab", "(?:a|ab)*+b",
      "(a|b)*+", "((a)|b)*+\\2", "(?:a{2})*+a"], AB),
    (["[a&&b]", "[a--b]", "[[a]", "[a||b]", "[a~~b]", "[[:alpha:]]", "[a-b-c]", "[]a]", "[^]a]",
      "[a-]", "[-a]", "[^-a]", "[\\w-]", "[a\\-z]", "[\\]]", "[^\\]]", "[]-a]", "[a^]", "[\\^a]",
      "[.]", "[$]", "[\\b]", "[\\x61-\\x63]", "[\\141]", "[\\d\\-a]", "[+--]", "[!-~]", "[a\\]",
      "[\\0]", "[\\60]", "[a-a]", "[aa]", "[[]", "[][]", "[\\u0061]", "[\\U00000061]", "[--/]"],
     ["a", "b", "-", "[", "]", "&", "~", "|", ":]", "p]", "^", ".", "\x08", "\0", "z", ","]),
    (["a{", "{", "a{,3}", "a{2", "a{1,2", "a{,}", "a{1,}", "{}", "a{}", "a{ 1}", "a{1 }", "}", "]",
      "a{x}", "a{0}", "a{0,0}b", "a{1}{2}", "(?:a{1}){2}", "a{01}", "a{,0}", "{1", "a{-1}", "x{,3}y"],
     ["", "a", "aa", "aaa", "aaaa", "a{", "{", "}", "]", "{}", "a{}", "a{x}", "b", "{1", "a{2",
      "a{-1}", "a{ 1}"]),
    # Escapes.
    (["\\x41", "\\u0041", "\\U00000041", "\\101", "\\x4", "\\u004", "\\U0000004", "\\U00110000",
      "\\0101", "\\07", "\\400", "\\377", "\\a", "\\t", "\\n", "\\v", "\\f", "\\r", "\\.", "\\-",
      "\\/", "\\ ", "\\_", "\\é", "\\q", "\\e", "\\K", "\\z", "\\X", "\\p{L}", "\\Q", "\\", "a\\",
      "[\\", "[\\q]", "[\\8]", "[\\400]", "[\\x4]", "[\\B]", "[\\A]", "[\\Z]", "\\8", "\\1", "\\99",
      "(a)\\2", "\\ud800", "[\\ud800-\\udfff]", "[^\\ud800]"],
     ["A", "\x07", "\t", ".", "é", "\x081", "ÿ"]),
    (["\\d", "\\D", "\\s", "\\S", "\\w", "\\W", "(?a)\\d", "(?a)\\s", "(?a)\\w", "(?a)\\W", "[\\W]",
      "[^\\W]", "[^\\d\\s]", "(?a)[^\\w]", ".", "(?s).", "(?a:\\w)", "(?u)\\w", "(?i)[\\w]"],
     ["a", "1", "_", " ", "\n", "\x1c", "é", "\u0663", "\xa0", "\u2028", "²", "½", "中", "\u0301",
      "\U0001d7d8", "\u0870", "\u0c5d"]),
    # Places.
    (["a$", "a\\Z", "a$\n", "a\\n", "a\\Z\n", "(?m)a$\nb", "(?m)a$.b", "(?ms)a$.^b", "(?m)^a\n^b$",
      "a\n$", "a\n^b", "(?m:^)a(?m:$)\n", "a.b", "(?s)a.b", "(?-s:.)", "(?s)(?-s:a.b)", "$a", "a^",
      "(?m)a\n$", "(?s).*$", ".*$", "(?m)\\Aa\n\\Ab", "(?s-m:a.b)", "(?ms-i:a.^b)"],
     ["a", "a\n", "a\nb", "a\n\n", "b", ""]),
    (["\\b", "\\B", "\\ba\\b", "a\\Bb", "a\\b-\\bb", "a-\\B", "\\bé\\b", "(?a)\\bé", "(?a)\\Bé",
      "\\Ba", "a\\b", ".\\B.", ".\\b.", "\\b*", "(?:\\b)*a", "(?:\\b)+a", "(?:\\B)?a"],
     ["", "a", "ab", "a-b", "a-", "é", "éa", "a1", "--"]),
    # Groups, references, conditions.
    (["(a)\\1", "(a|b)\\1", "(a*)\\1", "(a*)b\\1", "(?P<n>a)(?P=n)", "(?P<n>a|b)(?P=n)*", "((a)|b)*\\2",
      "((a)|b)*\\1", "(a)?\\1", "(a)?b\\1", "(?:(a)|b)*\\1", "(a)|\\1b", "(a(b)?)+\\2", "(a(b)?)+?\\2",
      "(?:(a)|(b))*\\1\\2", "()\\1", "(a?)*\\1", "(a*)*\\1", "(a*?)*?\\1b", "(?:a()|b)*\\1",
      "(a)(?(1)b|a)", "(a)?(?(1)b|a)", "(a)?(?(1)b)", "(?P<n>a)?(?(n)b|a)", "(?(1)a|b)(a)?", "(a)?(?(1))",
      "(a)?(?(1)|b)", "(?:(a)|b)+(?(1)b|a)", "(?:(?=(a))|b)*\\1?", "(?!(a))\\1b", "(?!(a))b|a\\1?",
      "(?=(a))\\1", "(?=(a*))\\1b", "(?=(a*?))\\1b", "(?>a*)b", "(?>a*)a", "(?>a|ab)b", "(?>(a)|b)*\\1",
      "(?:(a)|b)*?\\1", "(?:(a)|(b)|c)*+\\1", "(a(?=b))(?(1)b)", "(?:a|(b))*\\1", "(?:(a)b?)*\\1",
      "((a)|(b))*\\3\\2?", "(a|ab)(b|)\\2", "(?:(a)|b){2}\\1", "(?:(a)|b){2,}?\\1", "(?i:(a))\\1"], AB),
    (["(?i)(a)\\1", "(?i)(.)\\1", "(?ai)(.)\\1", "(.)(?i:\\1)", "(?i:(a)\\1)", "(?i)(?P<n>.)(?P=n)"],
     ["aA", "Aa", "ab", "éÉ", "ǅǆ", "k\u212a", "iı", "sſ", "iİ", "ßẞ", "ΩΩ", "Ωω"]),
    (["(?=a)a", "(?=a)", "(?!a)b", "(?!a)a", "a(?<=a)", "a(?<!a)", "a(?<=a)b", "(?<=a)b", "a(?<=b)",
      "ab(?<=ab)", "ab(?<=b|a)", "ab(?<=a|bc)", "ab(?<=a*)", "(?<=a{2})", "aa(?<=a{2})", "(?<=)a",
      "(?<!)a", "(?!)", "(?=)", "(?=)*a", "(?=a)*a", "(?!a)*b", "(?=a)+a", "(?<=a)?a", "(a)b(?<=\\1b)",
      "(?<=(a))b", "a(?<=(a))\\1", "(?<=(a)\\1)", "(a)(?<=\\1)b", "(?<=(?(1)a|b))", "(a)(?<=(?(1)a|b))",
      "(a(?<=\\1))", "a(?=b)b", "a(?=b)", ".*(?<!b)", "(?!.*ba).*", "(?=.*b)a*b*", "(?<=\\b)a", "(?<=^)a",
      "a(?=$)", "(?=(?=a)a)a", "(?!(?!a))a", "(?<=(?=a))a", "(?<=a|b)", "a(?<=.)b"], AB),
    # Repeats.
    (["a*", "a+", "a?", "a*?", "a+?", "a??", "a*?b", "(a|b)*", "(a|b)*?b", "(?:a|)*", "(?:|a)*",
      "(?:a?)*?b", "(?:a?){3}", "(?:a?){2,3}b", "(?:a|ab)(?:b|ab)", "(?:a*)*", "(?:a*)+", "(?:a+)*b",
      "(?:a*?)*b", "((a*)*)*", "(?:)*a", "()*a", "(?:){5}a", "(?:(?:a|b){2})*", "a{2}", "a{1,2}?b",
      "a{2,}b*", "(ab){1,2}", "(?:a|b|ab)*", "(a)*?(b)*", "a|b|", "|a", "a||b", "(|a)(|b)", "(a|)+",
      "(?:aa|aab)b?", "(?:a|a)b", "(?:ab|aa)b?", "a.*b", ".?.?", "..", "(?:.b)+", "(?:^a)*b?",
      "(?:$)*", "a(?:$)?b", "[ab]{3}", "[^a]*", "(?:[^b]|b)+"], AB),
    # Errors.
    (["*", "+a", "?", "*a", "a**", "a+*", "a?*", "a*{2}", "a{2}*", "a{2}{3}", "^*", "$+", "\\b?",
      "(*)", "(+a)", "(?:*)", "|*", "a|*", "(|*)", "(?i)*", "(?#x)*", "a(?#x)*", "a{2,1}", "a{4294967295}",
      "a{4294967294}b", "a{99999999999999999999}", "(", ")", "a)", "a)|(b", "((a)", "(a))", "(?",
      "(?:", "(?:a", "(?P", "(?P<", "(?P<n", "(?P<>a)", "(?P<1>a)", "(?P<a b>c)", "(?P<n>a)(?P<n>b)",
      "(?P=n)", "(?P=", "(?P=)", "(?P=n", "(?P>n)", "(?Pn)", "(?<n>a)", "(?<", "(?<a)", "(?<=", "(?=",
      "(?=a", "(?!", "(?a", "(?@", "(?'n'a)", "(?|a)", "(?R)", "(?1)", "(?&n)", "(?#", "(?#a", "(?#a)b",
      "(?#\\)a)b", "(?P<n>a(?P=n))", "(a\\1)", "(?(1)a|b)", "(?(1)a|b|c)(a)", "(a)(?(1)a|b|c)",
      "(a)(?(1)a", "(a)(?(1", "(a)(?(1)a|b", "(?(0)a)", "(?(n)a)", "(?()a)", "(?(1a)b)", "(?(-1)b)",
      "(?(99999999999)a)", "(?(2)a)(a)", "[", "[a", "[^", "[]", "[^]", "[z-a]", "[a-", "[a-\\d]",
      "[\\d-a]", "[\\w-\\d]", "[\\x62-\\x61]", "[a-z", "(?>a", "(?>", "a(?i)", "(?i)a(?i)", "a|(?i)b",
      "(?:(?i)a)", "((?i)a)", "(?i)(?m)a", "(?i)|a", "(?#c)(?i)a", " (?x)a", "(?x) (?i) a", "(?L)a",
      "(?L:a)", "(?au)a", "(?a)(?u)a", "(?au:a)", "(?a-a:a)", "(?-a:a)", "(?-u:a)", "(?-L:a)", "(?i-i:a)",
      "(?-i)a", "(?i-)a", "(?i-:a)", "(?-:a)", "(?-)", "(?i-s)a", "(?iz)a", "(?i1)a", "(?i", "(?i-",
      "(?i-s", "(?-z:a)", "(?z)", "(?i-sz:a)", "(?t)a", "(?t)a*", "(?t:a)", "(?-t:a)", "(?ii)a", "(?i:a",
      "(?<=a+)b", "(?<=a|bb)", "(?<!a?)b", "(?<=(?:ab){2})", "(?<=(a|b){2})", "*\\", "(a\\", "(?#\\",
      "(?<=a{4294967294}a{2})", "\\x", "\\u", "\\U", "\\xg1"], ["a"]),
    # Verbose.
    (["(?x)ab # c", "(?x) a b", "(?x)a\\ b", "(?x)a[ ]b", "(?x)a #\n b", "(?x)(?-x: a)b", "(?x: a)b ",
      "(?x)a {2}", "(?x)a * b", "(?x)( ? :a)", "(?x)(?: a | b )", "(?x)(?# c )a b", "(?x)a\x0bb",
      "(?x)a\xa0b", "(?x:a # b)\n)b", "(?x)(?i: A ) b", "(?x)a|b #", "(?x)a+ +", "(?x)a+ ?",
      "(?x)[#] # b", "(?x)a(?-x:#)b", "(?x)(a) \\1 # x"],
     ["ab", "a b", "aa", " ab", "b", "a", "#", "a#b", "aab"]),
    # Flags.
    (["(?i)k", "(?i)K", "(?i)s", "(?i)S", "(?i)i", "(?i)I", "(?i)[k]", "(?i)[^k]", "(?i)[a-z]",
      "(?i)[^a-z]", "(?i)[s]", "(?i)[^s]", "(?i)[i_]", "(?ai)k", "(?ai)[a-z]", "(?ai)i", "(?i)[\\W]",
      "(?i)[^\\w]", "(?i)[\\Wk]", "(?i)[h-j]", "(?i:k)", "(?i)(?-i:k)", "(?-i:k)", "k", "(?i)[^i]",
      "(?i)\\x4b", "(?ai)\u212a", "(?ai)[\u0130]", "\u212a", "[\u0130-\u0140]", "(?i)[.-Z]", "(?i)[Z-a]"],
     ["k", "K", "\u212a", "s", "S", "ſ", "i", "I", "İ", "ı", "_", "a", "é"]),
    (["é", "[é-ü]", "[^a]", "é+", "(é)\\1", "中.", "[\U0001f600-\U0001f64f]", "\U0001f600", "[^\U0001f600]",
      "(?<=é)a", "é(?<=é)a", "\\xe9", "\\351"],
     ["é", "éé", "ü", "中a", "\U0001f600", "éa", "a", "ÿ"]),
]

# Python takes them; the matcher says that they are not supported.
REFUSED = [
    "\\N{DIGIT ONE}", "[\\N{EM DASH}]", "(?P<é>a)", "(?P<é>a)(?P=é)", "(a)(?( 1)b)", "(a)(?(1_0)b|c)()()()()()()()()()",
    "(a)(?(+1)b)", "(?i)é", "(?i)[à-ü]", "(?i:[^é])", "(?ai)[\U0001f600-\U0001f64f]",
]

FUZZED = 200


def answer(pattern, hostname):
    kind, value = fuzz_patterns.python_answer(pattern, hostname)
    if kind == "error":
        return {"position": value}
    if kind != "answer":
        sys.exit(f"no answer for {pattern!r} and {hostname!r}: {kind}")
    return value


def fuzzed():
    """Patterns with captures and the like, as many that match as that do not."""
    rng = random.Random(311)
    wanted = {True: FUZZED // 2, False: FUZZED // 2}
    while any(wanted.values()):
        pattern = fuzz_patterns.Maker(rng).pattern()
        hostname = fuzz_patterns.make_hostname(rng)
        special = re.search(r"\\[1-9]|\(\?[(P>=!<]|[*+?}]\+", pattern)
        supported = pattern.isascii() and len(pattern) < 60
        if not special or not supported or not hostname:
            continue
        kind, value = fuzz_patterns.python_answer(pattern, hostname)
        if kind == "answer" and wanted[value]:
            wanted[value] -= 1
            yield pattern, hostname


def main():
    if sys.version_info[:2] != (3, 11):
        sys.exit("the answers must be those of Python 3.11")
    warnings.simplefilter("ignore")
    fuzz_patterns.limit_time()
    cases = {}
    rng = random.Random(14)
    for patterns, hostnames in TABLE:
        for pattern in patterns:
            answers = {hostname: answer(pattern, hostname) for hostname in hostnames}
            # Of each answer a few: all of them would be more of the same.
            for value in (True, False):
                same = [hostname for hostname in hostnames if answers[hostname] is value]
                for hostname in sorted(rng.sample(same, min(len(same), 2 if value else 1))):
                    cases[pattern, hostname] = value
            if not isinstance(answers[hostnames[0]], bool):
                cases[pattern, hostnames[0]] = answers[hostnames[0]]
    for case in fuzzed():
        cases.setdefault(case, answer(*case))
    refused = [pattern for pattern in REFUSED if isinstance(answer(pattern, "a"), bool)]
    if refused != REFUSED:
        sys.exit("Python refuses one of REFUSED")
    rows = ",\n".join(
        json.dumps([pattern, hostname, value]) for (pattern, hostname), value in cases.items()
    )
    patterns = ",\n".join(map(json.dumps, refused))
    version, unicode = sys.version.split()[0], unicodedata.unidata_version
    text = (
        f'{{"python": "{version}", "unicode": "{unicode}",\n"refused": [\n{patterns}\n],\n'
        f'"rows": [\n{rows}\n]}}\n'
    )
    (HERE / "python_fullmatch.json").write_text(text)
    print(len(cases), "rows")


if __name__ == "__main__":
    main()
